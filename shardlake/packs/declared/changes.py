"""Lines of a table's changes to texts: DuckDB extracts the attributes of an image by the types that they should have.

A line is one image of an item, which comes (weight 1) or goes (weight -1), its attributes written as DynamoDB does:

    {"Weight":1,"Event":"INSERT","Image":{"id":{"S":"x"},"price":{"N":"2.55"}}}

Numbers are texts there, so that all their digits are kept. Where an attribute is not found as what it should be, a
second look tells whether it is missing, NULL, or of another type: most lines do without.
"""

from collections.abc import Sequence
from typing import Final

from shardlake.core.sql import literal
from shardlake.packs.declared.jsonlines import MALFORMED
from shardlake.packs.declared.paths import steps
from shardlake.packs.declared.values import FAULT
from shardlake.packs.declared.words import Read

OTHER: Final = 2_000_000  # and the number of the column
POWER: Final = -2
WEIGHT: Final = "#weight"
_IMAGE: Final = "$.Image"
# A number is a JSON text there: one that is a JSON number was not written by DynamoDB, and parsers may round it.
_UNTYPED: Final = r'"N":\s*[-0-9]'
_POWER: Final = r"^([-+]?)([0-9]{1,40})(?:\.([0-9]{0,40}))?[eE]([-+]?[0-9]{1,3})$"
_NULL: Final = '{"NULL":true}'
Link = tuple[str, str]  # an attribute's path, and the path of its value of the type that is expected


def texts_sql(read: Sequence[Read], lines: str, *, careful: bool) -> str:
    """Write the SELECT that gives a text column for each of `read`, `#weight` and `#fault`, over `line` of a table.

    A line without a weight and an image is MALFORMED; an attribute of another type than expected is OTHER.

    The statement that is not `careful` is far smaller, and cheaper for each line. It fails where a line is no JSON, and
    calls lines POWER where a number has a power of ten, which the other one writes out.
    """
    chains = [_chain(one) for one in read]
    links = [link for chain in chains for link in chain]
    looks = list(dict.fromkeys([_IMAGE, *(path for link in links for path in (*link, _null(link)))]))
    seat = {path: f"k[{at + 1}]" for at, path in enumerate(looks)}
    paths = [*map(_path, read), "$.Weight"]
    texts = ", ".join(f"{_text(one, f'x[{i + 1}]', careful=careful)} AS t{i}" for i, one in enumerate(read))
    is_lacking = " OR ".join(f"x[{i + 1}] IS NULL" for i in range(len(read)))
    weight = f"x[{len(paths)}]"
    others = " ".join(
        f"WHEN {_other(one, f'x[{i + 1}]', chain, seat)} THEN {OTHER + i}"
        for i, (one, chain) in enumerate(zip(read, chains, strict=True))
        if chain
    )
    ok = f"{'json_valid(line) AND ' if careful else ''}NOT regexp_matches(line, {literal(_UNTYPED)})"
    return (
        f'SELECT {texts}, TRY_CAST({weight} AS INTEGER) AS "{WEIGHT}",'
        f" CASE WHEN NOT ok OR {weight} IS NULL OR {weight} NOT IN ('1', '-1')"
        f" OR (k IS NOT NULL AND {seat[_IMAGE]} IS DISTINCT FROM 'OBJECT') THEN {MALFORMED} {others}"
        f' {"" if careful else _powers(read)} ELSE 0 END AS "{FAULT}"'
        f" FROM (SELECT *, CASE WHEN ok AND ({is_lacking}) THEN json_type(line, {_list(looks)}) END AS k"
        f" FROM (SELECT *, CASE WHEN ok THEN json_extract_string(line, {_list(paths)}) END AS x"
        f" FROM (SELECT line, {ok} AS ok FROM {lines})))"
    )


def told(one: Read) -> str:
    """Say what is wrong with an attribute of another type."""
    kind = "an attribute" if one.holds == "any" else f"of DynamoDB's type {one.holds}"
    return f"{one.field} is not {kind}"


def _list(paths: Sequence[str]) -> str:
    return f"[{', '.join(map(literal, paths))}]"


def _path(one: Read) -> str:
    if one.holds == "image":
        return _IMAGE
    if one.holds == "event":
        return "$.Event"
    attribute, value = _chain(one)[-1]
    return attribute if one.holds == "any" else value


def _chain(one: Read) -> tuple[Link, ...]:
    """The attributes that lead to a column's, which is the last: each is in the one before, a map or a list."""
    if one.holds in ("image", "event"):
        return ()
    found: list[Link] = []
    path, way = _IMAGE, steps(one.field)
    for at, step in enumerate(way):
        path += f"[{step}]" if isinstance(step, int) else f'."{step}"'
        is_last = at == len(way) - 1
        kind = one.holds if is_last else "L" if isinstance(way[at + 1], int) else "M"
        found.append((path, f"{path}.{kind}"))
        path = found[-1][1]
    return tuple(found)


def _null(link: Link) -> str:
    return f"{link[0]}.NULL"


def _other(one: Read, text: str, chain: Sequence[Link], seat: dict[str, str]) -> str:
    """Write the condition under which an attribute, or one that leads to it, is there, and is not what it should be."""
    lacking = [f"{seat[a]} IS NOT NULL AND {seat[v]} IS NULL AND {seat[_null((a, v))]} IS NULL" for a, v in chain[:-1]]
    if one.holds == "any":
        wrong = f"{text} NOT LIKE '{{%'"
    else:
        wrong = f"{seat[chain[-1][0]]} IS NOT NULL AND {seat[_null(chain[-1])]} IS NULL"
        lacking, wrong = [*lacking, wrong], ""
    lack = f"{text} IS NULL AND ({' OR '.join(lacking)})" if lacking else ""
    return " OR ".join(filter(None, (lack, wrong)))


def _text(one: Read, text: str, *, careful: bool) -> str:
    if one.holds == "any":
        return f"CASE WHEN {text} <> {literal(_NULL)} THEN {text} END"
    if not _is_counted(one):
        return text
    if not careful:
        return f"CASE WHEN contains({text}, '.') THEN {_whole(text)} ELSE {text} END" if _is_whole(one) else text
    plain = f"CASE WHEN {_has_power(text)} THEN {_expanded(text)} ELSE {text} END"
    return _whole(plain) if _is_whole(one) else plain


def _is_whole(one: Read) -> bool:
    return one.column.type in ("INTEGER", "BIGINT")


def _whole(number: str) -> str:
    return rf"regexp_replace({number}, '\.0+$', '')"


def _powers(read: Sequence[Read]) -> str:
    found = [_has_power(f"x[{i + 1}]") for i, one in enumerate(read) if _is_counted(one)]
    return f"WHEN {' OR '.join(found)} THEN {POWER}" if found else ""


def _is_counted(one: Read) -> bool:
    """Tell whether a number's digits become a value, and not a text."""
    return one.holds == "N" and one.column.type != "VARCHAR"


def _has_power(text: str) -> str:
    return f"(contains({text}, 'E') OR contains({text}, 'e'))"


def _expanded(text: str) -> str:
    """Write out a number's power of ten by moving its point, as text."""
    sign, whole, part, power = (f"regexp_extract({text}, {literal(_POWER)}, {group})" for group in (1, 2, 3, 4))
    digits, point = f"{whole} || {part}", f"(length({whole}) + TRY_CAST({power} AS INTEGER))"
    size = f"length({digits})"
    return (
        f"CASE WHEN NOT regexp_full_match({text}, {literal(_POWER)}) THEN {text}"
        f" WHEN {point} <= 0 THEN {sign} || '0.' || repeat('0', -{point}) || {digits}"
        f" WHEN {point} >= {size} THEN {sign} || {digits} || repeat('0', {point} - {size})"
        f" ELSE {sign} || substr({digits}, 1, {point}) || '.' || substr({digits}, {point} + 1) END"
    )

"""Names: of columns as SQL holds them, and what a name says about its values."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from shardlake.core.schema import EVENT_COLUMNS, MASTER_COLUMNS


def _listed(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


NAME_MAX: Final = 63
EVENT_TIMES: Final = (
    "eventtime", "timestamp", "ts", "time", "datetime", "eventtimestamp", "occurredat", "createdat", "created",
    "receivedat", "loggedat", "at", "date", "eventdate", "when",
)  # fmt: skip
EVENT_IDS: Final = ("eventid", "requestid", "messageid", "recordid", "uuid", "guid", "id")

_TIME_WORDS: Final = _listed(
    "ts time times timestamp datetime date day at on when epoch created updated modified received occurred logged"
    " started ended start end begin began finished expires expiry seen since until"
)
_MONEY_WORDS: Final = _listed(
    "price amount total cost costs fee fees tax vat revenue balance discount subtotal salary payment paid money"
)
_ID_WORDS: Final = _listed(
    "id ids uid uuid guid code zip postcode postal phone account isbn ean sku key token hash serial number no version"
    " ver release build"
)
_CODE_WORDS: Final = _listed(
    "status code port year month day hour week quarter lat latitude lon lng longitude level version priority rank"
    " position x y offset line epoch"
)
# What the parsers of SQL read as a word of their own where a column may stand.
_RESERVED: Final = _listed(
    "all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check"
    " collate collation column columns concurrently constraint create cross current_date current_time"
    " current_timestamp default deferrable desc describe distinct do else end except exists extract false fetch filter"
    " for foreign freeze from full generated glob grant group having if ilike in initially inner insert intersect"
    " interval into is isnull join lambda lateral leading left like limit localtime localtimestamp map natural not"
    " notnull null offset on only or order outer over overlaps partition pivot pivot_longer pivot_wider placing"
    " positional primary qualify references returning right row select semi session_user show similar some struct"
    " summarize symmetric table tablesample then to trailing true try_cast tuple union unique unnest unpack unpivot"
    " user using values variadic verbose when where window with within"
)
_TAKEN: Final = frozenset(column.name.lower() for column in (*EVENT_COLUMNS, *MASTER_COLUMNS))


def column_name(steps: Sequence[str], place: int) -> str:
    """Make a name of the keys that lead to a field, or of its place where they have no letter of ASCII.

    >>> [column_name(keys, 3) for keys in (["user", "id"], ["@timestamp"], ["2xx"], ["群"])]
    ['user_id', 'timestamp', 'f_2xx', 'f4']
    """
    plain = unicodedata.normalize("NFKD", "_".join(steps)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    if not name:
        return f"f{place + 1}"
    if not name[0].isalpha():
        name = f"f_{name}"
    name = name[:NAME_MAX].rstrip("_")
    return f"{name[: NAME_MAX - 1]}_" if is_reserved(name) else name


def is_reserved(name: str) -> bool:
    """Tell whether SQL reads a name as a word of its own."""
    return name.lower() in _RESERVED


def unused(name: str, taken: Iterable[str]) -> str:
    """Give a name, with a number behind it where it is taken; `taken` are small letters.

    >>> unused("a", {"a", "a_2"})
    'a_3'
    """
    used = {*taken} | _TAKEN
    found, number = name, 1
    while found.lower() in used:
        number += 1
        found = f"{name[: NAME_MAX - len(str(number)) - 1]}_{number}"
    return found


def pack_name(text: str) -> str:
    """Make a name for a pack of the name of a file; "" where nothing is left.

    >>> [pack_name("Web-Clicks"), pack_name("2026-03-01")]
    ['web_clicks', '']
    """
    found = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:32].rstrip("_")
    return found if re.match("[a-z]", found) else ""


def words(name: str) -> list[str]:
    """Take a name apart: `createdAt`, `created_at` and `Created-At` are of the same words.

    >>> words("eventTime.createdAt_UTC")
    ['event', 'time', 'created', 'at', 'utc']
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def joined(name: str) -> str:
    """Write the words of a name together, to compare by."""
    return "".join(words(name))


def sounds_like_time(name: str) -> bool:
    """Tell whether a number of this name may be a time."""
    return bool(_TIME_WORDS & {*words(name)})


def sounds_like_money(name: str) -> bool:
    """Tell whether a number of this name should be kept digit by digit."""
    return bool(_MONEY_WORDS & {*words(name)})


def sounds_like_id(name: str) -> bool:
    """Tell whether digits of this name are a text, not a number."""
    return bool(_ID_WORDS & {*words(name)}) or joined(name).endswith("id")


def is_summed(name: str) -> bool:
    """Tell whether the sum of numbers of this name says something."""
    return not (_CODE_WORDS & {*words(name)} or sounds_like_id(name))

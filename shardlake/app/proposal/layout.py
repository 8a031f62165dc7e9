"""Which format a sample has: JSON lines, or fields with a delimiter between, named by the first line or not."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from shardlake.app.proposal.sample import Sample
from shardlake.app.text import printable
from shardlake.core.errors import ConfigError

_LOOKED_AT: Final = 200  # lines
_SHARE_OF_JSON: Final = 0.5
_SHARE_OF_WIDTH: Final = 0.8
_DELIMITERS: Final = ("\t", ",", ";", "|")
_VALUE: Final = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?|\d{1,4}[-/.:]\d{1,2}[-/.:T ].*|true|false|null|-", re.IGNORECASE)
_OTHER: Final = "the kinds that are known are JSON lines, CSV and TSV; what servers write is declared as `log`"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a sample are cut. `fields` are the names of a line's fields, in their order, of no JSON.

    `nulls` are the texts that mean NULL, if they are others than usual.
    """

    format: Literal["json", "csv", "tsv"]
    delimiter: str = ""
    has_header: bool = False
    fields: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()

    @property
    def usual_nulls(self) -> tuple[str, ...]:
        """The texts that mean NULL if a pack names none."""
        return {"json": (), "csv": ("",), "tsv": ("", "-")}[self.format]


def layout_of(sample: Sample) -> Layout:
    """Tell the format of a sample. Raises: ConfigError for what is none of them, with how to make it one."""
    lines = [line for line in _texts(sample) if line.strip()][:_LOOKED_AT]
    objects = sum(line.lstrip().startswith("{") for line in lines)
    whole = sum(_is_object(line) for line in lines)
    if whole and whole >= _SHARE_OF_JSON * len(lines):
        return Layout("json")
    _refuse_json_of_another_shape(sample, lines, whole)
    if objects > _SHARE_OF_JSON * len(lines):
        raise ConfigError(f"{sample.path}: most lines begin like JSON objects, and are not whole: write one a line")
    return _delimited(sample, lines)


def _texts(sample: Sample) -> list[str]:
    first = sample.block[: 1 << 20].split(b"\n")
    lines = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in first]
    lines[0] = lines[0].removeprefix("\ufeff")
    # A line may be cut at the end of what is looked at.
    return lines if len(lines) == 1 or len(sample.block) <= 1 << 20 else lines[:-1]


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line.encode()), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _refuse_json_of_another_shape(sample: Sample, lines: Sequence[str], whole: int) -> None:
    first = lines[0].strip()
    name = sample.path.name
    is_array = first == "[" or (first.startswith("[") and not _is_bracketed_text(first))
    if is_array and whole < len(lines):
        raise ConfigError(
            f"{sample.path} is one JSON array: write one object a line, such as with jq -c '.[]' {name} > x.jsonl"
        )
    is_broken_up = first == "{" or (first.startswith("{") and not whole)
    if is_broken_up and (len(lines) == 1 or _begins_object("\n".join(lines))):
        raise ConfigError(
            f"{sample.path} is JSON over several lines: write one object a line, such as with jq -c . {name} > x.jsonl"
        )


def _is_bracketed_text(first: str) -> bool:
    """Tell `[12/Mar/2026 ...] text` from JSON."""
    return not re.match(r'\[\s*([{\["\]\d]|true|false|null|-\d)', first) or bool(re.match(r"\[\d+[/-]", first))


def _begins_object(text: str) -> bool:
    """Tell whether text over lines is JSON as far as it goes: a key follows the brace."""
    return bool(re.match(r'\{\s*("(?:[^"\\]|\\.)*"\s*:|\})', text))


# ------------------------------------------------------------------------------------------------- delimited


def _delimited(sample: Sample, lines: Sequence[str]) -> Layout:
    best: tuple[float, int, str] | None = None
    for delimiter in _DELIMITERS:
        widths = Counter(len(_cells(line, delimiter)) for line in lines)
        width, count = widths.most_common(1)[0]
        if width > 1 and count >= _SHARE_OF_WIDTH * len(lines):
            best = max(best or (0, 0, ""), (count / len(lines), width, delimiter))
    if best is None:
        raise ConfigError(
            f"{sample.path}: the lines are no JSON objects, and have no number of fields in common with a tab, comma,"
            f" semicolon or | between; {_OTHER}: see docs/packs/README.md"
        )
    _, width, delimiter = best
    first = [cell.strip() for cell in _cells(lines[0], delimiter)]
    has_header = len(first) == width and _is_header(first)
    if has_header:
        _refuse_names_alike(sample, first)
    fields = tuple(first) if has_header else tuple(f"f{i + 1}" for i in range(width))
    is_tsv = delimiter == "\t" and not any(line.count('"') for line in lines)
    kept = "" if delimiter == "," or is_tsv else delimiter
    return Layout("tsv" if is_tsv else "csv", kept, has_header, fields)


def _refuse_names_alike(sample: Sample, names: Sequence[str]) -> None:
    folded = [name.casefold() for name in names]
    if alike := [name for name in names if name and folded.count(name.casefold()) > 1]:
        raise ConfigError(
            f"{sample.path}: the first line calls more than one field {printable(alike[0])!r}, capitals or not: name"
            " them apart"
        )


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t" and '"' not in line:
        return line.split("\t")
    return next(csv.reader([line], delimiter=delimiter), [])


def _is_header(cells: Sequence[str]) -> bool:
    """Take a first line for names: there are no values in it, and no name comes twice."""
    names = [cell for cell in cells if cell]
    return len(names) >= len(cells) - 1 and len({*names}) == len(names) and not any(map(_VALUE.fullmatch, names))

"""Text that came from a log, made safe for a terminal, and values as people read them."""

import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

NONE: Final = "-"


def printable(text: str) -> str:
    r"""Write control characters, and those that turn or hide text, as escapes: no log line may steer a terminal.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def printable_lines(text: str) -> str:
    """Make lines safe for a terminal; they stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def complaint(text: str, width: int | None = None) -> str:
    r"""Make an error's message safe for a terminal; what its caret points at stays above it, in so many columns.

    >>> print(complaint("no x\n\nLINE 1: SELECT a, b, x FROM viewers\n                     ^", 24))
    no x
    <BLANKLINE>
    LINE 1: ... b, x FRO...
                   ^
    """
    *before, line, caret = ["", *text.replace("\r\n", "\n").split("\n")]
    if "^" in caret and not caret.strip(" ^"):
        line, caret = line.replace("\t", " "), _after_tabs(line, caret)
        if width and len(line) > width:
            line, caret = _cut(line, caret, caret.index("^"), width)
    return printable_lines("\n".join([*before, line, caret][1:]))


def _after_tabs(line: str, caret: str) -> str:
    """Move a caret that was set as if tabs took no room, as the engine does it, by one for each."""
    at = caret.index("^")
    for place, character in enumerate(line):
        if place > at:
            break
        at += character == "\t"
    return " " * at + caret.lstrip(" ")


def _cut(line: str, caret: str, at: int, width: int) -> tuple[str, str]:
    """Keep of a line (`LINE 1: ...`) what stands around a caret."""
    head = line.index(": ") + 2 if ": " in line[:at] else 0
    room = max(1, width - head - 7)
    start = max(head, min(at - room // 2, len(line) - room))
    left, right = "..." if start > head else "", "..." if start + room < len(line) else ""
    marks = caret[start : start + room]
    return f"{line[:head]}{left}{line[start : start + room]}{right}", " " * (head + len(left)) + marks


def _escaped(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape", "backslashreplace").decode()


def payload(data: bytes) -> str:
    r"""Write bytes of any kind on one line.

    >>> payload(b"caf\xc3\xa9\xff\t\n")
    'café\\xff\\t\\n'
    """
    return printable(data.decode("utf-8", "backslashreplace"))


def utc(micros: int | None) -> str:
    """Write a time of UTC microseconds."""
    if micros is None:
        return NONE
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} us since 1970"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def cell(value: Any) -> str:
    """Write a value of an answer in a table."""
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return value.isoformat(" ", "microseconds" if value.microsecond else "seconds")
    if isinstance(value, bytes):
        return payload(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.1f}"
    return printable(str(value))


def is_number(value: Any) -> bool:
    """Tell whether a value is written to the right."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """Make a value of an answer plain data for JSON: times carry their zone, bytes become text."""
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, date | timedelta):
        return str(value)
    if isinstance(value, bytes):
        return payload(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def ago(seconds: float) -> str:
    """Write an age in one unit.

    >>> [ago(3), ago(300), ago(7200), ago(200_000)]
    ['3 s', '5 min', '2 h', '2 d']
    """
    for unit, length, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"

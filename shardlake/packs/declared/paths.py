"""Paths to the fields of a JSON object: keys with dots between, or a path of DuckDB that begins with $."""

import re
from typing import Final

_STEP: Final = re.compile(r'"([^"]+)"|\[(\d{1,9})\]|([^.\[\]"]+)')
_PATH: Final = re.compile(r'\$(?:\."[^"\\]+"|\.\w+|\[\d{1,9}\])+')
_FIELD: Final = re.compile(r'[^.\[\]"*]+(?:\[\d{1,9}\])*(?:\.[^.\[\]"*]+(?:\[\d{1,9}\])*)*')


def is_field(field: str) -> bool:
    """Tell whether a text names a field of a JSON object: keys with dots between, or a path that begins with $."""
    found = _PATH.fullmatch(field) if field.startswith("$") else _FIELD.fullmatch(field)
    return bool(found) and not any(str(step).strip("*") == "" for step in steps(field))  # that would be any key


def steps(field: str) -> tuple[str | int, ...]:
    """The keys and places that lead to a field, however its path is written.

    >>> steps("items[0].sku") == steps('$."items"[00].sku')
    True
    """
    found = _STEP.finditer(field.removeprefix("$"))
    return tuple(int(step[2]) if step[2] else step[1] or step[3] for step in found)


def path(field: str) -> str:
    """Write a field as a path of DuckDB.

    >>> path("user.id")
    '$."user"."id"'
    >>> path("items[0].sku")
    '$."items"[0]."sku"'
    """
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps(field))

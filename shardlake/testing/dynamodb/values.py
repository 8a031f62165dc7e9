"""Attribute values: their normal form, their sizes and their order.

In normal form a number has no exponent, no sign of plus and no zeros that say nothing, a set is sorted, and binary is
canonical base64, so that equal values are equal texts.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from decimal import Context, Decimal, Inexact
from functools import lru_cache
from typing import Any, Final

from shardlake.testing.dynamodb.errors import bad_values, not_serial, not_valid

Value = dict[str, Any]
Item = dict[str, Value]

EXACT: Final = Context(prec=400, Emin=-999_999, Emax=999_999, traps=[Inexact])
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)
_DIGITS_MAX: Final = 38
_ADJUSTED: Final = (-130, 125)
_DEPTH_MAX: Final = 32
_TYPES: Final = "must contain exactly one of the supported datatypes"


def clean(value: Any, depth: int = 0) -> tuple[Value, int]:
    """Give a value's normal form and its size in bytes. Raises: ServiceError if it is none."""
    if type(value) is not dict:
        raise not_serial("An attribute value is an object with the name of a type.")
    if len(value) != 1:
        told = "has more than one datatypes set" if value else "is empty"
        raise not_valid(f"Supplied AttributeValue {told}, {_TYPES}")
    [(kind, held)] = value.items()
    if kind == "S":
        if type(held) is not str:
            raise not_serial("S holds a text.")
        return value, len(held) if held.isascii() else len(held.encode())
    if kind == "N":
        text = number(held)
        return (value if text is held else {"N": text}), _number_size(text)
    cleaner = _CLEANERS.get(kind)
    if cleaner is None:
        raise not_valid(f"Supplied AttributeValue is empty, {_TYPES}")
    return cleaner(held, depth)


def clean_item(item: dict[str, Any]) -> tuple[Item, int]:
    """Give an item's normal form and its size in bytes, names included. Raises: ServiceError."""
    made: Item = {}
    total = 0
    for name, value in item.items():
        made[name], size = clean(value)
        total += size + (len(name) if name.isascii() else len(name.encode()))
    return made, total


def item_size(item: Item) -> int:
    """Give the size in bytes of an item in normal form."""
    return clean_item(item)[1]


# ------------------------------------------------------------------------------------------------------ numbers


def number(text: Any) -> str:
    """Give a number's normal form. Raises: ServiceError if it is none, or beyond 38 digits or the range."""
    if type(text) is not str:
        raise not_serial("N holds a number as a text.")
    if text.isdigit() and text.isascii() and len(text) <= _DIGITS_MAX and (text[0] != "0" or len(text) == 1):
        return text
    return _number(text)


@lru_cache(maxsize=4096)
def _number(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise not_valid("The parameter cannot be converted to a numeric value")
    return decimal_text(Decimal(text))


def decimal_text(value: Decimal) -> str:
    """Write a decimal in normal form. Raises: ServiceError if it has too many digits or is out of range."""
    if not value:
        return "0"
    if value.adjusted() > _ADJUSTED[1]:
        raise not_valid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if value.adjusted() < _ADJUSTED[0]:
        raise not_valid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    _, digits, _ = value.as_tuple()
    if len(bytes(digits).rstrip(b"\0")) > _DIGITS_MAX:
        raise not_valid("Attempting to store more than 38 significant digits in a Number")
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number_size(text: str) -> int:
    return (len(text) + 1) // 2 + 1


# --------------------------------------------------------------------------------------------------- other types


def _clean_binary(held: Any, depth: int) -> tuple[Value, int]:
    del depth
    if type(held) is not str:
        raise not_serial("B holds base64.")
    raw = unbase64(held)
    return {"B": b64encode(raw).decode()}, len(raw)


def unbase64(text: str) -> bytes:
    """Decode binary. Raises: ServiceError (SerializationException) if it is not base64."""
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise not_serial("Base64 encoded length is unexpected, or it holds other letters.") from None


def _clean_flag(held: Any, depth: int) -> tuple[Value, int]:
    del depth
    if type(held) is not bool:
        raise not_serial("BOOL holds true or false.")
    return {"BOOL": held}, 1


def _clean_null(held: Any, depth: int) -> tuple[Value, int]:
    del depth
    if held is not True:
        raise bad_values("Null attribute value types must have the value of true")
    return {"NULL": True}, 1


def _clean_list(held: Any, depth: int) -> tuple[Value, int]:
    if type(held) is not list:
        raise not_serial("L holds a list.")
    _check_depth(depth)
    cleaned = [clean(value, depth + 1) for value in held]
    return {"L": [value for value, _ in cleaned]}, 3 + sum(size + 1 for _, size in cleaned)


def _clean_map(held: Any, depth: int) -> tuple[Value, int]:
    if type(held) is not dict:
        raise not_serial("M holds an object.")
    _check_depth(depth)
    cleaned = {name: clean(value, depth + 1) for name, value in held.items()}
    size = sum(len(name.encode()) + size + 1 for name, (_, size) in cleaned.items())
    return {"M": {name: value for name, (value, _) in cleaned.items()}}, 3 + size


def _check_depth(depth: int) -> None:
    if depth >= _DEPTH_MAX:
        raise not_valid("Nesting Levels have exceeded supported limits")


def _set_cleaner(kind: str) -> Callable[[Any, int], tuple[Value, int]]:
    member = kind[0]

    def cleaner(held: Any, depth: int) -> tuple[Value, int]:
        if type(held) is not list:
            raise not_serial(f"{kind} holds a list.")
        if not held:
            raise bad_values("An number set  may not be empty" if member == "N" else "An string set  may not be empty")
        cleaned = [clean({member: each}, depth) for each in held]
        texts = [value[member] for value, _ in cleaned]
        if len(set(texts)) < len(texts):
            if member == "N":
                raise not_valid("Input collection contains duplicates")
            raise bad_values("Input collection contains duplicates.")
        return {kind: in_order(kind, texts)}, sum(size for _, size in cleaned)

    return cleaner


def in_order(kind: str, texts: list[str]) -> list[str]:
    """Sort a set's members: numbers by their value, binary by its bytes."""
    return sorted(texts, key=_ORDERS[kind[0]])


_ORDERS: Final[dict[str, Callable[[str], Any]]] = {"S": str, "N": Decimal, "B": unbase64}
_CLEANERS: Final[dict[str, Callable[[Any, int], tuple[Value, int]]]] = {
    "B": _clean_binary,
    "BOOL": _clean_flag,
    "NULL": _clean_null,
    "L": _clean_list,
    "M": _clean_map,
    "SS": _set_cleaner("SS"),
    "NS": _set_cleaner("NS"),
    "BS": _set_cleaner("BS"),
}


# -------------------------------------------------------------------------------------------------------- order


def order_of(value: Value) -> tuple[str, Any] | None:
    """Give a value's type and what it is ordered by within it, or None for a type without an order."""
    [(kind, held)] = value.items()
    order = _ORDERS.get(kind)
    return None if order is None else (kind, order(held))

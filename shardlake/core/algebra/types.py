"""The closed set of column types, and how they meet in an expression.

Types are written as DuckDB writes them. A rule here states what DuckDB gives for the white-listed core; a
differential test compares the two.
"""

import re
from typing import Final

INTEGERS: Final = ("INTEGER", "BIGINT")
TIMES: Final = ("DATE", "TIMESTAMP")
NULL: Final = "NULL"
_DECIMAL: Final = re.compile(r"DECIMAL\((\d{1,2}),(\d{1,2})\)")
_DIGITS: Final = {"INTEGER": 10, "BIGINT": 19}
_WIDTH_MAX: Final = 38
_WIDTH_NARROW: Final = 18  # DuckDB does not leave 64 bits for a sum or product of two narrower decimals


class NoCommonType(Exception):
    """Two types do not meet; the message says which, and what to write."""


def decimal_of(type_: str) -> tuple[int, int] | None:
    """Give width and scale of a decimal type, else None."""
    match = _DECIMAL.fullmatch(type_)
    return (int(match[1]), int(match[2])) if match else None


def decimal_type(width: int, scale: int) -> str:
    """Write a decimal type."""
    return f"DECIMAL({min(width, _WIDTH_MAX)},{scale})"


def is_integer(type_: str) -> bool:
    """Tell whether values of the type are integers."""
    return type_ in INTEGERS


def is_exact_number(type_: str) -> bool:
    """Tell whether the type is an integer or a decimal: arithmetic on it is exact."""
    return is_integer(type_) or decimal_of(type_) is not None


def is_number(type_: str) -> bool:
    """Tell whether the type can be computed with."""
    return type_ == "DOUBLE" or is_exact_number(type_)


def common_type(left: str, right: str) -> str:
    """Give the type that holds values of both, as in CASE and COALESCE.

    >>> common_type("INTEGER", "DECIMAL(4,2)")
    'DECIMAL(12,2)'
    """
    if right in (left, NULL):
        return left
    if left == NULL:
        return right
    if not (is_number(left) and is_number(right)):
        raise NoCommonType(f"{left} and {right} do not meet")
    if "DOUBLE" in (left, right):
        return "DOUBLE"
    if is_integer(left) and is_integer(right):
        return "BIGINT"
    whole, scale = _whole_and_scale(left, right)
    return decimal_type(whole + scale, scale)


def sum_type(left: str, right: str) -> str:
    """Give the type of `left + right` and `left - right`."""
    joined = common_type(left, right)
    if decimal_of(joined) is None:
        return joined
    whole, scale = _whole_and_scale(left, right)
    return decimal_type(_narrow(whole + scale + 1, left, right), scale)


def product_type(left: str, right: str) -> str:
    """Give the type of `left * right`."""
    joined = common_type(left, right)
    if decimal_of(joined) is None:
        return joined
    (width_left, scale_left), (width_right, scale_right) = _as_decimal(left), _as_decimal(right)
    if scale_left + scale_right > _WIDTH_MAX:
        raise NoCommonType(f"the product of {left} and {right} has more than {_WIDTH_MAX} decimal places")
    return decimal_type(_narrow(width_left + width_right, left, right), scale_left + scale_right)


def comparable(left: str, right: str) -> bool:
    """Tell whether two types can be compared without an implicit cast that may fail."""
    if NULL in (left, right) or left == right or (left in TIMES and right in TIMES):
        return True
    return is_number(left) and is_number(right)


def _as_decimal(type_: str) -> tuple[int, int]:
    return decimal_of(type_) or (_DIGITS[type_], 0)


def _whole_and_scale(left: str, right: str) -> tuple[int, int]:
    pair = (_as_decimal(left), _as_decimal(right))
    return max(width - scale for width, scale in pair), max(scale for _, scale in pair)


def _narrow(width: int, left: str, right: str) -> int:
    widest = max(_as_decimal(left)[0], _as_decimal(right)[0])
    return _WIDTH_NARROW if width > _WIDTH_NARROW and widest <= _WIDTH_NARROW else width

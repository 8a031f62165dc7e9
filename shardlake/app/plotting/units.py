"""Numbers as people read them: with few digits, a prefix, and a unit that the column's name tells."""

import math
import re
from typing import Any, Final

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_IN_FULL: Final = 100_000
_BEYOND: Final = 9.995e26  # has no prefix
_HUGE: Final = 1e300  # the distance of two such numbers is still one
_BYTES: Final = re.compile(r"bytes\W*$", re.IGNORECASE)  # also sum(bytes)


def unit_of(column: str) -> str:
    """Tell the unit of a column: B if its name ends in bytes, else none."""
    return "B" if _BYTES.search(column) else ""


def number(value: Any) -> float:
    """Give a value of an answer as a float; NaN where there is none, or none that could be drawn."""
    try:
        found = math.nan if value is None else float(value)
    except OverflowError:
        return math.nan
    if abs(found) >= _HUGE:
        return math.nan
    return found if abs(found) > 1 / _HUGE else 0.0 * found


def humanised(value: float, unit: str = "") -> str:
    """Write a number in three digits; counts that are not large, in full.

    >>> [humanised(value, "B") for value in (0, 999, 12_345, 999_960, 1.5e9)]
    ['0 B', '999 B', '12.3 kB', '1.00 MB', '1.50 GB']
    >>> [humanised(value) for value in (1_734, 123_456, 0.25, -2_500_000.0, 1e-9)]
    ['1,734', '123 k', '0.25', '-2.50 M', '1e-09']
    """
    if not unit and abs(value) < _IN_FULL and float(value).is_integer():
        return f"{value:,.0f}"
    if abs(value) >= _BEYOND:
        return with_unit(f"{value:.3g}", 0, unit)
    power = prefix_power(value)
    scaled = value / 1000**power
    if abs(float(f"{scaled:.3g}")) >= 1000 and power + 1 < len(_PREFIXES):
        power, scaled = power + 1, scaled / 1000
    if power:
        text = f"{scaled:.{max(0, 2 - len(str(int(abs(float(f'{scaled:.3g}'))))) + 1)}f}"
    else:
        text = f"{scaled:.0f}" if float(scaled).is_integer() else f"{scaled:.3g}"
    return with_unit(text, power, unit)


def prefix_power(value: float) -> int:
    """Choose a prefix: the power of 1000 that a number is divided by."""
    size = abs(value)
    return next((power for power in range(len(_PREFIXES) - 1, 0, -1) if size >= 1000.0**power), 0)


def with_unit(text: str, power: int, unit: str) -> str:
    """Put prefix and unit behind a number."""
    return f"{text} {_PREFIXES[power]}{unit}".rstrip()


def ticks(low: float, high: float, count: int) -> list[float]:
    """Give round numbers from below `low` to above `high`, `count` steps or fewer.

    >>> ticks(0, 87, 5)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    rough = (high - low) / max(1, count)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= rough * 0.9999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last - first > count and step * 2 > rough:
        bigger = next(size * factor for factor in (2, 5, 10, 20, 50) if size * factor > step * 1.01)
        step, first, last = bigger, math.floor(low / bigger + 1e-9), math.ceil(high / bigger - 1e-9)
    return [n * step for n in range(first, last + 1)]


def tick_labels(values: list[float], unit: str) -> list[str]:
    """Write the marks of an axis in one unit, with equally many digits.

    >>> tick_labels([0.0, 500_000.0, 1_000_000.0], "B")
    ['0', '0.5 MB', '1.0 MB']
    """
    power = prefix_power(max(map(abs, values)))
    scale = 1000.0**power
    step = (values[1] - values[0]) / scale
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if digits > 4 or max(map(abs, values)) >= _BEYOND:
        return [with_unit(f"{value:.2g}", 0, unit) for value in values]
    return ["0" if value == 0 else with_unit(f"{value / scale:,.{digits}f}", power, unit) for value in values]

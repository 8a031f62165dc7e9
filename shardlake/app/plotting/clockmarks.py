"""The marks of a time axis: round times of a zone's clocks, as many as there is room for."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from shardlake.app.times import Zone

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400
_STEPS: Final = (
    1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
    HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY,
)  # fmt: skip
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000)
_MONTH_S: Final = 30 * DAY

Mark = tuple[float, str, str]  # seconds since 1970, what stands at the mark, and what stands below if it is new


def marks(first: float, last: float, count: int, zone: Zone) -> list[Mark]:
    """Give round times from `first` to `last` (seconds since 1970), about `count` of them at most."""
    rough = (last - first) / max(1, count)
    step = next((step for step in _STEPS if step >= rough), None)
    walls = _by_seconds(zone.wall(first), step) if step else _by_months(zone.wall(first), _months(rough))
    form = _form(step or 0, _months(rough))
    found: list[Mark] = []
    for wall in walls:
        try:
            at = zone.seconds(wall)
        except (OverflowError, ValueError):
            break
        if at > last:
            break
        if at >= first and (not found or at > found[-1][0]):
            shown = zone.wall(at)  # another one than `wall` in an hour that clocks skip
            found.append((at, f"{shown:{form[0]}}", f"{shown:{form[1]}}" if form[1] else ""))
    return found or [(first, f"{zone.wall(first):%H:%M:%S}", f"{zone.wall(first):%Y-%m-%d}")]


def _months(rough: float) -> int:
    return next((months for months in _MONTHS if months * _MONTH_S >= rough), _MONTHS[-1])


def _form(step: int, months: int) -> Sequence[str]:
    if not step:
        return ("%Y-%m", "") if months < 12 else ("%Y", "")
    if step < MINUTE:
        return ("%H:%M:%S", "%Y-%m-%d")
    return ("%H:%M", "%Y-%m-%d") if step < DAY else ("%m-%d", "%Y")


def _by_seconds(begin: datetime, step: int) -> Iterator[datetime]:
    """Count from midnight; whole days from a Monday, so that the marks stay where they are as time goes on."""
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    days = (midnight.toordinal() - 1) % (step // DAY) if step >= DAY else 0
    wall = midnight - timedelta(days=min(days, midnight.toordinal() - 1))
    try:
        while True:
            if wall >= begin - timedelta(seconds=step):
                yield wall
                wall += timedelta(seconds=step)
            else:
                wall += timedelta(seconds=step * max(1, int((begin - wall).total_seconds()) // step))
    except OverflowError:
        return


def _by_months(begin: datetime, months: int) -> Iterator[datetime]:
    index = (begin.year * 12 + begin.month - 1) // months * months
    while index // 12 <= 9999:
        if index >= 12:
            yield datetime(index // 12, index % 12 + 1, 1)
        index += months

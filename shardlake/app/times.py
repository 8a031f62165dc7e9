"""Time zones, for showing times: what is stored, compared and grouped stays UTC."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

from shardlake.app.text import utc
from shardlake.core.errors import ConfigError

ACCEPTED: Final = "UTC, local, a name such as Europe/Berlin, or an offset such as +05:30"
_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEAR: Final = 0.8  # how much of a name must be right for another one to be suggested


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone that times are shown in. `rules` is None for the zone of this machine."""

    name: str
    rules: tzinfo | None

    @property
    def is_utc(self) -> bool:
        """Tell whether times are shown as they are."""
        return self.rules is UTC

    def of(self, moment: datetime) -> datetime:
        """Give a moment (UTC if it has no zone) in this zone, or unchanged where calendars end."""
        known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        try:
            return known.astimezone(self.rules)
        except (OverflowError, OSError, ValueError):  # the first and last days of the calendar stand for infinity
            return known

    def seconds(self, wall: datetime) -> float:
        """Give the seconds since 1970 of what clocks in this zone show. Raises: OverflowError."""
        known = wall.astimezone() if self.rules is None else wall.replace(tzinfo=self.rules)
        return (known - _EPOCH).total_seconds()

    def wall(self, seconds: float) -> datetime:
        """Give what clocks in this zone show at so many seconds since 1970."""
        return self.of(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)

    def text(self, micros: int | None) -> str:
        """Write a time of UTC microseconds, with its offset."""
        if micros is None or self.is_utc:
            return utc(micros)
        try:
            return self.of(_EPOCH + timedelta(microseconds=micros)).isoformat(" ", "seconds")
        except OverflowError:
            return utc(micros)


AS_STORED: Final = Zone("UTC", UTC)


def zone(name: str, origin: str) -> Zone:
    """Find a zone by its name; `origin` is where the name was given. Raises: ConfigError."""
    if name.upper() in ("UTC", "Z", "+00:00"):
        return AS_STORED
    if name.lower() == "local":
        return Zone("local time", None)
    if found := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        if offset < timedelta(days=1) and int(found[3]) < 60:
            return Zone(name, timezone(-offset if found[1] == "-" else offset))
    from zoneinfo import ZoneInfo  # only those who ask for a zone pay for it

    try:
        return Zone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError) as error:  # a name that is none, no name of a file, a folder
        raise ConfigError(f"query.timezone is {name!r} ({origin}); {_hint(name)}accepted: {ACCEPTED}") from error


def _hint(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = {one.lower(): one for one in sorted(available_timezones())}
    if not known:
        return "this machine knows no time zones: install the package tzdata; "
    cities = {one.rpartition("/")[2]: one for one in known}
    near = get_close_matches(name.lower(), known, n=1, cutoff=_NEAR) or [
        cities[city] for city in get_close_matches(name.lower().replace(" ", "_"), cities, n=1, cutoff=_NEAR)
    ]
    return f"did you mean {known[near[0]]}? " if near else ""


def shown(rows: Sequence[tuple[Any, ...]], zone: Zone) -> Sequence[tuple[Any, ...]]:
    """Give rows with every time in a zone; dates have none, and stay."""
    return rows if zone.is_utc else [tuple(_value(value, zone) for value in row) for row in rows]


def _value(value: Any, zone: Zone) -> Any:
    if isinstance(value, datetime):
        return zone.of(value)
    if isinstance(value, list | tuple):
        return [_value(item, zone) for item in value]
    if isinstance(value, dict):
        return {key: _value(item, zone) for key, item in value.items()}
    return value

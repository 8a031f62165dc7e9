"""What the name of a standard log file tells: `<prefix><distribution>.YYYY-MM-DD-HH.<unique>.gz`."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"(?P<stem>[^/]+)\.(?P<hour>\d{4}-\d\d-\d\d-\d\d)\.[^/]+")
_DISTRIBUTION = re.compile(r"E[0-9A-Z]{8,20}$")


@dataclass(frozen=True, slots=True)
class LogName:
    """The two parts of a log file's name that copies of it share. The hour is that of the requests, in UTC."""

    stem: str
    hour: str

    @property
    def distribution(self) -> str | None:
        """The distribution's id, if the name holds one. A prefix may stand before it without a mark between."""
        found = _DISTRIBUTION.search(self.stem)
        return found[0] if found else None


def parse(object_name: str) -> LogName | None:
    """Read the name of an object, whatever folder it is in; None if CloudFront does not write such names.

    >>> parse("logs/cdn-E2EXAMPLE1234.2026-03-01-10.abcdef01.gz").distribution
    'E2EXAMPLE1234'
    """
    found = _NAME.fullmatch(object_name.rpartition("/")[2])
    return LogName(found["stem"], found["hour"]) if found else None


def bucket_key(object_name: str) -> str | None:
    """Give distribution and hour, so that a copy under another name or in another folder meets the same ids.

    >>> bucket_key("a/E2EXAMPLE1234.2026-03-01-10.abcdef01.gz") == bucket_key("E2EXAMPLE1234.2026-03-01-10.copy.gz")
    True
    """
    name = parse(object_name)
    return f"{name.distribution or name.stem}.{name.hour}" if name else None

"""What the doctor finds: one thing that was looked at, and what it was looked at with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shardlake.app.config import Resolved
from shardlake.app.settings import Config
from shardlake.core.errors import Transient
from shardlake.core.ports import Clock

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a check: what was found, and what to do about it."""

    check: str
    state: State
    found: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a doctor looks at, and how. `downtime_h` is how long nobody may read; `put` allows to write."""

    resolved: Resolved
    environ: Mapping[str, str]
    clock: Clock
    downtime_h: float = 24.0
    put: bool = False

    @property
    def config(self) -> Config:
        """The settings."""
        return self.resolved.config


def failed(check: str, error: Exception, what_next: str) -> Check:
    """Make a check of an error: what passes is a warning."""
    return Check(check, "warn" if isinstance(error, Transient) else "fail", str(error), what_next)

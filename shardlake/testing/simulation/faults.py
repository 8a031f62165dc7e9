"""Where a simulated world can be disturbed: every call of a process to what is outside of it.

A process is a worker, a batch run or a planner. All run in one thread: what happens inside of somebody's call happens
to completion there, so that any other process can do anything between two calls of one, and inside of each.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from shardlake.testing.clock import ManualClock
from shardlake.testing.simulation.schedule import Fault, Step

Kind = Literal["worker", "batch", "planner"]


class Killed(BaseException):
    """A process dies where it stands. Nothing that it runs catches this."""


class HostClock:
    """The clock of one machine: time passes as everywhere, but its wall clock may be wrong."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.off_us = 0

    def now_us(self) -> int:
        """Wall-clock time, as this machine believes."""
        return self._clock.now_us() + self.off_us

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return self._clock.monotonic_s()

    def sleep_s(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self._clock.advance(seconds)


@dataclass(slots=True, eq=False)
class Process:
    """Who makes a call. One that is dead ends at the next call."""

    kind: Kind
    number: int
    clock: HostClock
    is_dead: bool = False

    def __str__(self) -> str:
        """Tell which one."""
        return f"{self.kind}{self.number}"


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int
    times: int


@dataclass(slots=True)
class Faults:
    """The faults that lie in wait, what has fired, and the trace of all calls."""

    clock: ManualClock
    play: Callable[[Step], None]
    fired: Counter[str] = field(default_factory=Counter)
    trace: list[tuple[object, ...]] = field(default_factory=list)
    running: list[Process] = field(default_factory=list)
    _armed: list[_Armed] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Let a fault lie in wait."""
        self._armed.append(_Armed(fault, fault.nth, fault.times))

    def clear(self) -> None:
        """Forget the faults that still wait."""
        self._armed.clear()

    def count(self, kind: str) -> None:
        """Take note of something that went wrong, or was done, to some effect."""
        self.fired[kind] += 1
        self.trace.append(("!", kind))

    @contextmanager
    def run(self, process: Process) -> Iterator[None]:
        """Let a process be the one that calls."""
        self.running.append(process)
        try:
            yield
        finally:
            self.running.pop()

    def at(self, process: Process, call: str, what: str = "", *, after: bool = False) -> Fault | None:
        """Pass a call, before or after its work; give the fault that the caller is to carry out, if any.

        Raises: Killed.
        """
        if not after:
            self.trace.append((process, call, what))
        if process.is_dead:
            raise Killed
        if not self._armed:
            return None
        fault = self._struck(process, call, after=after)
        if fault is None:
            return None
        self.count(_kind(fault, call))
        if fault.effect == "crash":
            process.is_dead = True
            raise Killed
        if fault.effect == "slow":
            self.clock.advance(fault.seconds)
            return None
        if fault.effect == "pause":
            for step in fault.steps:
                self.play(step)
            if process.is_dead:
                raise Killed
            return None
        return fault

    def _struck(self, process: Process, call: str, *, after: bool) -> Fault | None:
        for armed in self._armed:
            fault = armed.fault
            if fault.call != call or fault.after != after or fault.by not in ("", process.kind):
                continue
            if armed.left > 1:
                armed.left -= 1
                continue
            armed.times -= 1
            if not armed.times:
                self._armed.remove(armed)
            return fault
        return None

    def reached(self, point: str) -> None:
        """Pass a named step of the code, as whoever runs now. Raises: Killed."""
        if self.running:
            self.at(self.running[-1], f"point.{point}")


def _kind(fault: Fault, call: str) -> str:
    """Name a fault for the statistics: by the call, and, where it is the same everywhere, by a family of calls."""
    if fault.effect == "slow":
        return f"slow {SLOW.get(call.partition('.')[0], call)}"
    if fault.effect in ("crash", "pause"):
        family = FAMILIES.get(call) or FAMILIES.get(call.partition(".")[0]) or call.replace("point.", "step ")
        return f"{fault.effect} {'after' if fault.after else 'before'} {family}"
    return f"{call} {fault.effect}"


SLOW: Final = {
    "journal": "journal",
    "store": "storage",
    "tables": "batch tables",
    "files": "storage",
    "kinesis": "stream",
    "streams": "stream",
    "dynamo": "journal",
    "point": "between two steps",
}
FAMILIES: Final = {
    "journal.get": "a read of the journal",
    "journal.scan": "a read of the journal",
    "journal.transact": "a transaction",
    "store.put": "a put of objects",
    "store.get": "a read of an object",
    "tables.commit": "a commit of a batch table",
    "tables": "a look at a batch table",
    "files.write": "a write of a table's files",
    "kinesis": "a call of the stream",
    "streams": "a call of the stream",
    "dynamo.TransactWriteItems": "a transaction",
    "dynamo.PutItem": "a transaction",
    "dynamo": "a read of the journal",
}

"""Many workers with a time of their own each: a discrete-event simulation in which calls take time.

Each worker runs in a thread of its own, of which only one is ever awake: whoever waits, for a call or for time to pass,
hands over to the one whose time comes first. So a run is as deterministic as its seed, and two workers interleave
between any two of their calls, as processes do.
"""

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from shardlake.core.journal.port import Journal, Write
from shardlake.core.journal.rows import ObjectRef
from shardlake.core.ports import ObjectStore

STACK_BYTES = 8 << 20


class Killed(BaseException):
    """Ends a worker's thread wherever it waits; nothing catches it."""


@dataclass(slots=True)
class Baton:
    """Simulated time, and whose turn it is."""

    now_s: float = 1_000.0
    epoch_us: int = 1_767_225_600_000_000
    failures: list[BaseException] = field(default_factory=list)
    _turns: list[tuple[float, int, threading.Event]] = field(default_factory=list)
    _order: "count[int]" = field(default_factory=count)
    _back: threading.Event = field(default_factory=threading.Event)
    _killed: set[int] = field(default_factory=set)
    _mine: threading.local = field(default_factory=threading.local)

    def start(self, work: Callable[[], None]) -> int:
        """Let somebody begin now; the number is what to kill it by."""
        awake, me = threading.Event(), next(self._order)

        def run() -> None:
            awake.wait()
            self._mine.number = me
            try:
                if me not in self._killed:
                    work()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that drives
                self.failures.append(error)
            self._back.set()

        before = threading.stack_size(STACK_BYTES)
        threading.Thread(target=run, daemon=True).start()
        threading.stack_size(before)
        heappush(self._turns, (self.now_s, next(self._order), awake))
        return me

    def kill(self, who: int) -> None:
        """Let somebody end at its next turn, without another word."""
        self._killed.add(who)

    def wait(self, seconds: float) -> None:
        """Let so much time pass for whoever calls this, which is somebody who was started."""
        awake = threading.Event()
        heappush(self._turns, (self.now_s + seconds, next(self._order), awake))
        self._back.set()
        awake.wait()
        if self._mine.number in self._killed:
            raise Killed

    def run(self, until_s: float) -> None:
        """Drive everybody up to a moment. Raises: what somebody's work raised."""
        while self._turns and self._turns[0][0] <= until_s:
            at_s, _, awake = heappop(self._turns)
            self.now_s = max(self.now_s, at_s)
            self._back.clear()
            awake.set()
            self._back.wait()
            if self.failures:
                raise self.failures[0]
        self.now_s = max(self.now_s, until_s)


@dataclass(frozen=True, slots=True)
class OwnClock:
    """The clock of one worker: its monotonic seconds begin anywhere, and its wall clock may be wrong."""

    baton: Baton
    ahead_s: float = 0.0
    wrong_us: int = 0

    def now_us(self) -> int:
        """Wall-clock time by this worker."""
        return self.baton.epoch_us + round(self.baton.now_s * 1_000_000) + self.wrong_us

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return self.baton.now_s + self.ahead_s

    def sleep_s(self, seconds: float) -> None:
        """Wait while the others go on."""
        self.baton.wait(seconds)


@dataclass(slots=True)
class SlowJournal:
    """A journal whose calls take a drawn time, half of it before they are carried out and half after.

    `calls` counts what was asked, `rows` what was read; `landed` names the entries that were written, in their order.
    """

    inner: Journal
    baton: Baton
    chance: random.Random
    shortest_s: float = 0.004
    longest_s: float = 0.02
    calls: int = 0
    rows: int = 0
    landed: list[str] = field(default_factory=list)

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read rows."""
        half_s = self._half()
        found = self.inner.get(keys)
        self.rows += len(found)
        self.baton.wait(half_s)
        return found

    def scan(self, prefix: str, after: str = "", upto: str = "\U0010ffff") -> Sequence[tuple[str, bytes]]:
        """Read rows in order of keys."""
        half_s = self._half()
        found = self.inner.scan(prefix, after, upto)
        self.rows += len(found)
        self.baton.wait(half_s)
        return found

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply the writes. Raises: Conflict."""
        half_s = self._half()
        self.inner.transact(writes)
        self.landed += (write.key for write in writes if write.key.startswith("entry/"))
        self.baton.wait(half_s)

    def _half(self) -> float:
        self.calls += 1
        half_s = self.chance.uniform(self.shortest_s, self.longest_s) / 2
        self.baton.wait(half_s)
        return half_s


@dataclass(slots=True)
class SlowObjects:
    """Object storage whose puts and reads take a while."""

    inner: ObjectStore
    baton: Baton
    chance: random.Random
    shortest_s: float = 0.01
    longest_s: float = 0.05
    _near: threading.local = field(default_factory=threading.local)

    def put(self, folder: str, objects: Mapping[str, bytes | memoryview]) -> Mapping[str, ObjectRef]:
        """Create objects."""
        self._wait()
        return self.inner.put(folder, objects)

    def get(self, ref: ObjectRef) -> bytes:
        """Read an object, which takes no time if its reader has just fetched it."""
        if ref not in self._fetched():
            self._wait()
        return self.inner.get(ref)

    def fetch(self, refs: Iterable[ObjectRef]) -> None:
        """Bring objects near, all at once: it takes as long as the slowest."""
        self._near.refs = set(refs)
        if self._near.refs:
            self.baton.wait(max(self.chance.uniform(self.shortest_s, self.longest_s) for _ in self._near.refs))

    def _fetched(self) -> "set[ObjectRef]":
        found: set[ObjectRef] = getattr(self._near, "refs", set())
        return found

    def path(self, ref: ObjectRef) -> str:
        """Give an object's local path."""
        return self.inner.path(ref)

    def list(self, prefix: str) -> Sequence[str]:
        """Name objects."""
        return self.inner.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        self.inner.delete(names)

    def _wait(self) -> None:
        self.baton.wait(self.chance.uniform(self.shortest_s, self.longest_s))

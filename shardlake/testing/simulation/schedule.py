"""What happens to a simulated world, as data: drawn from a seed, printed, kept as JSON, cut down, run again."""

from collections.abc import Iterator
from typing import Literal

import msgspec

Mode = Literal["multiset", "duckdb"]
Call = str  # such as journal.transact, store.put, tables.commit, kinesis.GetRecords, point.stream:after-files


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that goes wrong at the `nth` call of a name from when its step begins, and at the `times - 1` after it.

    `by` is the kind of process that makes the call: worker, batch, planner, or "" for any. `after` is once the call has
    done its work, else before. The effect `pause` does `steps` inside of the call: whoever called hears nothing of it.
    """

    call: Call
    effect: str
    nth: int = 1
    times: int = 1
    after: bool = False
    by: str = ""
    seconds: float = 0.0
    steps: tuple["Step", ...] = ()

    def __str__(self) -> str:
        """Tell it in a few words."""
        words = [f"{self.effect} {'after' if self.after else 'at'} {self.call} {self.nth}"]
        words += [f"x{self.times}"] if self.times > 1 else []
        words += [f"of a {self.by}"] if self.by else []
        words += [f"{self.seconds:g} s"] if self.seconds else []
        words += [f"({'; '.join(map(str, self.steps))})"] if self.steps else []
        return " ".join(words)


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happens. `who` chooses among what there is; `faults` lie in wait from then on."""

    do: str
    who: int = 0
    count: int = 1
    seconds: float = 0.0
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        """Tell it in a few words."""
        words = [self.do, f"who={self.who}"]
        words += [f"count={self.count}"] if self.count != 1 else []
        words += [f"seconds={self.seconds:g}"] if self.seconds else []
        words += [f"[{fault}]" for fault in self.faults]
        return " ".join(words)


class Setup(msgspec.Struct, frozen=True, omit_defaults=True):
    """The world as it begins, and what is so all the time."""

    shards: int = 2
    workers: int = 2
    source: Literal["kinesis", "changes"] = "kinesis"
    journal: Literal["memory", "dynamodb"] = "memory"
    views: tuple[str, ...] = ("one",)
    page_records: int = 10_000
    empty_pages: float = 0.0
    end_apart: float = 0.0
    failing_records: float = 0.0
    reads_per_s: int | None = None
    on_gap: Literal["fail", "dlq", "continue"] = "dlq"
    starts_late: bool = False
    chunk_rows: int = 100_000
    id_logs: int = 256
    batch_rows: int = 1_000_000
    ends: int = 50
    roll_s: float = 14_400.0  # of a table's stream: how long a shard is open,
    late_s: float = 0.0  # how long a listing lacks a new one,
    expired_listed_s: float = 0.0  # and how long it has one that has expired


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A world and what happens to it. The seed is also what chance inside of the service begins with."""

    seed: int
    setup: Setup
    steps: tuple[Step, ...]
    mode: Mode = "multiset"

    def to_json(self) -> bytes:
        """Write it."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(data: bytes) -> "Schedule":
        """Read what `to_json` wrote. Raises: msgspec.ValidationError."""
        return msgspec.json.decode(data, type=Schedule)

    def lines(self) -> Iterator[str]:
        """Tell it, a line a step."""
        yield f"seed {self.seed}, mode {self.mode}"
        given = msgspec.structs.asdict(self.setup)
        yield "setup: " + ", ".join(f"{name}={value}" for name, value in given.items())
        yield from (f"{number:4} {step}" for number, step in enumerate(self.steps))

    def without(self, first: int, count: int) -> "Schedule":
        """Leave some steps out."""
        return msgspec.structs.replace(self, steps=self.steps[:first] + self.steps[first + count :])

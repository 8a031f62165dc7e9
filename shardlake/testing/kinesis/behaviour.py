"""What the embedded service does and where its limits lie: all of it can be changed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one call.

    With `applied`, the call does its work first: the caller sees an error, or nothing, and the record is stored.
    With `dropped` there is no answer at all: the connection closes. With `code` None the call succeeds, `delay_s`
    late. The delay comes after the work and holds up nobody else.
    """

    code: str | None = "InternalFailure"
    message: str = "Internal Service Failure"
    status: int = 500
    applied: bool = False
    dropped: bool = False
    delay_s: float = 0.0


# The name of an action and the body of its request -> what goes wrong with it.
FaultHook = Callable[[str, bytes], Fault | None]

# A frame of a subscription -> what arrives of it: the same, other bytes, or fewer, after which the connection is lost.
Spoil = Callable[[bytes], bytes]

KMS_FAULTS = tuple(
    Fault(code, f"The request was rejected because of the state of the key: {code}", status=400)
    for code in (
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSAccessDeniedException",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "KMSThrottlingException",
    )
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches and limits. The defaults are those of AWS, except that streams change their state at once.

    A limit per second or day that is None is switched off. Chances are between 0 and 1.
    """

    # Throttles: they lose nothing, they only make callers wait.
    write_bytes_per_s: int | None = MIB
    write_records_per_s: int | None = 1_000
    read_bytes_per_s: int | None = 2 * MIB
    reads_per_s: int | None = 5
    iterators_per_s: int | None = 5
    list_shards_per_s: int | None = 1_000
    describes_per_s: int | None = 10
    summaries_per_s: int | None = 20
    changes_per_s: int | None = 5
    count_changes_per_day: int | None = 10

    # Enhanced fan-out. A subscription that is younger than `push_young_s` cannot be taken over.
    subscribes_per_s: int | None = 1
    consumer_describes_per_s: int | None = 20
    push_bytes_per_s: int | None = 2 * MIB
    push_life_s: float = 300.0
    push_young_s: float = 5.0
    push_idle_s: float = 5.0
    push_bytes_max: int = MIB
    consumers_max: int = 20
    spoil: Spoil | None = None

    # Sizes of requests and pages.
    page_records_max: int = 10_000
    page_bytes_max: int = 10 * MIB
    put_records_max: int = 500
    put_bytes_max: int = 10 * MIB
    record_kib: int = 1_024
    shards_max: int = 20_000
    list_page_max: int = 1_000
    describe_page_max: int = 100

    # Time.
    iterator_life_s: float = 300.0
    token_life_s: float = 300.0
    retention_hours: int = 24
    trims: bool = True
    creating_s: float = 0.0
    updating_s: float = 0.0
    deleting_s: float = 0.0

    # What AWS may do at any time, and seldom does in a test.
    empty_pages: float = 0.0
    end_apart: float = 0.0
    failing_records: float = 0.0
    arrival_jitter_ms: int = 0
    fault: FaultHook | None = None

    # Whose streams these are.
    account: str = "000000000000"
    region: str = "us-east-1"

    @classmethod
    def unlimited(cls) -> Self:
        """Give a service that never makes a caller wait, for benchmarks and demos."""
        return cls(
            write_bytes_per_s=None,
            write_records_per_s=None,
            read_bytes_per_s=None,
            reads_per_s=None,
            iterators_per_s=None,
            list_shards_per_s=None,
            describes_per_s=None,
            summaries_per_s=None,
            changes_per_s=None,
            count_changes_per_day=None,
            subscribes_per_s=None,
            consumer_describes_per_s=None,
            push_bytes_per_s=None,
        )

    def changed(self, **changes: object) -> Self:
        """Give the same behaviour with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

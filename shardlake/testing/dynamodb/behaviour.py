"""What the embedded service does and where its limits lie: all of it can be changed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

MIB = 1 << 20
KIB = 1 << 10
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with one call.

    With `applied`, the call does its work first: the caller sees an error, or nothing. With `dropped` there is no
    answer at all. With `late` the caller hears nothing and the call does its work afterwards: when `land()` is called,
    or `delay_s` later if that is not 0; and with `locks`, its items are taken by it meanwhile, as by a transaction that
    goes on. With `code` None the call succeeds, `delay_s` late.
    """

    code: str | None = "InternalServerError"
    message: str = "The request processing has failed because of an unknown error, exception or failure."
    status: int = 500
    applied: bool = False
    dropped: bool = False
    late: bool = False
    locks: bool = False
    delay_s: float = 0.0


THROTTLES = (
    Fault(
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API.",
        400,
    ),
    Fault("ThrottlingException", "Throughput exceeds the current capacity of your table or index.", 400),
    Fault("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account.", 400),
)
# A transaction is told so by its cancellation reasons, a single write by an error of its own.
CONFLICT = Fault("TransactionConflictException", "Transaction is ongoing for the item", 400)
INTERNAL = Fault()
LOST_BEFORE = Fault(dropped=True)
LOST_AFTER = Fault(dropped=True, applied=True)
LATE = Fault(dropped=True, late=True)
ONGOING = Fault(dropped=True, late=True, locks=True)

# The name of an action and the body of its request -> what goes wrong with it.
FaultHook = Callable[[str, bytes], Fault | None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches and limits. The defaults are those of AWS, except that tables change their state at once.

    A limit per second that is None is switched off. Chances are between 0 and 1.
    """

    # Reads that are not strongly consistent: how many are served by a replica, and how old it may be.
    stale_reads: float = 0.0
    stale_s: float = 1.0

    # Sizes of items, requests and pages.
    item_bytes_max: int = 400 * KIB
    page_bytes_max: int = MIB
    transaction_items_max: int = 100
    transaction_bytes_max: int = 4 * MIB
    batch_writes_max: int = 25
    batch_gets_max: int = 100
    batch_get_bytes_max: int = 16 * MIB
    unprocessed: float = 0.0  # how many items of a batch are left to the caller

    # Time.
    token_life_s: float = 600.0
    creating_s: float = 0.0
    deleting_s: float = 0.0
    ttl_sweep_s: float = 60.0  # from one deletion of expired items to the next
    ttl_lag_s: float = 0.0  # how long an expired item stays at least

    # Streams.
    stream_shards: int = 2
    roll_s: float | None = 14_400.0  # the life of a shard; None for ever
    roll_jitter: float = 0.1  # by what part of that it varies
    trims: bool = True
    retention_s: float = DAY_S
    iterator_life_s: float = 900.0
    records_max: int = 1_000
    records_bytes_max: int = MIB
    describe_page_max: int = 100
    reads_per_s: int | None = 5
    describes_per_s: int | None = 10
    lists_per_s: int | None = 5

    # What AWS may do at any time with a stream, and seldom does in a test.
    empty_pages: float = 0.0
    end_apart: float = 0.0  # the end of a closed shard is told by an empty page of its own
    expired_listed_s: float = 0.0  # how long a shard is described after its last record was trimmed
    children_late_s: float = 0.0  # how long a new shard is not described
    parents_open: float = 0.0  # how often a shard that has just closed is described as open
    parents_open_s: float = 10.0
    disabled_open: bool = False  # the last shards of a disabled stream are described as open

    fault: FaultHook | None = None

    # Whose tables these are.
    account: str = "000000000000"
    region: str = "us-east-1"

    @classmethod
    def unlimited(cls) -> Self:
        """Give a service that never makes a caller wait, for benchmarks and demos."""
        return cls(reads_per_s=None, describes_per_s=None, lists_per_s=None)

    def changed(self, **changes: object) -> Self:
        """Give the same behaviour with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

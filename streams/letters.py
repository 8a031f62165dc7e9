"""Dead letters as columns: what could not be read, with its place, its reason and its payload."""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from shardlake.adapters.arrow import binaries, constant, longs, strings, timestamps
from streams.sources.port import Fault

LETTERS: Final = pa.schema(
    [
        ("_shard", pa.string()),
        ("_sequence", pa.string()),
        ("_sub", pa.int64()),
        ("_arrival", pa.timestamp("us")),
        ("origin", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("payload", pa.binary()),
    ]
)


def letters_of(shard: str, origin: str, faults: Sequence[Fault], kept_max: int) -> pa.Table | None:
    """Make dead letters of faults that have their sequence numbers; of a payload at most `kept_max` bytes are kept."""
    if not faults:
        return None
    count = len(faults)
    columns = [
        constant(shard, count).cast(pa.string()),
        strings([fault.sequence for fault in faults]),
        longs(np.array([fault.line for fault in faults], dtype=np.int64)),
        timestamps(np.array([fault.arrival_us for fault in faults], dtype=np.int64)),
        constant(origin, count).cast(pa.string()),
        strings([fault.reason for fault in faults]),
        strings([told(fault, kept_max) for fault in faults]),
        binaries([fault.payload[:kept_max] for fault in faults]),
    ]
    return pa.Table.from_arrays(columns, schema=LETTERS)


def fault_of(
    line: int, reason: str, detail: str, payload: bytes, kept_max: int, sequence: str, arrival_us: int
) -> Fault:
    """Make a fault of a whole line that was read, at its place."""
    digest = hashlib.sha256(payload).hexdigest() if len(payload) > kept_max else ""
    return Fault(line, reason, detail, payload, len(payload), digest, sequence, arrival_us)


def told(fault: Fault, kept_max: int) -> str:
    """What is known of a fault of whose payload at most so many bytes are kept."""
    kept = min(len(fault.payload), kept_max)
    if fault.length == kept:
        return fault.detail
    return f"{fault.detail} (the first {kept} of {fault.length} bytes are kept; sha256 {fault.sha256})"

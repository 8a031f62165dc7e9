"""Aggregated records, as the Kinesis Producer Library writes them: many user records in one Kinesis record.

The format: four bytes F3 89 9A C2, a protobuf message (`_MESSAGES`), and the 16 bytes of its MD5. A user record names
its partition key, and an explicit hash key if it has one, by their indexes in two tables.

A record that begins like an aggregate and is not a whole one, in its MD5, its protobuf, or any index, is a plain
record: nothing of it is left out. protobuf is imported when the first aggregate is met.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import md5
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Put

MAGIC: Final = b"\xf3\x89\x9a\xc2"
_DIGEST: Final = 16
_PACKAGE: Final = "shardlake"
# Fields in the order of their numbers, from 1. The tables hold text, but are read as bytes, which on the wire is the
# same: what protobuf does with text that is not UTF-8 differs between its versions.
_MESSAGES: Final = {
    "Tag": (("required", "string", "key"), ("optional", "string", "value")),
    "Record": (
        ("required", "uint64", "partition_key_index"),
        ("optional", "uint64", "explicit_hash_key_index"),
        ("required", "bytes", "data"),
        ("repeated", "Tag", "tags"),
    ),
    "AggregatedRecord": (
        ("repeated", "bytes", "partition_key_table"),
        ("repeated", "bytes", "explicit_hash_key_table"),
        ("repeated", "Record", "records"),
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class Expanded:
    """User records as columns of equal length, in the order of the shard.

    `record` is the index of the Kinesis record that each came in, `sub` its number in it, from 0: (sequence number,
    sub) is the position. `hash_keys` are the effective hash keys, explicit or MD5 of the partition key, and None for
    those that were no aggregate's.
    """

    data: list[bytes]
    record: NDArray[np.int64]
    sub: NDArray[np.int64]
    hash_keys: list[int | None]

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        """Tell how many, and nothing of what they hold."""
        return f"Expanded({len(self)} user records)"

    def outside(self, start_hash: int, end_hash: int) -> NDArray[np.bool_]:
        """Mark the user records of aggregates whose hash key does not lie in a shard's range, ends included.

        A Kinesis Producer Library that guessed the shard wrongly, after resharding, puts such an aggregate, and KCL
        drops the whole of it.
        """
        marks = (key is not None and not start_hash <= key <= end_hash for key in self.hash_keys)
        return np.fromiter(marks, np.bool_, len(self.hash_keys))


def expand(data: Sequence[bytes]) -> Expanded | None:
    """Take aggregates apart; None if there is none among the records, which is seen by their first bytes."""
    marked = [index for index, record in enumerate(data) if record.startswith(MAGIC)]
    found = {index: users for index in marked if (users := _users(data[index])) is not None}
    if not found:
        return None
    flat: list[bytes] = []
    hash_keys: list[int | None] = []
    counts = np.ones(len(data), np.int64)
    done = 0
    for index, (payloads, keys) in found.items():
        flat += [*data[done:index], *payloads]
        hash_keys += [*([None] * (index - done)), *keys]
        counts[index] = len(payloads)
        done = index + 1
    flat += data[done:]
    hash_keys += [None] * (len(data) - done)
    record = np.repeat(np.arange(len(data)), counts)
    first = np.cumsum(counts) - counts
    return Expanded(flat, record, np.arange(len(flat)) - first[record], hash_keys)


def aggregate(puts: Sequence[Put]) -> bytes:
    """Write user records, at least one, as one aggregate. Partition and hash keys are written once each."""
    assert puts, "an aggregate has at least one user record"
    keys = {key: index for index, key in enumerate(dict.fromkeys(put.key for put in puts))}
    hashes = {key: index for index, key in enumerate(dict.fromkeys(put.hash_key for put in puts if put.hash_key))}
    tables = {"partition_key_table": keys, "explicit_hash_key_table": hashes}
    message = _message_class()(**{name: [key.encode() for key in table] for name, table in tables.items()})
    for put in puts:
        record = message.records.add(partition_key_index=keys[put.key], data=put.data)
        if put.hash_key:
            record.explicit_hash_key_index = hashes[put.hash_key]
    body: bytes = message.SerializeToString()
    return MAGIC + body + _digest(body)


def hash_of(key: str) -> int:
    """The hash key of a partition key, which decides its shard."""
    return int.from_bytes(_digest(key.encode()))


def _users(record: bytes) -> tuple[list[bytes], list[int]] | None:
    """Give the user records of an aggregate, and their hash keys; None if it is not a whole one."""
    body = record[len(MAGIC) : -_DIGEST]
    if not body or _digest(body) != record[-_DIGEST:]:
        return None
    try:
        message = _message_class().FromString(body)
        if not message.IsInitialized():  # of which only some versions of protobuf complain
            return None
        by_key = [hash_of(key.decode()) for key in message.partition_key_table]
        explicit = [_hash_key(key.decode()) for key in message.explicit_hash_key_table]
        records = list(message.records)
        has = "explicit_hash_key_index"
        # The key's index is looked up even where the hash is explicit: an aggregate is whole or none.
        hashes = [by_key[record.partition_key_index] for record in records]
        if explicit or any(record.HasField(has) for record in records):
            given = [explicit[r.explicit_hash_key_index] if r.HasField(has) else None for r in records]
            hashes = [h if e is None else e for h, e in zip(hashes, given, strict=True)]
    except (_decode_error(), IndexError, ValueError):
        return None
    return ([record.data for record in records], hashes) if records else None


def _hash_key(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= number <= HASH_KEY_MAX:
        raise ValueError("a hash key lies between 0 and 2**128 - 1")
    return number


def _digest(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - most streams hold no aggregate

    error: type[Exception] = DecodeError
    return error


@cache
def _message_class() -> Any:
    """Make the class of an aggregate's message from its description, in a pool of its own."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - as above

    kind = descriptor_pb2.FieldDescriptorProto
    labels = {"required": kind.LABEL_REQUIRED, "optional": kind.LABEL_OPTIONAL, "repeated": kind.LABEL_REPEATED}
    types = {"string": kind.TYPE_STRING, "uint64": kind.TYPE_UINT64, "bytes": kind.TYPE_BYTES}
    file = descriptor_pb2.FileDescriptorProto(name="aggregates.proto", package=_PACKAGE, syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for number, (label, type_name, name) in enumerate(fields, start=1):
            field = described.field.add(name=name, number=number, label=labels[label])
            if type_name in types:
                field.type = types[type_name]
            else:
                field.type, field.type_name = kind.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.AggregatedRecord"))

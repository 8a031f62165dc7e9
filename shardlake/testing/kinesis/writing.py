"""PutRecord and PutRecords. One pass checks, one stores; a record costs a few microseconds."""

from hashlib import md5

import msgspec

from shardlake.testing.kinesis import errors
from shardlake.testing.kinesis.requests import HASH_KEY, Entry, PutRecord, PutRecords
from shardlake.testing.kinesis.shard import HASH_KEYS, Shard
from shardlake.testing.kinesis.stream import Stream
from shardlake.testing.kinesis.world import World

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_KEY_CHARS_MAX = 256
_FAILED = '{"ErrorCode":"InternalFailure","ErrorMessage":"Internal Service Failure"}'
_encode = msgspec.json.Encoder().encode


class _Flow:
    """What one call may still write to one shard, and what its numbers there have in common."""

    __slots__ = ("base", "bytes_left", "full", "records_left", "shard", "stored")

    def __init__(self, world: World, stream: Stream, shard: Shard, now_ms: int) -> None:
        behaviour, now_s = world.behaviour, world.clock.monotonic_s()
        self.shard = shard
        self.base = shard.numbering.base(now_ms // 1000)
        self.bytes_left = shard.written_bytes.refill(now_s, behaviour.write_bytes_per_s)
        self.records_left = shard.written_records.refill(now_s, behaviour.write_records_per_s)
        self.stored = f'","ShardId":"{shard.id}"}}'
        self.full = f"Rate exceeded for shard {shard.id} in stream {stream.name} under account {behaviour.account}."
        if behaviour.trims:
            shard.trim(stream.horizon_ms(now_ms))

    def close(self) -> None:
        """Write back what is left."""
        self.shard.written_bytes.leave(self.bytes_left)
        self.shard.written_records.leave(self.records_left)


def put_records(world: World, request: PutRecords) -> bytes:
    """Put records; those of shards whose throughput is used up fail, each by itself."""
    count, most = len(request.records), world.behaviour.put_records_max
    if not 1 <= count <= most:
        which = f"less than or equal to {most}" if count else "greater than or equal to 1"
        raise errors.not_valid(
            f"1 validation error detected: Value at 'records' failed to satisfy constraint: "
            f"Member must have length {which}",
        )
    stream = world.ready_stream(request)
    sizes = _sizes(world, stream, request.records, "records.{}.member.")
    results = _store(world, stream, request.records, sizes)
    failed = sum(result.startswith('{"E') for result in results)
    return f'{{"FailedRecordCount":{failed},"Records":[{",".join(results)}]}}'.encode()


def put_record(world: World, request: PutRecord) -> bytes:
    """Put one record."""
    stream = world.ready_stream(request)
    entries = [Entry(request.data, request.partition_key, request.explicit_hash_key)]
    (result,) = _store(world, stream, entries, _sizes(world, stream, entries, ""))
    if result.startswith('{"E'):
        fault = msgspec.json.decode(result, type=dict[str, str])
        code = fault["ErrorCode"]
        raise errors.ServiceError(code, fault["ErrorMessage"], 500 if code == "InternalFailure" else 400)
    return result.encode()


def _sizes(world: World, stream: Stream, entries: list[Entry], where: str) -> list[int]:
    """Check all entries, and give the bytes of data and key of each.

    Raises: ServiceError if any is not as it must be: then none is stored.
    """
    _check_base64([entry.data for entry in entries])
    sizes, most = [], stream.record_kib * 1_024
    needs_key = stream.distribution != "AUTO"
    for number, entry in enumerate(entries, 1):
        data, key = entry.data, entry.partition_key
        if key is None:
            if needs_key:
                raise _broken(where, number, "partitionKey", "Member must not be null")
            key = ""
        elif not 1 <= len(key) <= _KEY_CHARS_MAX:
            raise _broken(where, number, "partitionKey", f"Member must have length between 1 and {_KEY_CHARS_MAX}")
        if entry.explicit_hash_key is not None:
            _check_hash_key(entry.explicit_hash_key, where, number)
        size = len(data) // 4 * 3 - data[-2:].count("=") + (len(key) if key.isascii() else len(key.encode()))
        if size > most:
            raise _broken(where, number, "data", f"Member must have length less than or equal to {most}")
        sizes.append(size)
    if sum(sizes) > world.behaviour.put_bytes_max:
        raise errors.invalid(f"Records size exceeds {world.behaviour.put_bytes_max >> 20} MiB limit")
    return sizes


def _check_base64(texts: list[str]) -> None:
    """Check that data are base64. Raises: ServiceError (SerializationException)."""
    odd = "".join(texts).encode().translate(None, _BASE64)
    if odd or any(len(text) & 3 or text.find("=", 0, -2) >= 0 for text in texts):
        raise errors.ServiceError("SerializationException", "Data must be base64.")


def _check_hash_key(text: str, where: str, number: int) -> None:
    if not HASH_KEY.fullmatch(text):
        raise _broken(
            where,
            number,
            "explicitHashKey",
            f"Member must satisfy regular expression pattern: {HASH_KEY.pattern}",
        )
    if int(text) >= HASH_KEYS:
        raise errors.invalid(f"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Was {text}")


def _broken(where: str, number: int, field: str, constraint: str) -> errors.ServiceError:
    return errors.not_valid(
        f"1 validation error detected: Value at '{where.format(number)}{field}' failed to satisfy constraint: "
        f"{constraint}",
    )


def _store(world: World, stream: Stream, entries: list[Entry], sizes: list[int]) -> list[str]:
    """Store the entries that their shards admit, and give each one's result as JSON."""
    now_ms = world.now_ms()
    jitter, failing = world.behaviour.arrival_jitter_ms, world.behaviour.failing_records
    arrival = f"{now_ms / 1000:.3f}"
    flows: dict[str, _Flow] = {}
    results = []
    serial = stream.serial
    for entry, size in zip(entries, sizes, strict=True):
        shard = _shard_of(world, stream, entry)
        flow = flows.get(shard.id)
        if flow is None:
            flow = flows[shard.id] = _Flow(world, stream, shard, now_ms)
        if flow.bytes_left <= 0 or flow.records_left <= 0:
            results.append(
                f'{{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"{flow.full}"}}',
            )
            continue
        if failing and world.chances(failing):
            results.append(_FAILED)
            continue
        if jitter:
            arrival = f"{(now_ms + world.chance.randint(-jitter, jitter)) / 1000:.3f}"
        flow.bytes_left -= size
        flow.records_left -= 1
        serial += 1
        number = flow.base + (serial << 80)
        key = entry.partition_key
        tail = "" if key is None else f',"PartitionKey":{_encode(key).decode()}'
        shard.append(
            f'{{"SequenceNumber":"{number}","ApproximateArrivalTimestamp":{arrival},"Data":"{entry.data}"{tail}}}'.encode(),
            serial,
            now_ms,
            size,
        )
        results.append(f'{{"SequenceNumber":"{number}{flow.stored}')
    stream.serial = serial
    for flow in flows.values():
        flow.close()
    return results


def _shard_of(world: World, stream: Stream, entry: Entry) -> Shard:
    if stream.distribution == "AUTO":
        return stream.any_shard(world.chance)
    if entry.explicit_hash_key is not None:
        return stream.route(int(entry.explicit_hash_key).to_bytes(16, "big"))
    key = entry.partition_key
    assert key is not None, "a stream that routes by keys got a record without one past its check"
    return stream.route(md5(key.encode(), usedforsecurity=False).digest())

"""Aggregates: taken apart they are what was put together, and what is not a whole one stays one plain record."""

import subprocess
import sys
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.adapters.kinesis.aggregates import MAGIC, aggregate, expand, hash_of
from shardlake.adapters.kinesis.wire import HASH_KEY_MAX, Put

HASH_KEYS = st.none() | st.integers(0, HASH_KEY_MAX).map(str)
PUTS = st.builds(Put, st.binary(max_size=30), st.text(st.characters(codec="utf-8"), max_size=5), HASH_KEYS)
AGGREGATES = st.lists(PUTS, min_size=1, max_size=8)

User = tuple[int, int | None, bytes]


def varint(number: int) -> bytes:
    more, low = number >> 7, number & 127
    return bytes([low]) if not more else bytes([low | 128]) + varint(more)


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def written(keys: list[bytes], hashes: list[bytes], users: list[User]) -> bytes:
    """Write an aggregate by hand, whatever its indexes point at."""
    tables = b"".join([field(1, key) for key in keys] + [field(2, key) for key in hashes])
    records = [
        field(1, key) + (b"" if explicit is None else field(2, explicit)) + field(3, data)
        for key, explicit, data in users
    ]
    return sealed(tables + b"".join(field(3, record) for record in records))


def sealed(body: bytes) -> bytes:
    return MAGIC + body + md5(body).digest()


@given(st.lists(st.one_of(st.binary(max_size=20), AGGREGATES), max_size=6))
def test_what_was_aggregated_comes_back_in_order_with_its_place(drawn: list[bytes | list[Put]]) -> None:
    expanded = expand([item if isinstance(item, bytes) else aggregate(item) for item in drawn])
    users: list[tuple[int, int, bytes | Put]] = [
        (i, sub, put) for i, item in enumerate(drawn) if isinstance(item, list) for sub, put in enumerate(item)
    ]
    if expanded is None:
        assert not users
        return
    plain = [(i, 0, item) for i, item in enumerate(drawn) if isinstance(item, bytes)]
    every = sorted([*users, *plain], key=lambda place: place[:2])
    assert expanded.record.tolist() == [record for record, _, _ in every]
    assert expanded.sub.tolist() == [sub for _, sub, _ in every]
    assert expanded.data == [item if isinstance(item, bytes) else item.data for _, _, item in every]
    for key, (_, _, item) in zip(expanded.hash_keys, every, strict=True):
        if isinstance(item, bytes):
            assert key is None
        else:
            assert key == (int(item.hash_key) if item.hash_key else hash_of(item.key))


@given(AGGREGATES, st.data())
def test_an_aggregate_with_any_byte_changed_or_cut_is_a_plain_record(puts: list[Put], data: st.DataObject) -> None:
    whole = aggregate(puts)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
    assert expand([whole[:place] + changed + whole[place + 1 :]]) is None
    assert expand([whole[:place]]) is None
    assert expand([whole + b"\0"]) is None


@pytest.mark.parametrize(
    ("keys", "hashes", "wrong"),
    [
        ([b"k"], [], (1, None, b"no such key")),
        ([b"k"], [], (2**64 - 1, None, b"no such key, by far")),
        ([b"k"], [b"5"], (0, 1, b"no such hash key")),
        ([b"k"], [], (0, 0, b"a hash key without a table")),
        ([b"k", b"\xff"], [], (1, None, b"a key that is no text")),
        ([b"k"], [b"five"], (0, 0, b"a hash key that is no number")),
        ([b"k"], [b"-1"], (0, 0, b"a hash key below all")),
        ([b"k"], [str(2**128).encode()], (0, 0, b"a hash key above all")),
    ],
)
def test_one_wrong_index_makes_the_whole_a_plain_record(keys: list[bytes], hashes: list[bytes], wrong: User) -> None:
    right: User = (0, None, b"right")
    assert expand([written(keys, hashes, [right, wrong, right])]) is None
    found = expand([written(keys, hashes, [right, wrong, right]), aggregate([Put(b"x", "k")])])
    assert found is not None
    assert found.data == [written(keys, hashes, [right, wrong, right]), b"x"]


def test_the_hand_written_form_is_read() -> None:
    whole = written([b"k", b"\xc3\xbc"], [b"7"], [(0, None, b"a"), (1, 0, b""), (1, None, b"c")])
    found = expand([b"plain", whole])
    assert found is not None
    assert found.data == [b"plain", b"a", b"", b"c"]
    assert found.hash_keys == [None, int(md5(b"k").hexdigest(), 16), 7, int(md5("ü".encode()).hexdigest(), 16)]


def test_tags_and_unknown_fields_are_passed_over() -> None:
    record = field(1, 0) + field(3, b"a") + field(4, field(1, b"name") + field(2, b"value")) + field(9, b"new")
    found = expand([sealed(field(1, b"k") + field(3, record) + field(8, 1))])
    assert found is not None
    assert found.data == [b"a"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        field(3, field(1, 0)),  # a record without data
        field(3, field(3, b"a")),  # a record without a key
        field(1, b"k"),  # no record at all
    ],
)
def test_a_message_that_is_none_is_a_plain_record(body: bytes) -> None:
    assert expand([sealed(body), MAGIC, MAGIC + b"x" * 15]) is None


def test_an_aggregate_inside_an_aggregate_is_data() -> None:
    inner = aggregate([Put(b"x", "k")])
    found = expand([aggregate([Put(inner, "k"), Put(MAGIC, "k")])])
    assert found is not None
    assert found.data == [inner, MAGIC]
    assert found.sub.tolist() == [0, 1]


def test_user_records_outside_a_range_of_hash_keys_are_marked() -> None:
    found = expand([b"plain", aggregate([Put(b"a", "k", "9"), Put(b"b", "k", "10"), Put(b"c", "k", "21")])])
    assert found is not None
    assert found.outside(10, 20).tolist() == [False, True, False, True]
    assert found.outside(9, 21).tolist() == [False] * 4
    assert "plain" not in repr(found)


def test_protobuf_is_imported_for_aggregates_only() -> None:
    code = (
        "import sys; from shardlake.adapters.kinesis.aggregates import expand; expand([b'x' * 40, b'']);"
        "sys.exit('google.protobuf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

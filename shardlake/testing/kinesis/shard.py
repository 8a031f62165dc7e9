"""A shard's records: columns beside the JSON fragments that a read joins."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from shardlake.testing.kinesis.sequence import Numbering
from shardlake.testing.kinesis.throttle import Bucket, Window

HASH_KEYS = 1 << 128


class Shard:
    """One shard. Places count its records from the first one ever, so they outlive trimming.

    `begin` and `end` are its first and last hash key, `made_ms` and `closed_ms` (None while it is open) its life,
    `parents` the shards that it came from and `children` those that follow it.
    """

    def __init__(self, index: int, begin: int, end: int, made_ms: int, parents: Sequence["Shard"] = ()) -> None:
        assert 0 <= begin <= end < HASH_KEYS
        self.id = f"shardId-{index:012d}"
        self.begin, self.end = begin, end
        self.parents = tuple(parents)
        self.children: list[Shard] = []
        self.made_ms = made_ms
        self.closed_ms: int | None = None
        after = max((parent.numbering.made_s + 1 for parent in parents), default=0)
        self.numbering: Numbering = Numbering(index, max(made_ms // 1000, after))
        self.reads, self.iterators = Window(), Window()
        self.read_bytes, self.written_bytes, self.written_records = Bucket(), Bucket(), Bucket()
        # The columns begin with record `_base`; their first `_gone` records are trimmed and wait to be dropped.
        self._base = 0
        self._gone = 0
        self._fragments: list[bytes] = []
        self._serials = array("q")
        # Times of storing, which never fall; what a record says of its arrival may.
        self._stored_ms = array("q")
        # Bytes of data and keys up to and including each record, from the first one ever.
        self._bytes = array("q")
        self._bytes_before = 0

    @property
    def first(self) -> int:
        """The place of the oldest record that is still there."""
        return self._base + self._gone

    @property
    def after(self) -> int:
        """The place after the newest record."""
        return self._base + len(self._fragments)

    @property
    def is_open(self) -> bool:
        """Whether it takes records."""
        return self.closed_ms is None

    def append(self, fragment: bytes, serial: int, now_ms: int, size: int) -> None:
        """Store a record whose serial is greater than all before."""
        stored, sizes = self._stored_ms, self._bytes
        self._fragments.append(fragment)
        self._serials.append(serial)
        stored.append(now_ms if not stored or now_ms >= stored[-1] else stored[-1])
        sizes.append((sizes[-1] if sizes else self._bytes_before) + size)

    def page(self, place: int, records_max: int, bytes_max: int) -> tuple[int, list[bytes], int]:
        """Read from a place: the place after the page, its fragments, and their bytes of data and keys.

        A page has at least one record where there is one, however large that is.
        """
        start = place - self._base
        stop = min(start + records_max, len(self._fragments))
        if start >= stop:
            return place, [], 0
        before = self._bytes[start - 1] if start else self._bytes_before
        stop = max(start + 1, bisect_right(self._bytes, before + bytes_max, start, stop))
        return stop + self._base, self._fragments[start:stop], self._bytes[stop - 1] - before

    def place_of_serial(self, serial: int) -> int:
        """Give the place of the first record with this serial or a later one; it may be trimmed."""
        return self._base + bisect_left(self._serials, serial)

    def place_of_time(self, time_ms: int) -> int:
        """Give the place of the first record that was stored then or later; it may be trimmed."""
        return self._base + bisect_left(self._stored_ms, time_ms)

    def serial(self, place: int) -> int:
        """Give the serial of the record in a place."""
        return self._serials[place - self._base]

    def stored_ms(self, place: int) -> int:
        """Give the time at which the record in a place was stored."""
        return self._stored_ms[place - self._base]

    def trim(self, horizon_ms: int) -> None:
        """Drop what was stored before a time: one comparison where nothing is, and constant time a record."""
        stored, gone = self._stored_ms, self._gone
        if gone == len(stored) or stored[gone] >= horizon_ms:
            return
        self._gone = bisect_left(stored, horizon_ms, gone)
        self._fragments[gone : self._gone] = [b""] * (self._gone - gone)
        if self._gone * 2 > len(stored):
            self._compact()

    def _compact(self) -> None:
        gone, self._gone = self._gone, 0
        self._base += gone
        self._bytes_before = self._bytes[gone - 1]
        del self._fragments[:gone], self._serials[:gone], self._stored_ms[:gone], self._bytes[:gone]

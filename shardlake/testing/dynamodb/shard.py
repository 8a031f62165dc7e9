"""A shard of a stream: its range of hashes, its life, and its records as columns beside JSON fragments."""

from bisect import bisect_left, bisect_right
from typing import Final

HASHES: Final = 1 << 128


class Shard:
    """One shard. Places count its records from the first one ever, so they outlive trimming.

    `begin` and `end` bound the hashes of the partition keys whose changes it takes, `end` excluded. `starting` is the
    number it begins with and `ending` the one it ended with; a record may have either. `made_s` and `closed_s` (None
    while it is open) are monotonic seconds, `roll_s` the one at which it is due to close.
    """

    def __init__(self, shard_id: str, begin: int, end: int, starting: int, made_s: float) -> None:
        assert 0 <= begin < end <= HASHES
        self.id, self.begin, self.end = shard_id, begin, end
        self.parent: str | None = None
        self.children: list[Shard] = []
        self.starting, self.ending = starting, starting
        self.made_s, self.closed_s = made_s, float("inf")
        self.roll_s = float("inf")
        self.trimmed = 0  # the number of the newest record that is gone
        # The columns begin with the record in place `_base`; the first `_gone` of them are trimmed.
        self._base, self._gone = 0, 0
        self._fragments: list[bytes] = []
        self._numbers: list[int] = []
        self._stored_s: list[float] = []
        self._created_s: list[int] = []
        self._bytes: list[int] = [0]  # of all records before each

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
        return self.closed_s == float("inf")

    def number(self, step: int) -> int:
        """Give the number of the next record, so much greater than the one before."""
        self.ending += step
        return self.ending

    def append(self, fragment: bytes, number: int, stored_s: float, created_s: int, size: int) -> None:
        """Store a record whose number is greater than all before."""
        self._fragments.append(fragment)
        self._numbers.append(number)
        self._stored_s.append(stored_s)
        self._created_s.append(created_s if not self._created_s else max(created_s, self._created_s[-1]))
        self._bytes.append(self._bytes[-1] + size)

    def page(self, place: int, records_max: int, bytes_max: int) -> tuple[int, list[bytes]]:
        """Read from a place: the place after the page, and its fragments; at least one where there is one."""
        start = place - self._base
        stop = min(start + records_max, len(self._fragments))
        if start >= stop:
            return place, []
        within = bisect_right(self._bytes, self._bytes[start] + bytes_max, start + 1, stop + 1) - 1
        stop = max(start + 1, within)
        return stop + self._base, self._fragments[start:stop]

    def place_of_number(self, number: int) -> int:
        """Give the place of the first record with this number or a later one; it may be trimmed."""
        return self._base + bisect_left(self._numbers, number)

    def place_of_time(self, seconds: float) -> int:
        """Give the place of the first record that was created then or later, by its own telling."""
        return self._base + bisect_left(self._created_s, seconds)

    def trim(self, horizon_s: float) -> None:
        """Drop what was stored before a time: one comparison where nothing is."""
        stored, gone = self._stored_s, self._gone
        if gone == len(stored) or stored[gone] >= horizon_s:
            return
        self._gone = bisect_left(stored, horizon_s, gone)
        self.trimmed = self._numbers[self._gone - 1]
        self._fragments[gone : self._gone] = [b""] * (self._gone - gone)
        if self._gone * 2 > len(stored):
            gone, self._gone = self._gone, 0
            self._base += gone
            del self._fragments[:gone], self._numbers[:gone], self._stored_s[:gone], self._created_s[:gone]
            del self._bytes[:gone]

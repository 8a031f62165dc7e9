"""Sequence numbers of 56 digits.

In hexadecimal, from the left: `2`, 9 digits of the second in which the shard was made, the last digit of the
shard's index, 16 digits of a serial number, 2 zeros, 9 digits of the second of the record, 8 digits of the
shard's index, `2`. So they are unique in a stream and grow within a shard, by steps of any size; those of a child
are greater than all of its parents', because it was made later; and those of two shards that are no relatives say
nothing about which came first. The serial number counts the whole stream.
"""

from dataclasses import dataclass

_VERSION = 2
_SERIAL_BITS = 80
_SERIAL_MASK = (1 << 64) - 1
_SECOND_BITS = 36
_SECOND_MASK = (1 << 36) - 1
_ENDING = (1 << 64) - 1 >> 1


@dataclass(frozen=True, slots=True)
class Numbering:
    """The sequence numbers of one shard, made in second `made_s`. That second is also its rank among relatives."""

    index: int
    made_s: int

    def base(self, second: int) -> int:
        """Give the number with serial 0 in a second; `base + (serial << 80)` is any other one."""
        return (
            _VERSION << 184
            | self.made_s << 148
            | (self.index & 15) << 144
            | (second & _SECOND_MASK) << _SECOND_BITS
            | self.index << 4
            | _VERSION
        )

    def number(self, serial: int, second: int) -> int:
        """Give one sequence number."""
        return self.base(second) + (serial << _SERIAL_BITS)

    def first(self) -> int:
        """Give the number with which the shard begins; no record has it."""
        return self.number(0, self.made_s)

    def last(self) -> int:
        """Give the number with which a closed shard ends; no record has it."""
        return self.number(_ENDING, self.made_s)

    def serial(self, number: int) -> int | None:
        """Give the serial of a number of this shard, or None if it is another's or made up."""
        serial = number >> _SERIAL_BITS & _SERIAL_MASK
        second = number >> _SECOND_BITS & _SECOND_MASK
        return serial if number == self.number(serial, second) else None

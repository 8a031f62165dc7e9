"""What a target of the fuzzers is: one function over bytes, which fails where a promise is broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads bytes of others.

    `check` reads what it is given and asserts what holds for any bytes. The first bytes choose how the rest is read,
    so that an engine which knows nothing but bytes reaches every way. `seeds` are inputs that are read without a
    fault, and `words` what an engine had better not have to guess.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]


class Choices:
    """Numbers out of the first bytes of an input; zeros where there are none left."""

    def __init__(self, data: bytes, count: int) -> None:
        self._first, self.rest = data[:count].ljust(count, b"\0"), data[count:]
        self._at = 0

    def of(self, count: int) -> int:
        """Choose one of so many."""
        self._at += 1
        return self._first[self._at - 1] % count


def pieces(data: bytes, separator: bytes = b"|") -> list[bytes]:
    """Cut an input at a byte, so that an engine can make several of one."""
    return data.split(separator)


def seeds(heads: Sequence[Sequence[int]], bodies: Sequence[bytes]) -> tuple[bytes, ...]:
    """Put each choice of the first bytes before each body."""
    return tuple(bytes(head) + body for head in heads for body in bodies)

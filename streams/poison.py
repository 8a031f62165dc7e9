"""Failures that one line causes: told from those that no line causes, and narrowed down to that line.

An attempt is a call of the pack's decoder, with `enrich` and the protection of columns after it, or of a view's SQL,
over some lines. Of n lines of which one fails, the failing attempt over all of them is followed by at most `bound(n)`
more until the line is found; then the lines behind it are an attempt as they would have been without it.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from shardlake.core.errors import MemoryExhausted, ShardlakeError, SqlFailed, Terminal, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import SeqRange

PROBES_MAX: Final = 14  # 10,000 records are a page of Kinesis, and 2 ** 14 is the next power of two
WHOLE_RESTS_MAX: Final = 8
FOR_EVER: Final = -1

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


def is_poison(error: Exception) -> bool:
    """Tell whether a line may be to blame: never for memory, files, the network, or what was raised on purpose."""
    if isinstance(error, ShardlakeError):
        return isinstance(error, SqlFailed) and not isinstance(error, MemoryExhausted)
    return not isinstance(error, MemoryError | OSError)


def refuse(error: Exception) -> None:
    """Raise an error for which no line is to blame: what may pass as Transient. Return if a line may be to blame."""
    if is_poison(error):
        return
    if isinstance(error, MemoryError | OSError | MemoryExhausted):
        why = getattr(error, "strerror", None) or "memory was exhausted"
        raise Transient(f"decoding failed ({type(error).__name__}: {why}): free some, it is tried again") from error
    raise error


@contextmanager
def explained() -> Iterator[None]:
    """Say of a pack that fails over no line at all what it is: it may be its engine, and is tried again anew."""
    try:
        yield
    except NoLineToBlame as nothing:
        raise Transient(f"the pack fails over no line at all ({nothing}): it is opened anew") from nothing.error


def failed_with(error: Exception) -> str:
    """Tell in a dead letter's detail what decoding failed with."""
    return f"decoding it failed: {kind(error)}"


def kind(error: Exception) -> str:
    """Name an error by its type and that of its cause: its message may hold what the line holds."""
    cause = error.__cause__ if isinstance(error, SqlFailed) else None
    return type(error).__name__ + (f", {type(cause).__name__}" if cause is not None else "")


def bound(lines: int) -> int:
    """How many attempts may follow the failing one over some lines until a line is found that fails by itself."""
    return max(PROBES_MAX, (max(lines, 1) - 1).bit_length())


# ------------------------------------------------------------------------------------------------------ the search


class Trial(Protocol[T_co]):
    """What is tried over lines. Parts that pass come in order, and what one of them teaches holds for the next."""

    def attempt(self, start: int, stop: int) -> T_co:
        """Try the lines from `start` up to `stop`. Raises: whatever it fails with."""

    def pass_over(self, at: int) -> None:
        """Go on behind a line that fails."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Lines that passed together, from `start` up to `stop`, and what came of them."""

    start: int
    stop: int
    result: T


@dataclass(frozen=True, slots=True)
class Culprit:
    """A line that fails by itself, and with what."""

    at: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Joint:
    """Lines up to `stop` fail together with others, and each part of them passes: no line is to blame."""

    stop: int


class NoLineToBlame(Exception):
    """An attempt over no line at all fails too, with `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(kind(error))
        self.error = error


@dataclass(slots=True)
class Search(Generic[T]):
    """Cuts lines that failed together into parts that pass and lines that fail by themselves, in their order.

    A part is probed at its left half. If that passes its result is kept, and the other half must hold what fails. So
    log2(n) probes lead to one line. It was tried by itself where the last probe failed; else it is, if the bound allows
    or if `is_sure` is wanted. Then the rest is tried as a whole; after `WHOLE_RESTS_MAX` searches by halves, so that
    lines of which all fail cost two attempts each. `attempts` counts all but the one that failed before.

    Once, as soon as the bound allows, nothing at all is tried: what fails then is no line's fault.
    """

    lines: int
    trial: Trial[T]
    is_sure: bool = False
    attempts: int = 0
    _low: int = 0
    _stops: list[int] = field(default_factory=list)
    _error: Exception = field(default_factory=Exception)
    _is_checked: bool = False
    _searches: int = 0

    def run(self, error: Exception) -> Iterator[Part[T] | Culprit | Joint]:
        """Cut all lines, over which an attempt failed with `error`.

        Raises: NoLineToBlame; what an attempt fails with for which no line is to blame.
        """
        if not self.lines:
            raise NoLineToBlame(error) from error
        self._stops, self._error, is_failing = [self.lines], error, True
        while self._stops:
            stop = self._stops.pop()
            part = None if is_failing else self._tried(self._low, stop)
            if part is not None:
                self._low = stop
                yield part
                continue
            yield from self._narrowed(stop)
            is_failing = False

    def _narrowed(self, stop: int) -> Iterator[Part[T] | Culprit | Joint]:
        """Cut the lines up to a stop, which fail together, up to the first of them that fails."""
        before, allowed = self.attempts, bound(stop - self._low)
        is_alone = True  # these very lines were tried together, and failed
        while stop - self._low > 1:
            middle = (self._low + stop) // 2
            part = self._tried(self._low, middle)
            is_alone = part is None
            if part is None:
                self._stops.append(stop)
                stop = middle
            else:
                self._low = middle
                yield part
        if not is_alone and (self.is_sure or self.attempts - before < allowed):
            part = self._tried(self._low, stop)
            if part is not None:
                yield part
                yield Joint(stop)
                self._go_on(stop)
                return
        at, error = self._low, self._error
        if not self._is_checked and (self.attempts - before < allowed or self._searches):
            yield self._checked()
        yield Culprit(at, error)
        self.trial.pass_over(at)
        self._go_on(at + 1)

    def _go_on(self, at: int) -> None:
        """Go on with the rest as a whole, but not for ever."""
        self._low, self._searches = at, self._searches + 1
        if self._searches <= WHOLE_RESTS_MAX:
            self._stops = [self.lines] if at < self.lines else []

    def _checked(self) -> Part[T]:
        self._is_checked = True
        part = self._tried(self._low, self._low)
        if part is None:
            raise NoLineToBlame(self._error) from self._error
        return part

    def _tried(self, start: int, stop: int) -> Part[T] | None:
        self.attempts += 1
        try:
            return Part(start, stop, self.trial.attempt(start, stop))
        except Exception as error:
            if not is_poison(error):
                raise
            self._error = error
            return None


# ---------------------------------------------------------------------------------------------- tries, and what waits


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a block has failed before, and what time it is: by that, how old its records are."""

    tries: int = 0
    now_us: int = 0

    def is_tried_again(self, limits: Limits, oldest_us: int) -> bool:
        """Tell whether a failing attempt is repeated, before anything is searched."""
        return self.tries < limits.maximum_retry_attempts and not self.is_too_old(limits, oldest_us)

    def waits_for_ever(self, limits: Limits, arrival_us: int) -> bool:
        """Tell whether a line that fails by itself holds its shard up."""
        return limits.maximum_retry_attempts == FOR_EVER and not self.is_too_old(limits, arrival_us)

    def is_too_old(self, limits: Limits, arrival_us: int) -> bool:
        """Tell whether a record is so old that it is not tried again."""
        age_s = limits.maximum_record_age_in_seconds
        return age_s != FOR_EVER and self.now_us - arrival_us > age_s * 1_000_000


class ShardBlocked(Terminal):
    """A record fails and is to be tried for ever. `range` begins where the shard stands."""

    def __init__(self, where: SeqRange, kind: str) -> None:
        super().__init__(
            f"shard {where.shard} stands at {where.after.encode()}: what follows cannot be decoded ({kind}), and"
            " limits.maximum_retry_attempts is -1: repair the pack, or set it to 0 to have dead letters of such records"
        )
        self.range = where


@dataclass(frozen=True, slots=True)
class Isolated:
    """Lines that became dead letters because they made `what` fail, the first of them at `first`, with `attempts`."""

    what: str
    letters: int
    attempts: int
    kind: str
    first: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A shard that waits to be tried again, for the n-th time; `is_blocked` if that may go on for ever."""

    range: SeqRange
    tries: int
    in_s: float
    kind: str
    is_blocked: bool


Told = Isolated | Waiting


def silent(told: Told) -> None:
    """Tell nobody."""
    del told


def cloned(decoder: T) -> T:
    """Give a decoder that goes on as this one would, and leaves this one as it is."""
    return copy.copy(decoder)

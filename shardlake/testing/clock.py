"""A clock that stands still until it is told to move."""


class ManualClock:
    """Time that tests move by hand; `sleep_s` moves it too, so nothing ever waits."""

    def __init__(self, now_us: int = 1_767_225_600_000_000, monotonic_s: float = 1_000.0) -> None:
        self._now_us = now_us
        self._monotonic_s = monotonic_s

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the epoch, UTC."""
        return self._now_us

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return self._monotonic_s

    def sleep_s(self, seconds: float) -> None:
        """Move both clocks on, at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both clocks on by so many seconds."""
        assert seconds >= 0, "a monotonic clock does not go back; jump_us() moves the wall clock alone"
        self._now_us += round(seconds * 1_000_000)
        self._monotonic_s += seconds

    def jump_us(self, microseconds: int) -> None:
        """Move the wall clock alone, forth or back, as a correction of the machine's time does."""
        self._now_us += microseconds

"""Limits per second: of calls, and of bytes or records that flow."""

from collections import deque


class Window:
    """At most so many calls in any span of time, which is one second unless told otherwise."""

    __slots__ = ("_span_s", "_times")

    def __init__(self, span_s: float = 1.0) -> None:
        self._span_s = span_s
        self._times: deque[float] = deque()

    def admits(self, now_s: float, limit: int | None) -> bool:
        """Count a call and admit it, or refuse it and do not count it."""
        if limit is None:
            return True
        times = self._times
        while times and now_s - times[0] >= self._span_s:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now_s)
        return True


class Bucket:
    """A second's worth of flow, refilled all the time. It admits while it is not in debt, so one large record fits."""

    __slots__ = ("_at_s", "_left")

    def __init__(self) -> None:
        self._left: float | None = None
        self._at_s = 0.0

    def refill(self, now_s: float, per_s: int | None) -> float:
        """Give what may flow now: none at zero or below."""
        if per_s is None:
            return float("inf")
        left = float(per_s) if self._left is None else self._left
        self._left = min(float(per_s), left + (now_s - self._at_s) * per_s)
        self._at_s = now_s
        return self._left

    def leave(self, left: float) -> None:
        """Say what is left of what `refill` gave."""
        if left != float("inf"):
            self._left = left

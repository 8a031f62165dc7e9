"""The machine's clock, and its randomness: the only module that reads them."""

import secrets
import time


class SystemClock:
    """Time as the operating system tells it."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def sleep_s(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)


def random_name() -> str:
    """Draw a name that nobody drew before: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)

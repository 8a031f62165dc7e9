"""The demo's producer: a thread that puts records into a stream, evenly over time, and keeps a log."""

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from random import Random
from threading import Event
from typing import Final

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.kinesis.port import PUTS_MAX, KinesisWriter
from shardlake.app.demo.ledger import Ledger
from shardlake.app.demo.records import Records
from shardlake.app.demo.stage import SEED
from shardlake.core.errors import Terminal
from streams.producer import Producer

RECORDS_PER_S: Final = 20_000
SECONDS_MIN: Final = 6.0


class _Stoppable:
    """A clock on which nobody sleeps on after the demo was stopped."""

    def __init__(self, clock: SystemClock, stopping: Event) -> None:
        self._clock, self._stopping = clock, stopping

    def now_us(self) -> int:
        """Give the time of the clock."""
        return self._clock.now_us()

    def monotonic_s(self) -> float:
        """Give the seconds of the clock."""
        return self._clock.monotonic_s()

    def sleep_s(self, seconds: float) -> None:
        """Wait. Raises: Terminal if stopped meanwhile."""
        if self._stopping.wait(max(0.0, seconds)):
            raise Terminal("the producer was stopped")


class Production:
    """Puts all of some records, in requests of 500; `seconds` is how long that takes if the machine keeps up."""

    def __init__(self, api: KinesisWriter, stream: str, records: Records, ledger: Ledger, clock: SystemClock) -> None:
        self._records, self._ledger, self._stopping = records, ledger, Event()
        self._clock = _Stoppable(clock, self._stopping)
        self._producer = Producer(api, stream, clock=self._clock, chance=Random(SEED), acknowledged=ledger.write)
        self._put = 0
        self._executor = ThreadPoolExecutor(1, "producer")
        self._future: Future[None] | None = None
        self.seconds = max(SECONDS_MIN, len(records) / RECORDS_PER_S)

    @property
    def part(self) -> float:
        """Which part of the records was put. Raises: what the producer raised."""
        return 1.0 if self.is_done else min(self._put / len(self._records), 0.999)

    @property
    def is_done(self) -> bool:
        """Tell whether every record was acknowledged. Raises: what the producer raised."""
        if self._future is None or not self._future.done():
            return False
        self._future.result()
        return True

    def start(self) -> None:
        """Begin to put."""
        self._future = self._executor.submit(self._work)

    def close(self) -> None:
        """Stop, wherever it is."""
        self._stopping.set()
        self._executor.shutdown()

    def _work(self) -> None:
        began_s, records = self._clock.monotonic_s(), iter(self._records)
        while batch := list(islice(records, PUTS_MAX)):
            due_s = began_s + self.seconds * self._put / len(self._records)
            self._clock.sleep_s(due_s - self._clock.monotonic_s())
            with self._ledger.putting:
                for data, key in batch:
                    self._producer.put(data, key)
                self._producer.flush()
            self._put += len(batch)

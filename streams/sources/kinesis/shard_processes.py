"""A process for each shard that is read: it runs kinesis-python's ShardReader, and reads when it is asked to.

A process holds no state: one that dies is started again, with the iterator that was asked for. Processes come from a
fork server, which is a process without threads. So a reader inherits neither the locks of this process nor the pipes of
other readers, and finds its own closed when this process dies, however it does.

Readers import this module too: it stays without Arrow.
"""

import threading
from collections.abc import Collection
from dataclasses import replace
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from typing import Final

from shardlake.adapters.kinesis.client import AwsSettings
from shardlake.adapters.kinesis.port import RECORDS_MAX, KinesisReader
from shardlake.adapters.kinesis.wire import Page, ShardInfo, StreamInfo
from shardlake.core.errors import ConfigError, ShardlakeError, Transient

PRELOADED: Final = ("streams.sources.kinesis.shard_reader", __name__)  # once, for all processes
METHOD: Final = "forkserver"
START_S: Final = 30.0  # for a process to start on a busy machine, beside the time-outs of its call
END_S: Final = 2.0  # for a process to end when it was told to; then it is killed, which loses nothing


class ShardProcesses:
    """A `KinesisReader` whose pages come out of processes. It may be shared by threads.

    Raises: ConfigError where processes cannot be forked.
    """

    def __init__(self, api: KinesisReader, settings: AwsSettings) -> None:
        if METHOD not in get_all_start_methods():
            raise ConfigError(
                "source.engine is kinesis-python, whose readers are forked, and this system cannot fork: set it to"
                " shardlake, which reads the same, or use Linux or macOS"
            )
        get_context(METHOD).set_forkserver_preload(list(PRELOADED))
        ensure_running()  # it imports while the worker looks for a lane
        self._api, self._settings = api, settings
        self._lock = threading.Lock()
        self._kept: frozenset[str] = frozenset()
        self._running: dict[str, ShardProcess] = {}
        self._ending: list[ShardProcess] = []

    def list_shards(
        self,
        stream: str,
        filter: str | None = None,  # noqa: A002 - the service's word
        at_us: int | None = None,
        shard: str | None = None,
    ) -> tuple[ShardInfo, ...]:
        """List the shards. See the port."""
        return self._api.list_shards(stream, filter, at_us, shard)

    def describe(self, stream: str) -> StreamInfo:
        """Summarise a stream. See the port."""
        return self._api.describe(stream)

    def iterator(self, stream: str, shard: str, kind: str, sequence: str = "", at_us: int = 0) -> str:
        """Get an iterator, with its shard's name before it, by which its process is found. See the port."""
        return f"{shard} {self._api.iterator(stream, shard, kind, sequence, at_us)}"

    def get_records(self, iterator: str, limit: int = RECORDS_MAX, stream: str = "") -> Page:
        """Ask the shard's process for a page, and start one if there is none. See the port.

        Raises: as the port says; Transient if the process died, or its shard was released meanwhile.
        """
        shard, _, inner = iterator.partition(" ")
        page = self._process(shard).ask(inner, limit, stream)
        return replace(page, next_iterator=f"{shard} {page.next_iterator}") if page.next_iterator else page

    def keep(self, shards: Collection[str]) -> None:
        """Let these shards be read and no others: processes of others are told to end, and not waited for."""
        with self._lock:
            self._kept = frozenset(shards)
            for shard in self._running.keys() - self._kept:
                self._end(shard)
            self._ending = [process for process in self._ending if process.is_alive()]

    def close(self) -> None:
        """End all processes, and wait for them."""
        self.keep(())
        for process in self._ending:
            process.bury()
        self._ending = []

    def pids(self) -> dict[str, int]:
        """Name the process of each shard that has one."""
        with self._lock:
            return {shard: process.pid for shard, process in self._running.items()}

    def _process(self, shard: str) -> "ShardProcess":
        with self._lock:
            if shard not in self._kept:
                raise Transient(f"shard {shard} was released: nothing is read of it")
            if shard in self._running and self._running[shard].is_over:
                self._end(shard)
            if shard not in self._running:
                self._running[shard] = ShardProcess(self._settings, shard)
            return self._running[shard]

    def _end(self, shard: str) -> None:
        process = self._running.pop(shard)
        process.end()
        self._ending.append(process)


class ShardProcess:
    """One shard's process, seen from the one that asks. It answers one thread at a time."""

    def __init__(self, settings: AwsSettings, shard: str) -> None:
        context = get_context(METHOD)
        self._talk, theirs = context.Pipe()
        self._process = context.Process(target=_read, args=(theirs, settings, shard), name=shard, daemon=True)
        self._process.start()
        theirs.close()  # or its end would not be seen
        self._lock = threading.Lock()
        self._shard, self._patience_s = shard, settings.connect_s + settings.read_s + START_S
        self.is_over = False
        assert self._process.pid is not None
        self.pid = self._process.pid

    def ask(self, iterator: str, limit: int, stream: str) -> Page:
        """Get a page. Raises: as `KinesisReader.get_records`; Transient if the process died or is stuck."""
        with self._lock:
            answer = self._answer(iterator, limit, stream)
            self.is_over |= answer is None or (isinstance(answer, Page) and answer.next_iterator is None)
        if answer is None:
            raise Transient(f"the process that reads shard {self._shard} gave no answer: another one will be started")
        if isinstance(answer, ShardlakeError):
            raise answer
        return answer

    def _answer(self, iterator: str, limit: int, stream: str) -> Page | ShardlakeError | None:
        try:
            self._talk.send((iterator, limit, stream))
            if self._talk.poll(self._patience_s):
                answer: Page | ShardlakeError = self._talk.recv()
                return answer
        except (EOFError, OSError):
            return None
        self._process.kill()
        return None

    def end(self) -> None:
        """Tell it to end, without waiting: it finds its pipe closed; one that answers just now hears a signal."""
        if self._lock.acquire(blocking=False):
            self._talk.close()
            self._lock.release()
        else:
            self._process.terminate()

    def is_alive(self) -> bool:
        """Tell whether the process is there."""
        return self._process.is_alive()

    def bury(self) -> None:
        """Wait for its end, and kill it if that takes long."""
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _read(talk: Connection, settings: AwsSettings, shard: str) -> None:
    """Be the process of a shard."""
    try:
        from streams.sources.kinesis import shard_reader  # noqa: PLC0415 - only readers load boto3 and kinesis-python
    except ImportError as error:
        talk.send(
            ConfigError(
                f"source.engine is kinesis-python, and its ShardReader cannot be imported ({error}): install"
                " kinesis-python 0.2.1, without async-kinesis, whose package has the same name"
            )
        )
    else:
        shard_reader.run(talk, settings, shard)

"""The stream process: a lane, put together, kept at work through what passes, and stopped by a signal.

Files are read on one lane by one process; a Kinesis stream by any number of workers, put together in `shared`.
"""

import glob
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import pyarrow as pa

from shardlake.adapters.clock import SystemClock, random_name
from shardlake.adapters.engine import Engine
from shardlake.adapters.s3.place import Place, is_s3
from shardlake.app import compose
from shardlake.app.columns import fix_columns
from shardlake.app.logs import Log
from shardlake.app.metrics import TimedCommitter, told
from shardlake.app.opening import Progress, fix_source, lane_context, refuse_another_pack
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError, OutcomeUnknown, Transient
from shardlake.core.journal.rows import Entry
from shardlake.packs.pack import Pack
from streams.decode import Decoding
from streams.lane import Lane, LaneLost
from streams.loop import Alone, Loop, hold_all
from streams.protect import Protection
from streams.sources.files import FileSettings, FileSource
from streams.sources.listing import DEEP, Pattern

LANE: Final = 0  # files are read on one lane


@dataclass(slots=True)
class Stop:
    """Becomes true when a signal asks to stop; a second one is not waited for."""

    signal: str = ""
    _before: dict[int, Any] = field(default_factory=dict)

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return bool(self.signal)

    def __enter__(self) -> Self:
        # Arrow's CSV reader would hear the signal too, and give up amidst a block.
        pa.enable_signal_handlers(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        pa.enable_signal_handlers(True)

    def _heard(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number).name
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def stream(config: Config, environ: Mapping[str, str], log: Log, stop: Callable[[], bool], *, once: bool) -> Progress:
    """Read the source until told to stop, or, `once`, until everything that is there now was committed.

    What fails in passing is tried again, in a lane opened anew; with `once` it is raised.
    """
    progress, clock = Progress(log), SystemClock()
    pack = load_pack(config)
    protection = protect(config, pack, environ)
    refuse_another_pack(config, pack.name)
    what = config.source.place
    log.info("started", root=config.root, source=what, views=", ".join(compiled_views(config)))
    with told(config, progress.meter, clock, log):
        _keep_at_work(config, protection, progress, stop, once=once)
    return progress


def _keep_at_work(
    config: Config, protection: Protection, progress: Progress, stop: Callable[[], bool], *, once: bool
) -> None:
    clock, log, pause = SystemClock(), progress.log, config.limits.retry_first_s
    while True:
        before = progress.entries
        try:
            with _opened(config, protection, stop, progress) as loop:
                if loop is not None:
                    loop.run(once=once)
            if once and progress.stopped is not None:
                raise progress.stopped
            return
        except (Transient, OutcomeUnknown, LaneLost) as error:
            # Another worker may take a lane at any time; where there is to be one process alone, that is an error.
            if once or (isinstance(error, LaneLost) and not config.source.is_stream):
                raise
            pause = config.limits.retry_first_s if progress.entries > before else pause
            progress.meter.retries += 1
            log.warning("trying_again", error=str(error), in_s=pause)
        _wait(clock, pause, stop)
        if stop():
            return
        pause = min(2 * pause, config.limits.retry_longest_s)


def _opened(
    config: Config, protection: Protection, stop: Callable[[], bool], progress: Progress
) -> AbstractContextManager[Loop | None]:
    if config.source.is_stream:
        from shardlake.app.shared import opened_worker

        return opened_worker(config, protection, stop, progress)
    return opened(config, protection, stop, progress)


@contextmanager
def opened(config: Config, protection: Protection, stop: Callable[[], bool], progress: Progress) -> Iterator[Loop]:
    """Own the lane of a source of files, with everything that its loop needs.

    Raises: as the journal, the object storage and `Lane.take`.
    """
    pack, limits, clock = load_pack(config), config.limits, SystemClock()
    pack.open("", config.source.fields or None)  # wrong fields and lookups are told before anything is read
    source = FileSource(file_settings(config), pack.bucket_key, limits, compose.source_store(config))
    with lane_context(config, clock) as context, closing(Engine(threads=1)) as engine:
        fixed = {"pack": pack.name, "buckets": str(config.source.buckets)}
        if is_s3(config.source.path):
            fixed["bucket"] = config.source.path.split("/")[2]
        fix_source(context.journal, config, fixed)
        fix_columns(context.journal, config.source.name, pack.schema)
        lane = Lane.take(context, LANE, random_name(), config.source.name)
        observer = _Watching(progress, source, config.source.path)
        views = list(compiled_views(config).values())
        committer = TimedCommitter(progress.meter, clock, lane, context.store, pack.schema, views, engine, limits)
        hold_all(context.journal, source.shards(), config.source.name, committer)
        decoding = Decoding(pack, protection, limits, config.source.fields or None)
        yield Loop(source, decoding, committer, clock, limits, stop, observer, Alone(clock), progress.told)
        observer.tell("")  # who reads once does not rest


@dataclass(slots=True)
class _Watching:
    """Tells a process's log what is committed, and, once, that there are no files."""

    progress: Progress
    source: FileSource
    path: str

    def committed(self, entry: Entry, rows: int, letters: int, failed: tuple[str, ...]) -> None:
        self.progress.committed(entry, rows, letters, failed)

    def idle(self) -> None:
        self.tell("; waiting for it")
        self.progress.idle()

    def tell(self, more: str) -> None:
        if self.source.sees_nothing and not self.progress.told_of_nothing:
            self.progress.log.warning("no_files", found=missing(self.path) + more)
            self.progress.told_of_nothing = True


def missing(path: str) -> str:
    """Say what is not there, of a source that no file was found of."""
    if glob.has_magic(path):
        return f"no file matches {path} yet"
    if is_s3(path) or Path(path).exists():
        return f"there is no file in {path} yet"
    return f"{path} does not exist yet"


def file_settings(config: Config) -> FileSettings:
    """What the file source is told. Raises: ConfigError if it is not said where the files are."""
    source = config.source
    if not source.path:
        raise ConfigError(
            "source.path is not set: say where the log files are, with --source, in SHARDLAKE_SOURCE_PATH or in "
            "shardlake.toml (or name a Kinesis stream in source.stream, or a DynamoDB table in source.table)"
        )
    if is_s3(source.path):
        _check_apart_in_s3(config)
    else:
        _check_apart(Path(config.root), Pattern.of(source.path))
    return FileSettings(source.name, source.path, source.buckets, source.on_change, source.on_gap, source.discover_max)


def _check_apart(root: Path, pattern: Pattern) -> None:
    """See that the source does not read what is stored. Raises: ConfigError."""
    if pattern.path:  # it may become a folder
        pattern = Pattern(Path(pattern.path), (DEEP,))
    with suppress(ValueError):
        below = root.resolve().relative_to(Path(pattern.root).resolve())
        if not any(part.startswith(".") for part in below.parts) and pattern.reaches(f"{below.as_posix()}/objects"):
            raise ConfigError(
                f"root {root} lies among the log files of {pattern.root}, which would be read as logs: choose another"
            )


def _check_apart_in_s3(config: Config) -> None:
    """See that the source does not read what is stored, in S3. Raises: ConfigError."""
    from streams.sources.s3 import Keys

    if not config.storage.url:
        return
    stored, keys = Place.of(config.storage.url), Keys.of(config.source.path)
    if keys.bucket == stored.bucket and (
        keys.prefix.startswith(stored.prefix) or stored.prefix.startswith(keys.prefix)
    ):
        raise ConfigError(
            f"storage.url {stored.url} and source.path {config.source.path} lie in one another: what is stored would be"
            " read as logs; choose another place"
        )


def protect(config: Config, pack: Pack, environ: Mapping[str, str]) -> Protection:
    """What is protected, with the key out of the environment. Raises: ConfigError."""
    chosen = config.protect
    key = environ.get(chosen.key_env, "") if chosen.key_env else ""
    if chosen.hash and not key:
        where = (
            f"the environment variable {chosen.key_env} is empty" if chosen.key_env else "protect.key_env is not set"
        )
        raise ConfigError(
            f"protect.hash needs a key, and {where}: name a variable in protect.key_env, and put the key in it"
        )
    return Protection.of(
        pack.schema, pack.derived, mask=chosen.mask, hashed=chosen.hash, drop=chosen.drop, key=os.fsencode(key)
    )


def _wait(clock: SystemClock, seconds: float, stop: Callable[[], bool]) -> None:
    until = clock.monotonic_s() + seconds
    while not stop() and (left := until - clock.monotonic_s()) > 0:
        clock.sleep_s(min(left, 0.2))

"""`shardlake put`: lines of files, or of what is piped in, become records of a stream."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.counted import counted
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal

if TYPE_CHECKING:
    from shardlake.adapters.clock import SystemClock
    from shardlake.app.settings import Config
    from streams.producer import Producer

STDIN: Final = "-"
_DIRECTIVE: Final = re.compile(rb"#[A-Za-z][A-Za-z-]*:")  # the header of a log file, such as #Fields:
_WAIT_S: Final = 0.25  # records that would wait longer for others, because of the rate, are sent
_SHOWN_S: Final = 0.5
_LOGGED_S: Final = 10.0
_GROUPS_MIN: Final = 64
_GROUPS_PER_SHARD: Final = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """How lines become records: how many make one, and what its partition key is."""

    lines: int = 1
    key: str | None = None
    key_field: int | None = None

    def key_of(self, record: bytes) -> str | None:
        """Give the key of a record; None, and so one that follows from its bytes, where its field is not there."""
        if self.key is not None or self.key_field is None:
            return self.key
        fields = record.partition(b"\n")[0].split(b"\t", self.key_field)
        if len(fields) < self.key_field:
            return None
        return fields[self.key_field - 1].decode("utf-8", "replace") or None


@dataclass(slots=True)
class Counts:
    """What was read so far: lines, those that are no records, and those that a record was too large with."""

    lines: int = 0
    skipped: int = 0
    too_large: int = 0


def _setting(key: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        ctx.ensure_object(Invocation).flag(key, value, parameter.opts[0])

    return take


@click.command(cls=Command, short_help="Put lines of files into a stream.")
@click.argument(
    "files",
    nargs=-1,
    metavar="[FILE]...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@click.option(
    "--stream",
    metavar="NAME",
    callback=_setting("source.stream"),
    expose_value=False,
    help="The Kinesis stream, by its name or ARN.",
)
@click.option(
    "--endpoint",
    metavar="URL",
    callback=_setting("source.endpoint"),
    expose_value=False,
    help="A service that speaks like Kinesis, in place of AWS.",
)
@click.option("--lines", type=click.IntRange(1), default=1, show_default=True, help="How many lines make a record.")
@click.option("--key", metavar="TEXT", help="The partition key of all records: they stay in one shard, in order.")
@click.option(
    "--key-field",
    type=click.IntRange(1),
    metavar="N",
    help="The partition key is the N-th field of a record's first line, fields being parted by tabs.",
)
@click.option("--aggregate", is_flag=True, help="Put many records into one, as the Kinesis Producer Library does.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Records a second, at most.")
@click.option("--skip-too-large", is_flag=True, help="Leave out, and count, lines that are too large for a record.")
@pass_invocation
def put(
    invocation: Invocation,
    files: tuple[str, ...],
    lines: int,
    key: str | None,
    key_field: int | None,
    *,
    aggregate: bool,
    rate: float | None,
    skip_too_large: bool,
) -> None:
    """Put the lines of files, plain or gzip, or of what is piped in (-), into a stream: one line, one record.

    Lines go as they are, without their line ends; empty ones and directives such as #Fields: are left out. Without
    --key or --key-field the lines are spread over the shards by what they hold, so that equal ones meet. What a shard
    does not take is sent again. It ends when the stream has acknowledged everything; a line may then be there twice,
    if an acknowledgement was lost, and is counted once where its event id tells.
    """
    if key is not None and key_field is not None:
        raise click.UsageError("--key and --key-field exclude each other")
    if not files and sys.stdin.isatty():
        raise click.UsageError("name files, or pipe lines in")
    config = invocation.config
    if not config.source.stream:
        raise ConfigError("no stream is named: give --stream, or set source.stream")
    from shardlake.adapters.clock import SystemClock
    from shardlake.app.progress import shown

    clock = SystemClock()
    producer = _producer(config, clock, aggregate=aggregate)
    started, counts = clock.monotonic_s(), Counts()
    try:
        with shown(invocation) as told:
            work = _Work(producer, clock, Shape(lines, key, key_field), rate, skip_too_large, told, counts)
            for file in files or (STDIN,):
                work.file(file)
            producer.flush()
    except (ShardlakeError, KeyboardInterrupt):
        if not invocation.json:
            left = f"; {len(producer.unsent):,} were read and not acknowledged" if producer.unsent else ""
            click.echo(f"{producer.produced.records:,} records were acknowledged{left}", err=True)
        raise
    _report(invocation, config.source.stream, producer, counts, clock.monotonic_s() - started)


def _producer(config: "Config", clock: "SystemClock", *, aggregate: bool) -> "Producer":
    import random

    from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient
    from streams.producer import Producer, ProducerSettings

    source, limits = config.source, config.limits
    api = KinesisClient(AwsSettings(region=source.region, endpoint=source.endpoint))
    groups = _GROUPS_MIN
    if aggregate:
        groups = max(groups, _GROUPS_PER_SHARD * api.describe(source.stream).open_shards)
    settings = ProducerSettings(first_s=limits.retry_first_s, longest_s=limits.retry_longest_s, groups=groups)
    return Producer(api, source.stream, clock=clock, chance=random.Random(), settings=settings, aggregate=aggregate)


@dataclass(slots=True)
class _Work:
    """Reads files, and gives their records to a producer, no faster than it may."""

    producer: "Producer"
    clock: "SystemClock"
    shape: Shape
    rate: float | None
    skips_too_large: bool
    told: Callable[[str], None]
    counts: Counts
    _put: int = 0
    _started: float | None = None
    _told: float | None = None
    _waiting: list[bytes] = field(default_factory=list)

    def file(self, name: str) -> None:
        """Put a file. What lies before a fault in it is put. Raises: as `Producer.flush`; Terminal for the fault."""
        from shardlake.app.intake import lines
        from streams.sources.lines import Broken

        before = self.counts.lines
        try:
            with click.open_file(name, "rb") as file:
                for batch in lines(file):
                    self._lines(batch)
                self._record()
        except Broken as error:
            self._record()
            self.producer.flush()
            told = f"its first {self.counts.lines - before:,} lines were put"
            raise Terminal(f"{_shown(name)} breaks off: {error.detail}; {told}") from error
        except OSError as error:
            raise ConfigError(f"{_shown(name)} cannot be read: {error.strerror or error}") from error

    def _lines(self, batch: list[bytes]) -> None:
        """Take lines in; none means that the pipe is idle, and what waits is sent."""
        for line in batch:
            self.counts.lines += 1
            if not line or _DIRECTIVE.match(line):
                self.counts.skipped += 1
                continue
            self._waiting.append(line)
            if len(self._waiting) >= self.shape.lines:
                self._record()
        if not batch:
            self.producer.flush()
        self._tell()

    def _record(self) -> None:
        if not self._waiting:
            return
        record = self._waiting[0] if len(self._waiting) == 1 else b"\n".join(self._waiting)
        lines = len(self._waiting)
        self._waiting.clear()
        self._pace()
        if self._is_taken(record):
            self._put += 1
        else:
            self.counts.too_large += lines

    def _is_taken(self, record: bytes) -> bool:
        """Put a record; tell whether it was not too large. Raises: Terminal, with its place, if it cannot be put."""
        from streams.producer import RecordRefused, RecordTooLarge

        try:
            self.producer.put(record, self.shape.key_of(record))
        except RecordTooLarge as error:
            if self.skips_too_large:
                return False
            self.producer.flush()
            what_next = "cut the line, leave it out, or give --skip-too-large"
            raise Terminal(f"{self._place} is above {error.bytes_max:,} bytes, key included: {what_next}") from error
        except RecordRefused as error:
            self.producer.flush()
            raise Terminal(f"{self._place}: {error}") from error
        return True

    @property
    def _place(self) -> str:
        return f"the record that ends with line {self.counts.lines:,} of the input"

    def _pace(self) -> None:
        """Wait until the next record is due. A wait that is long for those before it sends them first."""
        if self.rate is None:
            return
        now = self.clock.monotonic_s()
        self._started = now if self._started is None else self._started
        ahead = self._started + self._put / self.rate - now
        if ahead > _WAIT_S:
            self.producer.flush()
        if ahead > 0:
            self.clock.sleep_s(ahead)

    def _tell(self) -> None:
        now, every = self.clock.monotonic_s(), _SHOWN_S if sys.stderr.isatty() else _LOGGED_S
        if self._told is None:
            self._told = now
        if now - self._told >= every:
            self._told = now
            self.told(f"{self.producer.produced.records:,} records acknowledged of {self.counts.lines:,} lines read")


# ---------------------------------------------------------------------------------------------------- reporting


def _shown(name: str) -> str:
    return "what is piped in" if name == STDIN else str(Path(name))


def _report(invocation: Invocation, stream: str, producer: "Producer", counts: Counts, seconds: float) -> None:
    done = producer.produced
    again = f", {done.again:,} sent again" if done.again else ""
    twice = f", {done.doubtful:,} of them maybe there twice" if done.doubtful else ""
    large = f"; {counted(counts.too_large, 'line')} left out, too large for a record" if counts.too_large else ""
    text = (
        f"{counted(done.records, 'record')} ({done.bytes / 1e6:,.1f} MB) of {counted(counts.lines, 'line')} put into"
        f" {stream} in {seconds:.1f} s ({done.records / max(seconds, 1e-3):,.0f}/s){again}{twice}{large}"
    )
    data = {
        "stream": stream,
        "records": done.records,
        "bytes": done.bytes,
        "lines": counts.lines,
        "skipped": counts.skipped,
        "too_large": counts.too_large,
        "requests": done.requests,
        "sent_again": done.again,
        "maybe_twice": done.doubtful,
        "seconds": round(seconds, 3),
    }
    invocation.output.line(text, data)

"""The doctor's checks of what is read: a Kinesis stream, or log files on a disk or in S3."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from shardlake.adapters.dynamodb.stream_wire import created_us
from shardlake.adapters.kinesis.port import KinesisApi, KinesisConsumers, Throttled
from shardlake.adapters.kinesis.wire import Put, ShardInfo, StreamInfo
from shardlake.app import compose
from shardlake.app.checks import Check, State, Visit, failed
from shardlake.app.counted import counted
from shardlake.app.text import ago
from shardlake.core.errors import ShardlakeError, Transient
from shardlake.core.journal import objects as stored
from shardlake.core.journal import reading
from shardlake.core.journal.objects import LaneState

if TYPE_CHECKING:
    from shardlake.adapters.kinesis.client import KinesisClient

T = TypeVar("T")

CLOCK: Final = "clock"
CLOCK_WARN_S: Final = 5.0  # the service tells whole seconds
CLOCK_FAIL_S: Final = 240.0  # it refuses what was signed five minutes ago
READS_MAX: Final = 5.0  # of a shard and second, by all who poll
FILES_MAX: Final = 10_000
OPENED_MAX: Final = 5
# No pack takes it for an event, or for something that should have been one.
PROBE: Final = Put(b" ", "shardlake-doctor")
WORKER_POLICY: Final = "allow what docs/deploy/iam/stream-worker.json names, for this stream"
PRODUCER_POLICY: Final = "allow what docs/deploy/iam/producer.json names, for this stream"


def kinesis(visit: Visit) -> Iterator[Check]:
    """See that the stream can be reached, may be read, and keeps records for long enough."""
    from shardlake.adapters.kinesis.client import AwsSettings, KinesisClient

    source = visit.config.source
    try:
        api = KinesisClient(AwsSettings(source.region, source.endpoint))
    except ShardlakeError as error:
        yield failed("credentials", error, "give this machine a role, or set AWS_PROFILE")
        return
    try:
        yield Check("credentials", "ok", "there are some; whether they are accepted shows below")
        time = clock(visit, api)
        yield time
        if time.check == CLOCK:
            yield from Stream(visit, api).examine()
            if source.fan_out:
                yield fan_out(visit, api, api)
    finally:
        api.close()


def clock(visit: Visit, api: "KinesisClient") -> Check:
    """Compare this machine's time of day with the service's; a service that does not answer is another check."""
    asked_us = visit.clock.now_us()
    try:
        told_us = api.service_time_us(visit.config.source.stream)
    except ShardlakeError as error:
        what_next = "see that this machine reaches the endpoint, and that source.region and source.endpoint are right"
        return Check("service", "fail", str(error), what_next)
    if told_us is None:
        return Check(CLOCK, "ok", "the service does not tell its time")
    # It was somewhere in that second, and the answer took a while.
    off_s = ((asked_us + visit.clock.now_us()) / 2 - told_us) / 1e6 - 0.5
    state: State = "fail" if abs(off_s) > CLOCK_FAIL_S else "warn" if abs(off_s) > CLOCK_WARN_S else "ok"
    found = f"this machine's time of day is {abs(off_s):,.0f} s {'ahead of' if off_s > 0 else 'behind'} the service's"
    return Check(CLOCK, state, found, "" if state == "ok" else "let a time service (chrony, ntpd) set the clock")


@dataclass(slots=True)
class Stream:
    """The checks of one stream; each permission is tried by using it once."""

    visit: Visit
    api: KinesisApi
    _checks: list[Check] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The stream, as the settings name it."""
        return self.visit.config.source.stream

    def examine(self) -> list[Check]:
        """Make the checks; what needs the answer of one that failed is left out."""
        info = self._tried("DescribeStreamSummary", lambda: self.api.describe(self.name))
        shards = self._tried("ListShards", lambda: self.api.list_shards(self.name)) or ()
        if shards:
            self._read(min(shards, key=lambda shard: shard.end_sequence is not None).shard_id)
        if self.visit.put:
            self._tried("PutRecords", self._put, PRODUCER_POLICY)
        if info is not None:
            self._checks += [*_stream(info, shards), *_readers(self.visit, info), *_kept(self.visit, info)]
        return self._checks

    def _tried(self, action: str, work: Callable[[], T], what_next: str = WORKER_POLICY) -> T | None:
        try:
            found = work()
        except Throttled as error:
            self._checks.append(
                Check(action, "warn", str(error), "others poll this stream: see limits.shard_reads_per_s")
            )
        except ShardlakeError as error:
            self._checks.append(failed(action, error, "try it again" if isinstance(error, Transient) else what_next))
        else:
            self._checks.append(Check(action, "ok", "allowed"))
            return found
        return None

    def _read(self, shard: str) -> None:
        iterator = self._tried("GetShardIterator", lambda: self.api.iterator(self.name, shard, "TRIM_HORIZON"))
        if iterator is not None:
            self._tried("GetRecords", lambda: self.api.get_records(iterator, 1, self.name))

    def _put(self) -> None:
        codes = self.api.put_records(self.name, [PROBE]).codes
        if codes[0]:
            raise Transient(f"the record was not taken ({codes[0]})")


def fan_out(visit: Visit, api: KinesisApi, consumers: KinesisConsumers) -> Check:
    """See that the consumer that records are pushed to is registered, and ready."""
    source = visit.config.source
    try:
        found = consumers.describe_consumer(api.describe(source.stream).arn, source.fan_out)
    except ShardlakeError as error:
        return failed("fan-out", error, "register the consumer, or leave source.fan_out empty to poll")
    state: State = "ok" if found.status == "ACTIVE" else "warn"
    what_next = "" if state == "ok" else "wait until it is ACTIVE: until then its shards are polled"
    return Check(
        "fan-out", state, f"consumer {found.name} is {found.status}; that it may subscribe is not tried", what_next
    )


def _stream(info: StreamInfo, shards: Sequence[ShardInfo]) -> Iterator[Check]:
    closed = sum(shard.end_sequence is not None for shard in shards)
    shards_told = f"{info.open_shards} open and {counted(closed, 'closed shard')}"
    found = f"{info.name} is {info.status}, {info.mode}, with {shards_told}"
    usable = info.status in ("ACTIVE", "UPDATING")
    yield Check("stream", "ok" if usable else "fail", found, "" if usable else "wait until it is ACTIVE")


def _readers(visit: Visit, info: StreamInfo) -> Iterator[Check]:
    """Tell of the reads of a shard, which all who poll it share; who they are, the service does not tell."""
    rate = visit.config.limits.shard_reads_per_s
    found = f"up to {rate:g} reads a second and shard, of {READS_MAX:g} that all who poll share"
    if rate > READS_MAX:
        yield Check("reads", "warn", found, f"set limits.shard_reads_per_s to {READS_MAX:g} or less")
    elif (others := info.consumers - bool(visit.config.source.fan_out)) > 0:
        told = counted(others, "other consumer")
        found = f"{found}; {told} {'is' if others == 1 else 'are'} registered with the stream"
        yield Check("reads", "warn", found, "if any of them polls too, set limits.shard_reads_per_s lower")
    else:
        yield Check("reads", "ok", found)


def _kept(visit: Visit, info: StreamInfo) -> Iterator[Check]:
    """Compare how long records are kept with how long nobody may read, and with how long ago they were read."""
    kept_h = info.retention_s / 3600
    state: State = "fail" if kept_h < visit.downtime_h else "warn" if kept_h < 2 * visit.downtime_h else "ok"
    found = f"records are kept for {kept_h:,.0f} hours; nobody reading for {visit.downtime_h:,.0f} is planned for"
    what_next = "" if state == "ok" else "keep them longer: aws kinesis increase-stream-retention-period"
    yield Check("retention", state, found, what_next)
    try:
        read_us = read_upto_us(visit)
    except ShardlakeError as error:
        yield failed("read up to", error, "see what the check of the journal says")
        return
    if read_us is None:
        return
    age_s = (visit.clock.now_us() - read_us) / 1e6
    state = "fail" if age_s > info.retention_s else "warn" if age_s > info.retention_s / 2 else "ok"
    what_next = "" if state == "ok" else "start a worker now: what is older than the retention is lost"
    yield Check("read up to", state, f"everything that had arrived {ago(max(0.0, age_s))} ago", what_next)


def read_upto_us(visit: Visit) -> int | None:
    """Up to when everything that had arrived was read, as the lanes' last entries tell; None if they do not."""
    config = visit.config
    if not compose.begun(config):
        return None
    with compose.opened_journal(config) as journal:
        store, heads = compose.objects(config), reading.read_heads(journal).values()
        states = [
            stored.decode(LaneState, r.name, store.get(r)) for r in (head.state for head in heads) if r is not None
        ]
    held = [found for state in states for found in state.shards.items()]
    # Nothing arrived in a table's shard before the moment that its name tells.
    seen = [max(row.seen.us, created_us(shard.rpartition("/")[2]) or 0) for shard, row in held if row.seen is not None]
    return min(seen, default=None)


# ----------------------------------------------------------------------------------------------------- log files


def files(visit: Visit) -> Iterator[Check]:
    """See that the source of files is there, that it means some files, and that these can be read."""
    from shardlake.app.streaming import file_settings, missing
    from streams.sources.listing import Folder, Gone, Pattern
    from streams.sources.pages import FileRow

    path, what_next = visit.config.source.path, "correct source.path, or let this user or role read there"
    try:
        file_settings(visit.config)
        store = compose.source_store(visit.config) or Folder(Pattern.of(path))
        found = list(islice(store.list(), FILES_MAX))
        for file in found[:OPENED_MAX]:
            with suppress(Gone), store.open(FileRow(0, 0, file.key, file.etag, file.size, 0)).file as opened:
                opened.read(1)
    except (ShardlakeError, OSError) as error:
        yield failed("files", error, what_next)
        return
    if found:
        count = f"{len(found):,} or more files" if len(found) == FILES_MAX else counted(len(found), "file")
        read = f"the first {min(len(found), OPENED_MAX)} can be read" if len(found) > 1 else "it can be read"
        yield Check("files", "ok", f"{path} means {count}; {read}")
    else:
        yield Check("files", "warn", missing(path), "see that source.path is right, or put the first file there")
    if visit.config.source.queue:
        yield Check("queue", "ok", "not tried: to receive a message hides it from those who wait for it")

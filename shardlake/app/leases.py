"""Leases of a KCL application taken over by a root, and given back by it: both are stopped meanwhile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.kcl.exporting import Change, ExportPlan, Given, compared, plan_export
from shardlake.adapters.kcl.identity import choose, leased_name, of_stream
from shardlake.adapters.kcl.importing import Choices, ImportPlan, Look, plan_import
from shardlake.adapters.kcl.lease import LeaseRefused, Version
from shardlake.adapters.kcl.stream import LeasedShards, LeasedStream, Looked
from shardlake.adapters.kcl.table import Contents, LeaseTable
from shardlake.adapters.kcl.watch import watch
from shardlake.adapters.kinesis.client import KinesisClient
from shardlake.adapters.kinesis.port import KinesisReader
from shardlake.adapters.kinesis.wire import StreamInfo
from shardlake.app import compose
from shardlake.app.opening import fix_source, lane_context
from shardlake.app.settings import Config
from shardlake.app.viewset import load_pack
from shardlake.core.errors import ConfigError
from shardlake.core.journal import reading, rows
from shardlake.core.journal.objects import Arrived
from shardlake.core.journal.port import Journal
from shardlake.core.journal.rows import SourceRow
from shardlake.core.ports import Clock, ObjectStore
from shardlake.core.positions import END, ORIGIN
from streams import handover
from streams.handover import Brought, HandoverRefused
from streams.lane import LaneContext

PINNED: Final = "_pinned_us"
TELL_EACH: Final = 50
UNBALANCED: Final = (
    "the changes that are read from now on tell of items whose earlier images are in no view: rows are taken back that"
    " were never counted"
)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for: the lease table and its stream in it, and how long a worker of KCL may stand still."""

    table: str
    identifier: str = ""
    failover_s: float = 10.0
    table_endpoint: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What both directions work with: the stream, and the table of its leases."""

    config: Config
    clock: Clock
    stream: LeasedStream
    info: StreamInfo
    table: LeaseTable
    terms: Terms
    progress: Progress

    @property
    def source(self) -> str:
        """The source's name in the journal."""
        return self.config.source.name

    def shard(self, name: str) -> str:
        """The name here of a shard of the stream."""
        return f"{self.source}/{name}"

    def contents(self) -> Contents:
        """Read the table, once nobody has moved it for long enough. Raises: LeaseRefused."""
        return watch(self.table, self.clock, self.terms.failover_s, self.progress)

    def look(self) -> Look:
        """Look at records, and tell of it now and then."""
        seen = count()

        def look(shard: str, sequence: int) -> Looked | None:
            if not (number := next(seen)) % TELL_EACH:
                self.progress(f"looking at the record where each shard stands: {number:,} were seen")
            return self.stream.look(shard, sequence)

        return look


@contextmanager
def world(config: Config, terms: Terms, progress: Progress) -> Iterator[World]:
    """Reach the stream and the table. Raises: ConfigError; as `KinesisReader.describe`."""
    source, clock = config.source, SystemClock()
    beside = AwsSettings(source.region, terms.table_endpoint or source.endpoint)
    with _reached(config) as (api, stream), closing(DynamoClient(beside)) as calls:
        info = api.describe(stream)
        shards = LeasedShards(api, stream, clock, config.limits, hash_keys=not source.is_dynamodb)
        yield World(config, clock, shards, info, LeaseTable(calls, terms.table, clock, config.limits), terms, progress)


@contextmanager
def _reached(config: Config) -> Iterator[tuple[KinesisReader, str]]:
    """A client of the stream's service, and the stream's name or ARN. Raises: ConfigError."""
    source = config.source
    aws = AwsSettings(source.region, source.endpoint)
    if source.is_dynamodb:
        from shardlake.adapters.dynamodb.stream_client import StreamsClient
        from shardlake.app.changes import check, stream_of

        check(config)
        with closing(StreamsClient(aws)) as streams:
            yield streams, stream_of(source, streams, _known(config)).arn
        return
    if not source.stream:
        raise ConfigError("source.stream is not set: name the stream of the leases, with --stream or in shardlake.toml")
    if source.path:
        raise ConfigError(f"source.path ({source.path}) is set, and {source.stream} too: keep one of them")
    with closing(KinesisClient(aws)) as api:
        yield api, source.stream


def _known(config: Config) -> str:
    """The stream that the source was read from before; "" if it was not."""
    if not compose.begun(config):
        return ""
    with compose.opened_journal(config) as journal:
        row = _row(journal, config.source.name)
    return row.settings.get("stream", "") if row else ""


# ------------------------------------------------------------------------------------------------------- coming


@dataclass(frozen=True, slots=True)
class Imported:
    """What was, or would be, taken over."""

    plan: ImportPlan
    identifier: str
    written: int = 0


def take_over(found: World, choices: Choices) -> Imported:
    """Bring the shards of a stopped application in, as far as it had read them.

    Raises: LeaseRefused, HandoverRefused; as the journal, the object storage, and the calls of both services.
    """
    _refuse_begun(found)
    contents = found.contents()
    identifier = _chosen(found, contents)
    plan = plan_import(of_stream(contents.leases, identifier), found.stream.shards(), found.look(), choices)
    if found.config.source.is_dynamodb:
        plan = replace(plan, notes=(*plan.notes, UNBALANCED))
    if found.terms.dry_run:
        return Imported(plan, identifier)
    with lane_context(found.config, found.clock) as context:
        return Imported(plan, identifier, brought_in(found, context, plan))


def brought_in(found: World, context: LaneContext, plan: ImportPlan) -> int:
    """Write the shards of a plan; return how many. Repeated after a crash, it goes on."""
    wanted = {
        "pack": load_pack(found.config).name,
        "stream": found.info.arn,
        "created": str(found.info.created_us),
        PINNED: str(plan.pinned_us),
        handover.COMING: _origin(found),
    }
    fixed = fix_source(context.journal, found.config, wanted)
    if fixed[PINNED] != str(plan.pinned_us):
        raise HandoverRefused(
            "this import was begun with another moment for shards that begin at one: say the same --at-timestamp and"
            " --latest-as, or begin with another root"
        )
    brought = [
        Brought(
            found.shard(one.shard),
            tuple(found.shard(parent) for parent in one.parents),
            one.at,
            Arrived(one.arrived_us, found.info.retention_s) if one.at not in (ORIGIN, END) else None,
        )
        for one in plan.shards
    ]
    written = handover.bring(context, found.source, brought, found.progress)
    handover.arrive(context, found.source)
    return written


def _origin(found: World) -> str:
    return f"KCL's table {found.terms.table}"


def _refuse_begun(found: World) -> None:
    """See that nothing of the source was read here. Raises: HandoverRefused, naming the root."""
    if not compose.begun(found.config):
        return
    with compose.opened_journal(found.config) as journal:
        row = _row(journal, found.source)
        has_shards = any(one.source == found.source for one in reading.read_shards(journal).values())
        coming = row.settings.get(handover.COMING) if row else None
        if (row is not None or has_shards) and coming != _origin(found):
            whence = f", with {coming}" if coming else ""
            raise HandoverRefused(
                f"{found.source} was begun in {found.config.root} already{whence}: what was read elsewhere comes first"
                " or not at all; give --root another folder"
            )


# -------------------------------------------------------------------------------------------------------- going


@dataclass(frozen=True, slots=True)
class Exported:
    """What was, or would be, given back."""

    plan: ExportPlan
    identifier: str
    written: Sequence[Change] = field(default_factory=tuple)


def give_back(found: World, version: Version, *, evict: bool) -> Exported:
    """Write leases that KCL goes on from, and let no process of ours read the source any more.

    Raises: LeaseRefused, HandoverRefused; as the journal, the object storage, and the calls of both services.
    """
    with compose.opened_journal(found.config) as journal:
        _check_source(found, journal)
    with lane_context(found.config, found.clock) as context:
        handover.rest(context, found.source, found.progress)
        contents = found.contents()
        _check_version(contents, version, found.terms.table)
        identifier = _identifier(found, contents)
        plan = _planned(found, context.journal, context.store, contents, identifier, evict=evict)
        if found.terms.dry_run:
            return Exported(plan, identifier)
        handover.hand_over(context, found.source, _origin(found))
        heads = reading.read_heads(context.journal)
        plan = _planned(found, context.journal, context.store, contents, identifier, evict=evict)  # as fenced
        written = _write(found, plan, version)
        _check_alone(found, context.journal, heads)
        return Exported(plan, identifier, written)


def take_back(found: World, *, evict: bool) -> int:
    """Let a root go on that was handed over, if nobody has read from the table since; return how many leases it has.

    Raises: LeaseRefused, HandoverRefused; as `give_back`.
    """
    with compose.opened_journal(found.config) as journal:
        _check_source(found, journal)
    with lane_context(found.config, found.clock) as context:
        contents = found.contents()
        identifier = _identifier(found, contents)
        given = _given(found, context.journal, context.store)
        there = of_stream(contents.leases, identifier)
        plan = compared(given, found.stream.shards(), there, found.look(), identifier)
        for change in plan.changes:
            if change.is_beyond or (change.before is not None and change.before.owner and not evict):
                raise LeaseRefused(
                    f"lease {change.lease.key} in {found.terms.table} has an owner or is further than this root: its"
                    " application has read on; to come back from there, import into another root"
                )
        if not found.terms.dry_run:
            handover.take_back(context.journal, found.source, _origin(found))
        return len(plan.changes)


def _planned(
    found: World, journal: Journal, store: ObjectStore, contents: Contents, identifier: str, *, evict: bool
) -> ExportPlan:
    there = of_stream(contents.leases, identifier)
    given = _given(found, journal, store)
    return plan_export(given, found.stream.shards(), there, found.look(), identifier, evict=evict)


def _given(found: World, journal: Journal, store: ObjectStore) -> list[Given]:
    row = _row(journal, found.source)
    pinned = row is not None and row.settings.get(PINNED, "0") != "0"
    parents = {name: one.parents for name, one in reading.read_shards(journal).items()}
    return [
        Given(name.rpartition("/")[2], at, is_pinned=pinned and at == ORIGIN and not parents[name])
        for name, at in handover.positions(journal, store, found.source).items()
    ]


def _write(found: World, plan: ExportPlan, version: Version) -> list[Change]:
    todo = [change for change in plan.changes if not change.is_done]
    for done, change in enumerate(todo, start=1):
        if change.before is None:
            found.table.create(change.lease, version)
        else:
            found.table.update(change.before, change.lease, version)
        if done == len(todo) or not done % TELL_EACH:
            found.progress(f"{done:,} of {len(todo):,} leases are written")
    return todo


def _check_source(found: World, journal: Journal) -> None:
    row = _row(journal, found.source)
    if row is None or "stream" not in row.settings:
        raise HandoverRefused(f"no stream was read as {found.source} in {found.config.root}: correct --root")
    if row.settings["stream"] != found.info.arn or row.settings["created"] != str(found.info.created_us):
        raise HandoverRefused(f"{found.source} was read from {row.settings['stream']}, not from {found.info.arn}")
    handover.refuse_elsewhere({k: v for k, v in row.settings.items() if k != handover.GONE}, found.source)


def _check_version(contents: Contents, version: Version, table: str) -> None:
    if contents.is_single and version != "3.5":
        raise LeaseRefused(f"the table {table} has items of KCL 3.5 beside its leases: say --version 3.5")


def _identifier(found: World, contents: Contents) -> str:
    if found.terms.identifier:  # a table may get leases of one more stream
        return found.terms.identifier
    return _chosen(found, contents)


def _chosen(found: World, contents: Contents) -> str:
    name, created_s = leased_name(found.info.arn), found.info.created_us // 1_000_000
    return choose(contents.leases, name, created_s, found.terms.identifier)


def _check_alone(found: World, journal: Journal, before: Mapping[int, rows.Head]) -> None:
    """See that nobody has begun to read meanwhile. Raises: HandoverRefused."""
    now = reading.read_heads(journal)
    if any(head != before.get(lane) for lane, head in now.items() if head.source == found.source):
        raise HandoverRefused(
            f"a process has begun to read {found.source} here while its leases were written: stop it, and export again;"
            " start no worker of KCL before that is done"
        )


def _row(journal: Journal, source: str) -> SourceRow | None:
    key = rows.source_key(source)
    value = journal.get([key]).get(key)
    return None if value is None else rows.decode(SourceRow, key, value)

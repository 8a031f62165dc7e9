"""The doctor's checks of a table's changes: its stream can be reached, shows both images, and may be read."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from shardlake.adapters.dynamodb.stream_wire import IMAGES, RETENTION_S
from shardlake.app.checks import Check, State, Visit, failed
from shardlake.app.counted import counted
from shardlake.app.doctor_source import read_upto_us
from shardlake.app.text import ago
from shardlake.core.errors import ShardlakeError

if TYPE_CHECKING:
    from shardlake.adapters.dynamodb.stream_client import StreamsClient

T = TypeVar("T")
POLICY = "allow dynamodb:ListStreams, DescribeStream, GetShardIterator and GetRecords for this table's streams"


def changes(visit: Visit) -> Iterator[Check]:
    """See that the table's stream can be reached and read, and how long its records are kept."""
    from shardlake.adapters.aws import AwsSettings
    from shardlake.adapters.dynamodb.stream_client import StreamsClient
    from shardlake.app.changes import check

    source = visit.config.source
    try:
        check(visit.config)
        client = StreamsClient(AwsSettings(source.region, source.endpoint))
    except ShardlakeError as error:
        yield failed("source", error, "correct the settings of source")
        return
    try:
        yield from _stream(visit, client)
    finally:
        client.close()


def _stream(visit: Visit, client: "StreamsClient") -> Iterator[Check]:
    from shardlake.app.changes import stream_of

    try:
        found = stream_of(visit.config.source, client)
    except ShardlakeError as error:
        yield failed("stream", error, POLICY)
        return
    usable = found.status == "ENABLED" and found.view == IMAGES
    what_next = "" if usable else f"enable a stream with StreamViewType={IMAGES}, and begin with another root"
    told = f"{found.arn} is {found.status} and shows {found.view}"
    yield Check("stream", "ok" if usable else "fail", told, what_next)
    if not usable:
        return
    shards, check = _tried("DescribeStream", lambda: client.list_shards(found.arn))
    yield check
    if shards:
        newest = max(shards, key=lambda shard: (shard.end_sequence is None, shard.shard_id)).shard_id
        iterator, check = _tried("GetShardIterator", lambda: client.iterator(found.arn, newest, "TRIM_HORIZON"))
        yield check
        if iterator is not None:
            yield _tried("GetRecords", lambda: client.get_records(iterator, 1))[1]
        open_shards = sum(shard.end_sequence is None for shard in shards)
        readers = f"{counted(open_shards, 'open shard')}; no more than two readers may poll a shard"
        yield Check("readers", "ok", readers)
    yield from _kept(visit)


def _tried(action: str, work: Callable[[], T]) -> tuple[T | None, Check]:
    try:
        return work(), Check(action, "ok", "allowed")
    except ShardlakeError as error:
        return None, failed(action, error, POLICY)


def _kept(visit: Visit) -> Iterator[Check]:
    """Compare the day that records are kept with how long nobody may read, and with how long ago they were read."""
    kept_h = RETENTION_S / 3600
    state: State = "fail" if kept_h < visit.downtime_h else "warn" if kept_h < 2 * visit.downtime_h else "ok"
    told = f"records are kept for {kept_h:.0f} hours; nobody reading for {visit.downtime_h:,.0f} is planned for"
    yield Check("retention", state, told, "" if state == "ok" else "nothing makes it longer: see that workers are up")
    try:
        read_us = read_upto_us(visit)
    except ShardlakeError as error:
        yield failed("read up to", error, "see what the check of the journal says")
        return
    if read_us is not None:
        age_s = (visit.clock.now_us() - read_us) / 1e6
        state = "fail" if age_s > RETENTION_S else "warn" if age_s > RETENTION_S / 2 else "ok"
        what_next = "" if state == "ok" else "start a worker now: what is older than a day is lost"
        yield Check("read up to", state, f"everything that had arrived {ago(max(0.0, age_s))} ago", what_next)

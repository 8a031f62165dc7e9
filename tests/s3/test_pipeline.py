"""The whole pipeline on S3: log files there, objects, master and views there, and answers that equal a plain count."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random

import pytest

from batch.context import Context
from batch.run import run as run_batch
from serving.answer import Server
from shardlake.adapters.clock import SystemClock, random_name
from shardlake.adapters.engine import Engine
from shardlake.adapters.iceberg.tables import IcebergTables
from shardlake.adapters.s3.root import S3Root
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.table_reader import TableReader
from shardlake.app.demo.generator import write_logs
from shardlake.app.demo.oracle import Oracle, compare, reached
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Transient
from shardlake.core.journal import operations, reading
from shardlake.core.limits import Limits
from shardlake.core.positions import Position
from shardlake.core.view import CompiledView
from shardlake.packs.bots.classify import Classifier
from shardlake.packs.cloudfront.pack import CloudFront
from streams.committer import Committer
from streams.decode import Decoding
from streams.lane import Lane, LaneContext
from streams.loop import Alone, Loop, hold_all
from streams.protect import Protection
from streams.sources.files import FileSettings, FileSource
from streams.sources.s3 import Keys, Pace, s3_files
from tests.s3.standin import StandIn

KEYS = {"bandwidth": 3, "bots": 4, "viewers": 2}
LIMITS = Limits(chunk_rows_max=700, commit_retries_max=3, retry_first_s=0.0, batch_rows_max=1500)
TRIES_MAX = 60


class Quiet:
    """Nobody is told."""

    def committed(self, *told: object) -> None:
        assert told[-1] == ()

    def idle(self) -> None:
        """Nobody hears it."""


@dataclass
class Plant:
    """A root whose journal is local and whose files are in S3, with its source; `logs` is a copy of what is there."""

    server: StandIn
    folder: Path
    pack: CloudFront = field(default_factory=CloudFront)
    failures: int = 0

    def __post_init__(self) -> None:
        self.clock, self.logs = SystemClock(), self.folder / "logs"
        self.logs.mkdir()
        self.source_place, self.place = self.server.new_place("cf"), self.server.new_place("lake")
        settings = replace(self.server.settings, attempts_max=2)
        self.root = S3Root.of(self.place.url, settings, self.folder / "cache", self.clock)
        self.oracle = Oracle(self.logs, self.told)

    @cached_property
    def views(self) -> dict[str, CompiledView]:
        return {name: compile_view(name, sql, self.pack.schema) for name, sql in sorted(self.pack.views.items())}

    @cached_property
    def classifier(self) -> Classifier:
        return Classifier()

    def told(self, agent: str | None) -> tuple[bool | None, str | None, str | None]:
        verdict = self.classifier.verdict(agent)
        return verdict.is_bot, verdict.category, verdict.name

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.folder / "journal.db")

    def deliver(self, names: list[str]) -> None:
        """Put log files into the bucket, as CloudFront does."""
        for name in names:
            data = (self.logs / name).read_bytes()
            self.server.client().put_object(Bucket=self.source_place.bucket, Key=f"cf/{name}", Body=data)

    def persistently(self, work: Callable[[], object]) -> None:
        """Do something again until it gets through, as the processes do."""
        for _ in range(TRIES_MAX):
            try:
                work()
                return
            except Transient:
                self.failures += 1
        raise AssertionError("it never got through")

    def stream(self) -> None:
        """Read what is there, with a worker of its own."""
        store, source = self.root.objects(), self.source()
        with closing(store), closing(self.journal()) as journal, closing(Engine(threads=1)) as engine:
            if reading.read_registry(journal) is None:
                journal.transact(operations.found(1))
            context = LaneContext(journal, store, self.clock, random_name, LIMITS)
            lane = Lane.take(context, 0, random_name(), "cloudfront")
            committer = Committer(lane, store, self.pack.schema, list(self.views.values()), engine, LIMITS)
            hold_all(journal, source.shards(), "cloudfront", committer)
            decoding = Decoding(self.pack, Protection.of(self.pack.schema, self.pack.derived), LIMITS)
            alone = Alone(self.clock)
            Loop(source, decoding, committer, self.clock, LIMITS, lambda: False, Quiet(), alone).run(once=True)

    def source(self) -> FileSource:
        url, settings = f"{self.source_place.url}/*.gz", self.root.settings
        store = s3_files(Keys.of(url), settings, self.clock, Pace())
        return FileSource(FileSettings("cloudfront", url, 4), self.pack.bucket_key, LIMITS, store)

    def batch(self) -> None:
        """Count what was committed into master and views."""
        store, tables = self.root.objects(), IcebergTables(self.folder / "tables", storage=self.root.tables())
        with closing(store), closing(self.journal()) as journal, closing(tables), closing(Engine(1)) as engine:
            run_batch(
                Context(journal, store, tables, engine, self.pack.schema, self.pack.sort_keys, random_name, LIMITS),
                list(self.views.values()),
            )

    def elsewhere(self) -> "S3Root":
        """The files as a machine has them that has read none."""
        return S3Root.of(self.place.url, self.server.settings, self.folder / random_name(), self.clock)

    def check(self, root: S3Root) -> int:
        """Hold each view against the plain count at the answer's own cut, and tell how many events that has."""
        events, store = 0, root.objects()
        with closing(store), closing(self.journal()) as journal:
            server = Server(journal, store, TableReader(self.folder / "tables", root.tables()), self.views, LIMITS)
            files = self.discovered(journal)
            for view, keys in KEYS.items():
                answer = server.rows(f'SELECT * FROM "{view}"')
                places = {shard: Position.decode(text) for shard, text in answer.certificate.positions.items()}
                cut = {shard: reached(files[shard], at.sequence, at.sub) for shard, at in places.items()}
                expected = self.oracle.at(cut)
                assert compare(expected.views[view], answer.rows, keys).total == 0
                assert answer.certificate.duplicates == expected.duplicates
                events = expected.events
        return events

    def discovered(self, journal: SqliteJournal) -> dict[str, list[str]]:
        """Shard -> its files by their ordinals, as they are committed."""
        store, source = self.elsewhere().objects(), self.source()
        with closing(store):
            head = reading.read_heads(journal)[0]
            context = LaneContext(journal, store, self.clock, random_name, LIMITS)
            source.open([store.get(ref) for ref in Lane(context, head).state.pages])
        return {
            shard: [row.key.removeprefix("cf/") for row in source._manifest.beyond(bucket, 0)]
            for bucket, shard in enumerate(source.shards())
        }


@pytest.fixture
def plant(s3: StandIn, tmp_path: Path) -> Iterator[Plant]:
    made = Plant(s3, tmp_path)
    yield made
    s3.forget()


@pytest.mark.slow
def test_answers_equal_a_plain_count_whatever_requests_fail(plant: Plant) -> None:
    names = [file.name for file in write_logs(plant.logs, 1500, seed=7, files=10, viewers=100)]
    counted: list[int] = []
    for part, rate in ((names[:8], 0.0), (names[8:], 0.12)):
        plant.server.forget()
        plant.deliver(part)
        plant.server.chaos = (Random(11), rate)
        plant.persistently(plant.stream)
        plant.persistently(lambda: counted.append(plant.check(plant.root)))
        plant.persistently(plant.batch)
        plant.persistently(lambda: counted.append(plant.check(plant.root)))
    plant.server.forget()
    counted.append(plant.check(plant.elsewhere()))
    assert counted[0] == counted[1] < counted[2] == counted[3] == counted[4]
    assert plant.failures > 0, "what failed was more than what the client repeats by itself"
    local = {path.suffix for path in (plant.folder / "tables").rglob("*") if path.is_file()}
    assert ".parquet" not in local
    assert ".json" not in local

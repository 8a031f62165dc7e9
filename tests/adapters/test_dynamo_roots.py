"""Roots on two machines that share a journal in DynamoDB and objects in S3: what one writes, the other answers."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import serving
from shardlake.adapters import journal_file, storage_file
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.tables import creation
from shardlake.adapters.storage_file import Storage
from shardlake.app import compose, config
from shardlake.app.checks import Check, Visit
from shardlake.app.cli import Invocation
from shardlake.app.config import DEFAULT
from shardlake.app.demo.generator import write_logs
from shardlake.app.doctor import examine
from shardlake.app.logs import make_log
from shardlake.app.main import run
from shardlake.app.overview import Overview
from shardlake.app.settings import Config, JournalSettings, SourceSettings, StorageSettings
from shardlake.app.streaming import stream
from shardlake.app.viewset import named_views
from shardlake.core.errors import ConfigError
from shardlake.core.journal import reading
from shardlake.core.limits import Limits
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo, Server, serve
from tests.s3.standin import StandIn, s3

__all__ = ["s3"]
LIMITS = Limits(settle_s=0.0, chunk_rows_max=40, poll_interval_s=0.05)
TABLE = "journal"


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    """Other tests of this process share it, under other names."""
    with serve(EmbeddedDynamo(SystemClock(), random.Random(0), Behaviour.unlimited())) as server:
        server.ask("CreateTable", **creation(TABLE))
        yield server


@dataclass(frozen=True, slots=True)
class Site:
    """What two machines share, and the folder in which each has a root."""

    folder: Path
    service: Server
    s3: StandIn
    storage: str
    app: str

    def config(self, machine: str, logs: str = "logs", **changes: Any) -> Config:
        endpoint = self.s3.settings.endpoint
        chosen = Config(
            root=str(self.folder / machine),
            source=SourceSettings(path=str(self.folder / logs)),
            journal=JournalSettings(
                url=f"dynamodb://{TABLE}/{self.app}", endpoint=self.service.url, region="us-east-1"
            ),
            storage=StorageSettings(url=self.storage, endpoint=endpoint, region="us-east-1"),
            limits=LIMITS,
        )
        return Config(**{name: getattr(chosen, name) for name in chosen.__struct_fields__} | changes)

    def deliver(self, files: list[Path]) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, self.folder / "logs")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some of the demo's files, as they are delivered."""
    folder = tmp_path_factory.mktemp("made")
    return [folder / file.name for file in write_logs(folder, 1000, 5)][:18]


@pytest.fixture
def site(tmp_path: Path, service: Server, s3: StandIn, made: list[Path]) -> Site:
    place = s3.new_place("lake")
    site = Site(tmp_path, service, s3, place.url, place.bucket)
    site.deliver(made[:12])
    return site


def read(chosen: Config) -> int:
    """Read what is there; the number of entries."""
    return stream(chosen, {}, make_log(verbose=0, as_json=True), lambda: False, once=True).entries


def count(chosen: Config) -> tuple[int, int, int]:
    """All requests by a view, events by its certificate, and what batch has counted of it."""
    answer = compose.server(chosen).rows("SELECT sum(requests) FROM bots")
    return int(answer.rows[0][0]), answer.certificate.events, answer.certificate.views[0].batch_rows


def run_batch(chosen: Config) -> int:
    from batch.run import run

    with compose.batch_context(chosen, lambda _: None) as context:
        return sum(counted.rows for counted in run(context, named_views(chosen, ("bots",))))


def test_what_one_machine_writes_another_answers_and_goes_on_with(site: Site, made: list[Path]) -> None:
    one, other = site.config("one"), site.config("other")
    assert read(one) > 2
    first = count(one)
    assert first == count(other), "nothing was run on that machine before"
    assert run_batch(other) > 0
    assert count(one)[2] == count(other)[2] > 0, "the table of one is the table of the other"
    assert count(one)[:2] == first[:2]
    site.deliver(made[12:])
    read(other)
    assert count(one)[1] > first[1]
    assert run_batch(one) > 0
    assert count(one) == count(other)
    assert read(one) == 0, "it goes on where the other stopped"


def test_a_root_holds_nothing_that_must_last(site: Site) -> None:
    one = site.config("one")
    read(one)
    run_batch(one)
    before = count(one)
    kept = {path.name for path in Path(one.root).iterdir()}
    assert kept <= {"cache", "views.json", "journal.json", "storage.json", "locks"}
    assert journal_file.stored(Path(one.root)).url == one.journal.url
    assert storage_file.stored(Path(one.root)).url == one.storage.url
    assert count(replace_root(one, site.folder / "new")) == before


def replace_root(chosen: Config, root: Path) -> Config:
    return Config(**{name: getattr(chosen, name) for name in chosen.__struct_fields__} | {"root": str(root)})


def test_a_table_that_was_restored_goes_on_from_its_moment(site: Site, made: list[Path]) -> None:
    one = site.config("one")
    read(one)
    run_batch(one)
    before, backup = count(one), site.service.ask("Scan", TableName=TABLE)["Items"]
    site.deliver(made[12:])
    read(one)
    run_batch(one)
    site.service.ask("CreateTable", **creation("restored"))
    for item in backup:
        site.service.ask("PutItem", TableName="restored", Item=item)
    url = f"dynamodb://restored/{site.app}"
    restored = site.config("new", journal=JournalSettings(url=url, endpoint=site.service.url, region="us-east-1"))
    assert count(restored) == before
    assert read(restored) > 0
    run_batch(restored)
    assert count(restored) == count(one) > before


def test_a_notebook_finds_the_journal_by_the_root_alone(site: Site) -> None:
    one, other = site.config("one"), site.config("other")
    read(one)
    expected = count(other)
    with serving.connect(other.root, limits=LIMITS) as connection:
        answer = connection.query("SELECT sum(requests) FROM bots")
        assert (int(answer.rows[0][0]), answer.certificate.events) == expected[:2]


def test_a_root_remembers_where_its_journal_is(site: Site) -> None:
    one = site.config("one")
    read(one)
    bare = Config(root=one.root, source=one.source, limits=LIMITS)
    assert count(bare) == count(one), "the root knows"
    elsewhere = JournalSettings(url=f"dynamodb://{TABLE}/another", endpoint=one.journal.endpoint)
    with pytest.raises(ConfigError, match=r"journal\.url is .*another, and the journal of .* set it back"):
        compose.journal(site.config("one", journal=elsewhere))


def test_a_root_with_a_journal_of_its_own_keeps_it(site: Site, tmp_path: Path) -> None:
    local = Config(root=str(tmp_path / "local"), source=site.config("x").source, limits=LIMITS)
    read(local)
    with pytest.raises(ConfigError, match=r"the journal of .* is its file journal\.db"):
        compose.journal(site.config("local"))


def test_a_journal_keeps_to_its_objects(site: Site) -> None:
    read(site.config("one"))
    other = StorageSettings(url="s3://another-bucket/lake", endpoint=site.s3.settings.endpoint, region="us-east-1")
    with pytest.raises(ConfigError, match=r"storage\.url is s3://another-bucket/lake, and the objects of the journal"):
        compose.journal(site.config("other", storage=other), read_only=True)
    with pytest.raises(ConfigError, match=r"storage\.url is not: set it too"):
        compose.journal(site.config("other", storage=StorageSettings()))


def test_nothing_is_made_by_who_only_asks(site: Site) -> None:
    before = site.service.ask("DescribeTable", TableName=TABLE)["Table"]["ItemCount"]
    with pytest.raises(ConfigError, match=r"nothing was stored at dynamodb://.* yet: begin with"):
        compose.journal(site.config("one"), read_only=True)
    assert not compose.begun(site.config("one"))
    assert site.service.ask("DescribeTable", TableName=TABLE)["Table"]["ItemCount"] == before


@pytest.mark.parametrize("url", ["dynamodb://t/app", "dynamodb://table", "dynamodb://table/", "table/app", "s3://a/b"])
def test_a_url_that_names_no_journal_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="write dynamodb://TABLE/APP"):
        compose.journal(Config(root=str(tmp_path), journal=JournalSettings(url=url)))


def test_another_pack_is_refused_on_another_machine(site: Site) -> None:
    read(site.config("one"))
    source = replace_source(site.config("other").source, pack="cloudfront_realtime")
    with pytest.raises(ConfigError, match="reads cloudfront, not cloudfront_realtime"):
        read(site.config("other", source=source))


def replace_source(source: SourceSettings, **changes: Any) -> SourceSettings:
    return SourceSettings(**{name: getattr(source, name) for name in source.__struct_fields__} | changes)


def test_status_and_doctor_tell_of_the_shared_journal(site: Site) -> None:
    one = site.config("one")
    visit = visited(one)
    assert found(visit)["journal"].found == "nothing was stored yet"
    read(one)
    told = found(replace(visit, resolved=visited(site.config("other")).resolved))
    assert told["journal"].found.startswith("lanes: 1, entries: ")
    assert told["journal table"].found == f"{TABLE} is ACTIVE, PAY_PER_REQUEST"
    assert told["storage read"].state == "ok"
    looked = Overview(site.config("other"), SystemClock()).look()
    assert looked["events"] == count(one)[1]
    with compose.opened_journal(one) as journal:
        assert looked["cut"] == {lane: head.n for lane, head in reading.read_heads(journal).items()}


def visited(chosen: Config) -> Visit:
    given = {
        f"{section}.{name}": (str(getattr(getattr(chosen, section), name)), "-")
        for section in ("journal", "storage")
        for name in ("url", "endpoint", "region")
    }
    given |= {"root": (chosen.root, "-"), "source.path": (chosen.source.path, "-")}
    return Visit(config.load(given, {}, Path(chosen.root).parent), {}, SystemClock())


def given(chosen: Config) -> list[str]:
    """Options that make the program choose so."""
    values = visited(chosen).resolved.values.items()
    return [f"--set={key}={value.value}" for key, value in values if value.origin != DEFAULT]


def found(visit: Visit) -> dict[str, Check]:
    return {check.check: check for check in examine(visit)}


@pytest.fixture(scope="module")
def tables(service: Server) -> dict[str, str]:
    """Tables that can hold no journal, and what is said of them."""
    one = {"AttributeName": "id"}
    service.ask(
        "CreateTable",
        TableName="keys-of-others",
        KeySchema=[one | {"KeyType": "HASH"}],
        AttributeDefinitions=[one | {"AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return {
        "nowhere": "there is no table nowhere for the journal: make it as docs/deploy shows, or correct journal.url",
        "keys-of-others": "has the keys id (S, HASH); a journal needs pk (S, HASH) and sk (S, RANGE): make a table as",
    }


@pytest.mark.parametrize("table", ["nowhere", "keys-of-others"])
def test_a_table_that_can_hold_no_journal_is_refused_at_the_start(
    site: Site, tables: dict[str, str], table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = JournalSettings(url=f"dynamodb://{table}/app", endpoint=site.service.url, region="us-east-1")
    chosen = site.config("one", journal=journal)
    for command in (("stream", "run"), ("batch", "run"), ("query", "SELECT 1"), ("status",), ("verify",)):
        assert run([*command, *given(chosen)], Invocation()) == 1
        assert tables[table] in capsys.readouterr().err
    told = found(visited(chosen))
    assert (told["journal table"].state, "journal" in told) == ("fail", False)
    assert tables[table] in told["journal table"].found
    assert not (Path(chosen.root) / journal_file.FILE).exists()


def test_who_would_write_rows_that_expire_is_refused(site: Site) -> None:
    site.service.ask("CreateTable", **creation("expiring"))
    expiry = {"Enabled": True, "AttributeName": "until"}
    site.service.ask("UpdateTimeToLive", TableName="expiring", TimeToLiveSpecification=expiry)
    journal = JournalSettings(url="dynamodb://expiring/app", endpoint=site.service.url, region="us-east-1")
    chosen = site.config("one", journal=journal)
    with pytest.raises(ConfigError, match=r"has a time to live \(attribute until\).* disable it"):
        read(chosen)
    assert not compose.begun(chosen)


def test_doctor_tries_to_write_where_it_may_and_asks_for_a_place_for_objects(site: Site) -> None:
    bare = site.config("one", storage=StorageSettings())
    before = site.service.ask("DescribeTable", TableName=TABLE)["Table"]["ItemCount"]
    told = found(visited(bare))
    assert "journal write" not in told
    assert told["storage"].found == "journal.url is set, and storage.url is not"
    told = found(replace(visited(site.config("one")), put=True))
    assert told["journal write"].found == "a row was written, expected and removed"
    assert "storage" not in told
    assert site.service.ask("DescribeTable", TableName=TABLE)["Table"]["ItemCount"] == before


def test_a_place_that_was_stored_is_read_again(tmp_path: Path) -> None:
    place = Storage("dynamodb://table/app", "http://127.0.0.1:1", "eu-west-1")
    journal_file.remember(tmp_path, place)
    assert journal_file.stored(tmp_path) == journal_file.checked(tmp_path, Storage()) == place
    assert (tmp_path / "journal.json").read_bytes() == (
        b'{"url":"dynamodb://table/app","endpoint":"http://127.0.0.1:1","region":"eu-west-1","format":1}'
    )


def test_the_program_works_on_two_roots(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def told(machine: str, *command: str) -> str:
        assert run([*command, *given(site.config(machine))], Invocation()) == 0
        return capsys.readouterr().out

    told("one", "stream", "run", "--once")
    told("other", "batch", "run")
    query = ("query", "SELECT sum(requests) FROM bots", "--json")
    assert told("one", *query) == told("other", *query) != ""
    for command in (("verify",), ("status",), ("dlq", "list"), ("doctor",)):
        assert told("other", *command)
    assert not (site.folder / "one" / "journal.db").exists()

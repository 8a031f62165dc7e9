"""A table's content from before its stream was followed: counted exactly, whatever changes while it is scanned."""

import io
import random
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from shardlake.adapters.dynamodb.scan import KeyAttribute
from shardlake.app import compose
from shardlake.app.bootstrapping import Loading, key_columns
from shardlake.app.loading import load
from shardlake.app.settings import Config, SourceSettings
from shardlake.core.errors import ConfigError, Conflict, Terminal, Transient
from shardlake.core.journal import operations, reading
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.testing.dynamodb import LOST_AFTER, THROTTLES
from shardlake.testing.orders import TABLE, item_of
from streams.again import Rereading
from streams.lane import LaneContext, LaneLost
from streams.protect import Protection
from streams.retry import Batch, RetryCommitter, RetryLane, stand
from streams.sources.kinesis.source import OnGap
from tests.dynamodb.changing import SOURCE
from tests.orders.following import PACK, VIEWS, Following
from tests.orders.loads import check_content, check_table, incomplete, loading, made, sold


@pytest.mark.parametrize("seed", range(6))
def test_whatever_changes_during_the_scan_the_views_equal_the_table(tmp_path: Path, seed: int) -> None:
    following, rng, sales = made(tmp_path, seed), random.Random(seed), iter(sold(seed + 100, 500))

    def happens() -> None:
        following.sell(sale for _, sale in zip(range(rng.randrange(4)), sales, strict=False))
        if rng.random() < 0.3:
            following.dynamo.inject(rng.choice((LOST_AFTER, *THROTTLES)), rng.choice(["GetRecords", "DescribeStream"]))
        if rng.random() < 0.1:
            rng.choice((following.kill, following.stop))(rng.choice(following.members))
            following.spawn()
        if rng.random() < 0.1:
            following.batch()
        following.run(rng.choice([0.25, 1.0, 3.0]), 0.25)

    for _ in range(rng.randrange(8)):
        happens()
    told = loading(following, happens).run()
    assert told.added >= len(following.before) // 2
    assert not incomplete(following)
    for _ in range(4):
        following.check_answer()
        happens()
    check_content(following)
    again = loading(following).run()
    assert (again.added, again.taken_back) == (0, 0)
    following.batch()
    check_content(following)


def test_a_table_that_nobody_changes_is_counted_as_it_is(tmp_path: Path) -> None:
    following = made(tmp_path)
    told = loading(following).run()
    assert (told.items, told.added, told.taken_back) == (len(following.before), len(following.before), 0)
    assert told.entries == 2
    check_content(following)


@pytest.mark.parametrize("since", ["nothing", "a roll-over", "changes"])
def test_what_a_stream_held_before_the_source_began_is_counted_with_the_table(tmp_path: Path, since: str) -> None:
    following = made(tmp_path, earlier=20, roll_s=10_000.0)
    for member in tuple(following.members):
        following.kill(member)
    following.sell(sold(4, 40))
    following.clock.advance(10)
    if since == "a roll-over":
        following.dynamo.roll(TABLE)
        following.clock.advance(10)
    following.pinned_us = following.clock.now_us()
    following.clock.advance(2)
    following.before, following.told_of[:] = list(following.dynamo.items(TABLE)), []
    following.spawn()
    following.run(5.0, 1.0)
    following.sell(sold(5, 40) if since == "changes" else [])
    assert loading(following).run().added
    check_content(following)


def test_what_is_missing_is_told_from_the_beginning_of_a_load_to_its_end(tmp_path: Path) -> None:
    following, during, steps = made(tmp_path), set[str](), list[str]()
    following.sell(sold(9, 40))
    following.follow()
    assert not incomplete(following)
    done = loading(
        following, lambda: during.add(incomplete(following)), lambda _: steps.append(incomplete(following))
    ).run()
    assert done.added
    assert during == {"a table whose content is not loaded to its end"}
    assert {*steps[:-1]} == during  # the last step is told after the end
    assert not steps[-1]
    assert not incomplete(following)


class Killed(Exception):
    """The process is gone."""


@pytest.mark.parametrize("step", ["items scanned", "comparing", "rows counted"])
def test_a_load_that_was_killed_is_repeated(tmp_path: Path, step: str) -> None:
    following, sales = made(tmp_path, 3, earlier=200), iter(sold(5, 100))

    def killing(told: str) -> None:
        if step in told:
            raise Killed

    with pytest.raises(Killed):
        loading(following, progress=killing).run()
    assert incomplete(following)
    following.sell(sales)
    following.run(5.0, 1.0)
    told = loading(following).run()
    assert not incomplete(following)
    assert told.items >= told.added
    check_content(following)


def test_of_two_loads_the_one_that_began_last_counts(tmp_path: Path) -> None:
    following, other = made(tmp_path, earlier=100), list[Loading]()

    def happens() -> None:
        if not other:
            other.append(loading(following))
            other[0].run()

    with pytest.raises(LaneLost, match="somebody else has begun to load the table"):
        loading(following, happens).run()
    check_content(following)


@pytest.mark.parametrize("on_gap", ["continue", "dlq"])
def test_what_was_trimmed_before_it_was_read_is_made_good(tmp_path: Path, on_gap: OnGap) -> None:
    following = made(tmp_path, on_gap=on_gap, earlier=40, roll_s=4 * 3_600.0, expired_listed_s=0.0)
    following.sell(sold(4, 60))
    following.follow()
    for member in tuple(following.members):
        following.kill(member)
    following.sell(sold(5, 60))
    following.clock.advance(3_600)
    following.sell(sold(6, 60))
    following.clock.advance(25 * 3_600)
    following.sell(sold(7, 60))
    following.spawn()
    following.run(600.0, 5.0)
    assert following.gaps()
    told = loading(following).run()
    assert told.added
    assert told.taken_back
    check_table(following)


def test_records_that_are_lost_during_the_scan_make_it_of_no_use(tmp_path: Path) -> None:
    following, pages = made(tmp_path, on_gap="continue", earlier=40, roll_s=4 * 3_600.0), list[int]()
    following.sell(sold(4, 60))
    following.follow()

    def happens() -> None:
        pages.append(1)
        if len(pages) != 3:
            return
        for member in tuple(following.members):
            following.kill(member)
        following.sell(sold(5, 60))
        following.clock.advance(25 * 3_600)
        following.sell(sold(6, 60))
        following.spawn()
        following.run(600.0, 5.0)

    with pytest.raises(Conflict, match="records of the stream were lost while the table was scanned: run it again"):
        loading(following, happens).run()
    assert incomplete(following)


def put_bad(following: Following) -> None:
    item = {"invoice": {"S": "bad"}, "line": {"N": "1"}, "quantity": {"N": "1"}}
    following.dynamo.ask("PutItem", TableName=TABLE, Item=item)


def test_items_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    following = made(tmp_path, earlier=20, bad=True)
    with pytest.raises(Terminal, match=r"1 of \d+ items cannot be read \(1 wrong_type\)"):
        loading(following).run()


def test_open_dead_letters_come_first(tmp_path: Path) -> None:
    following = made(tmp_path, earlier=20)
    put_bad(following)
    following.run(30.0, 1.0)
    assert following.reasons() == {"missing": 1}
    with pytest.raises(Terminal, match="1 dead letters are open"):
        loading(following).run()


def retry(following: Following) -> None:
    """Read all dead letters again, by the pack as it is."""
    context = LaneContext(following.journal, following.store, following.clock, following._name, following.limits)
    batch = Batch()
    for entry in following.told.kept:
        manifest = following.manifest(entry)
        if manifest is not None and manifest.letters is not None:
            batch.add(pq.read_table(io.BytesIO(following.store.get(manifest.letters))), (entry.lane, entry.n))
    again = Rereading(PACK, Protection(), following.limits, None).read(batch.letters)
    lane = RetryLane.open(context, SOURCE, stand(following.journal, SOURCE))
    views = list(VIEWS.values())
    committer = RetryCommitter(lane, following.store, PACK.schema, views, following.engine, following.limits)
    committer.retry(batch, again, lambda halves: halves)


def strict(folder: Path) -> DeclaredPack:
    """The pack, but that it wants to know the country."""
    (folder / "orders").mkdir()
    text = resources.files("shardlake.packs").joinpath("orders", "pack.toml").read_text("utf-8")
    (folder / "orders" / "pack.toml").write_text(text.replace("country = {", "country = { needed = true,"))
    return DeclaredPack(folder / "orders", "orders")


def put_without_country(following: Following) -> None:
    image = item_of(replace(sold(8)[0], invoice="other"), 1)
    item = {key: value for key, value in image.items() if key != "country"}
    following.dynamo.ask("PutItem", TableName=TABLE, Item=item)
    following.run(30.0, 1.0)
    assert following.reasons() == {"missing": 1}


def test_letters_that_were_retried_are_counted_once(tmp_path: Path) -> None:
    following = made(tmp_path, earlier=20)
    following.pack = strict(tmp_path)
    put_without_country(following)
    with pytest.raises(Terminal, match="1 dead letters are open"):
        loading(following).run()
    retry(following)
    told = loading(following).run()
    assert (told.items, told.added, told.taken_back) == (len(following.before) + 1, len(following.before), 0)
    check_table(following)


def test_letters_that_are_retried_during_the_scan_make_it_of_no_use(tmp_path: Path) -> None:
    following, pages = made(tmp_path, earlier=40), list[int]()
    following.pack = strict(tmp_path)

    def happens() -> None:
        pages.append(1)
        if len(pages) == 2:
            put_without_country(following)
            retry(following)

    with pytest.raises(Conflict, match="dead letters were retried while the table was scanned: run it again"):
        loading(following, happens).run()
    assert loading(following).run().added == len(following.before)
    check_table(following)


def test_a_stream_that_nobody_reads_is_waited_for_with_an_end(tmp_path: Path) -> None:
    following = made(tmp_path, earlier=20)
    following.follow()
    for member in tuple(following.members):
        following.kill(member)
    following.sell(sold(5, 60))
    run = loading(following)
    run.wait_s = 5.0
    with pytest.raises(Transient, match="were not read to the end of the scan"):
        run.run()


def test_a_key_that_no_column_holds_is_refused() -> None:
    keys = (KeyAttribute("invoice", "S"), KeyAttribute("line", "N"))
    assert key_columns("orders", keys, Protection()) == ("invoice", "line")
    with pytest.raises(ConfigError, match="no column of pack orders holds line"):
        key_columns("orders", (KeyAttribute("line", "S"),), Protection())
    with pytest.raises(ConfigError, match="neither mask nor drop"):
        key_columns("orders", keys, Protection(mask=frozenset(["invoice"])))
    with pytest.raises(ConfigError, match="no column of pack orders holds ordered_at"):
        key_columns("orders", (KeyAttribute("ordered_at", "S"),), Protection())  # two texts may be one time


def test_what_cannot_be_loaded_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = SourceSettings(name="orders", pack="orders", table="orders", region="us-east-1")
    config = Config(root=str(root), source=source)

    def refusal(config: Config) -> str:
        with pytest.raises(ConfigError) as caught:
            load(config, {}, lambda _: None)
        return str(caught.value)

    assert "only a DynamoDB table has content to load" in refusal(Config(root=str(root)))
    assert "nothing was stored" in refusal(config)
    assert not root.exists()
    journal = compose.journal(config)
    journal.transact(operations.found(1))
    assert "nothing of orders was read yet: begin `shardlake stream run` first" in refusal(config)
    assert reading.read_head(journal, 0).n == 0
    journal.close()

"""A table's changes put into another table: twice, late, in another order, by two at once, it ends the same."""

import random
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from batch.replicate import Changes, Replicated, Rule, replica_key
from shardlake.adapters.dynamodb.stream_wire import line as change_line
from shardlake.adapters.dynamodb.versioned import (
    EXPIRES,
    REMOVED,
    VERSION,
    ItemVersion,
    VersionedTable,
    describe,
)
from shardlake.core.errors import ConfigError, Conflict, OutcomeUnknown, Terminal
from shardlake.core.journal.port import Write
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.testing.dynamodb import LOST_AFTER, LOST_BEFORE, Behaviour, EmbeddedCalls
from streams.bootstrap import BootstrapCommitter, BootstrapLane
from streams.lane import LaneContext
from tests.dynamodb.changing import PACK, SOURCE, Changing
from tests.dynamodb.copying import ALL, COPY, DAY_S, SOME, Copying, Crowd, passes


@pytest.fixture(name="copying")
def _copying(tmp_path: Path) -> Copying:
    behaviour = Behaviour.unlimited().changed(stream_shards=2, roll_s=40.0, ttl_sweep_s=3_600.0)
    return Copying(Changing(tmp_path, behaviour=behaviour))


def changed(copying: Copying, rng: random.Random, times: int, names: int = 6) -> None:
    """Change items, and let all of it be committed."""
    for _ in range(times):
        copying.table.change(rng, names)
        copying.table.run(3.0, 1.0)
    copying.table.catch_up()


def test_the_copy_is_the_table_as_far_as_its_changes_were_committed(copying: Copying) -> None:
    copying.table.spawn()
    replicator = copying.replicator()
    replicator.begin()
    rng = random.Random(1)
    for _ in range(3):
        changed(copying, rng, 15)
        copying.all(replicator)
        copying.check()
        copying.check_forward()
    assert copying.done.removed > 0
    assert copying.done.newer == 0
    assert not copying.work(replicator)


def test_an_item_that_no_longer_passes_the_filter_goes(copying: Copying) -> None:
    copying.rule = SOME
    copying.table.spawn()
    changed(copying, random.Random(4), 50)
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    copying.check(passes)
    never = [name for name, item in copying.items().items() if REMOVED not in item and int(item["n"]["N"]) % 3 == 0]
    assert not never


def test_an_item_passes_alike_when_it_comes_and_when_it_goes_whatever_the_pack_read_then(copying: Copying) -> None:
    table, now = copying.table, copying.table.pack
    copying.rule = Rule("n >= 0", ("n",), told="n >= 0")
    member = table.spawn()
    table.put("a")
    table.put("b")
    table.catch_up()
    table.kill(member)
    folder = table.folder / "other"
    folder.mkdir()
    (folder / "pack.toml").write_text(PACK.replace('n = "BIGINT"', 'n = { type = "BIGINT", from = "m" }'))
    table.pack = DeclaredPack(folder, "items")
    table.spawn()
    table.remove("a")
    table.catch_up()
    assert [row["n"] for row in table.rows()][-1] is None
    table.pack = now
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    copying.check()


@pytest.mark.parametrize("rule", [ALL, SOME])
@pytest.mark.parametrize("seed", range(3))
def test_two_at_once_that_are_disturbed_end_with_the_table_and_never_go_back(
    copying: Copying, seed: int, rule: Rule
) -> None:
    """Passes cross each other, puts are lost, late or throttled, processes end amidst a pass, passes come again."""
    rng, copying.rule = random.Random(seed), rule
    copying.table.spawn()
    copying.table.spawn()
    crowd = Crowd(copying, rng)
    for _ in range(12):
        changed(copying, rng, 4)
        for _ in range(3):
            crowd.attempt()
    copying.table.dynamo.clear_faults()
    last = copying.replicator()
    last.begin()
    copying.all(last)
    copying.check(passes if rule is SOME else lambda _: True)
    copying.table.dynamo.land()  # what was sent long ago arrives now
    copying.check(passes if rule is SOME else lambda _: True)
    copying.check_forward()
    assert copying.done.there + copying.done.newer > 0


def test_what_was_removed_does_not_come_back_with_an_older_version(copying: Copying) -> None:
    table = copying.table
    table.spawn()
    table.put("a")
    table.catch_up()
    first = copying.manifests()
    table.remove("a")
    table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    assert replicator.put(first) == Replicated(rows=1, newer=1)
    [item] = copying.items().values()
    assert item[REMOVED] == {"BOOL": True}
    assert set(item) == {"id", VERSION, REMOVED}


def test_a_place_is_stored_only_after_everything_below_it_was_put(copying: Copying) -> None:
    table = copying.table
    table.spawn()
    table.put("a")
    table.put("b")
    table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    table.dynamo.inject(LOST_BEFORE, "PutItem", times=1_000)
    with pytest.raises(OutcomeUnknown):
        replicator.step()
    table.dynamo.clear_faults()
    again = copying.replicator()
    again.begin()
    copying.all(again)
    copying.check()


def test_what_was_lost_on_its_way_back_was_put_once(copying: Copying) -> None:
    copying.table.spawn()
    copying.table.put("a")
    copying.table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    copying.table.dynamo.inject(LOST_AFTER, "PutItem")
    copying.all(replicator)
    assert (copying.done.put, copying.done.there, copying.done.newer) == (0, 1, 0)
    copying.check()


def test_the_mark_of_a_removal_expires_if_that_is_wanted(copying: Copying) -> None:
    copying.removed_days = 30
    copying.table.spawn()
    copying.table.put("a")
    copying.table.remove("a")
    copying.table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    [item] = copying.items().values()
    assert abs(int(item[EXPIRES]["N"]) - copying.table.clock.now_us() // 1_000_000 - 30 * DAY_S) < 60


def loaded(copying: Copying, rows: list[tuple[str, int, int]]) -> None:
    """Commit what a load of the table's content adds: items with their numbers and weights."""
    table = copying.table
    names = count(1)
    context = LaneContext(table.journal, table.store, table.clock, lambda: f"load-{next(names)}", table.limits)
    lane = BootstrapLane.open(context, SOURCE)
    committer = BootstrapCommitter(lane, table.store, table.pack.schema, [], table.engine, table.limits)
    committer.begin()
    lines = [change_line(1, "INSERT", msgspec.json.encode(item_of(name, n))) for name, n, _ in rows]
    decoded = table.pack.open("").decode(b"\n".join(lines))
    weights = np.array([weight for _, _, weight in rows], np.int32)
    committer.add(table.pack.enrich(decoded.rows), weights, table.clock.now_us(), is_last=True)


def item_of(name: str, n: int) -> dict[str, Any]:
    return {"id": {"S": name}, "n": {"N": str(n)}, "at": {"N": "1767225600"}}


def test_what_was_there_before_comes_before_every_change(copying: Copying) -> None:
    table = copying.table
    table.spawn()
    for name in ("changed", "removed"):
        table.put(name)
    table.remove("removed")
    table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    loaded(copying, [("changed", 900, 1), ("removed", 901, 1), ("old", 902, 1), ("old", 800, -1)])
    copying.all(replicator)
    there = {name: item["n"]["N"] for name, item in copying.items().items() if REMOVED not in item}
    assert there == {"changed": "0", "old": "902"}


# ------------------------------------------------------------------------------------------------------- refusals


def test_another_filter_needs_everything_anew(copying: Copying) -> None:
    copying.replicator().begin()
    with pytest.raises(ConfigError, match=r"by another filter.*--anew"):
        copying.replicator(rule=SOME).begin()
    copying.replicator(rule=SOME).begin(anew=True)
    copying.replicator(rule=SOME).begin()


def test_a_table_that_was_made_anew_is_told_and_filled_again(copying: Copying) -> None:
    table = copying.table
    table.spawn()
    table.put("a")
    table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    copying.all(replicator)
    table.dynamo.ask("DeleteTable", TableName=COPY)
    table.clock.advance(5)
    copying.make()
    again = copying.replicator()
    with pytest.raises(ConfigError, match=r"made anew.*--anew"):
        again.begin()
    again.begin(anew=True)
    copying.all(again)
    copying.check()


def test_who_is_overtaken_hears_of_it_and_goes_on(copying: Copying) -> None:
    table = copying.table
    table.spawn()
    table.put("a")
    table.catch_up()
    crossed = copying.replicator()
    copying.replicator().begin()
    slow = copying.replicator(lambda: copying.all(crossed))
    with pytest.raises(Conflict):
        slow.step()
    assert slow.step() is None
    copying.check()


@pytest.mark.parametrize("rule", [ALL, SOME])
def test_images_that_are_none_stop_and_show_nothing(copying: Copying, rule: Rule) -> None:
    table = copying.table
    table.spawn()
    table.put("secret")
    table.catch_up()
    replicator = copying.replicator()
    replicator.begin()
    replicator._changes = Changes(SOURCE, "id", copying.read(rule))
    with pytest.raises(Terminal, match=r"no item of DynamoDB.*protect") as caught:
        replicator.step()
    assert "secret" not in str(caught.value)
    replicator._changes = Changes(SOURCE, "picture", ALL)
    with pytest.raises(ConfigError, match="before column picture was declared"):
        replicator.step()


def test_a_copy_of_a_copy_tells_its_own_versions(copying: Copying) -> None:
    calls = EmbeddedCalls(copying.table.dynamo)
    target = VersionedTable(calls, describe(calls, COPY), copying.table.clock, random.Random(1))
    there = {"id": {"S": "a"}, "n": {"N": "1"}, VERSION: {"S": "0019.0010"}}
    assert target.put(ItemVersion("0011.0010", there)) == "put"
    assert copying.items()["a"] == {"id": {"S": "a"}, "n": {"N": "1"}, VERSION: {"S": "0011.0010"}}
    gone: dict[str, dict[str, Any]] = {"id": {"S": "a"}, VERSION: {"S": "0019.0020"}, REMOVED: {"BOOL": True}}
    assert target.put(ItemVersion("0012.0010", gone)) == "put"
    assert copying.items()["a"] == gone | {VERSION: {"S": "0012.0010"}}


def test_an_item_without_the_tables_key_is_refused_by_its_version_alone(copying: Copying) -> None:
    calls = EmbeddedCalls(copying.table.dynamo)
    target = VersionedTable(calls, describe(calls, COPY), copying.table.clock, random.Random(1))
    one = ItemVersion("0011.0010", {"key": {"S": "secret"}})
    with pytest.raises(Terminal, match=r"version 0011\.0010 has no attribute id") as caught:
        target.put(one)
    assert "secret" not in f"{caught.value}{one}"


def test_the_row_of_a_place_is_as_it_was(copying: Copying) -> None:
    copying.replicator(rule=SOME).begin()
    arn = "arn:aws:dynamodb:us-east-1:000000000000:table/copy"
    key = replica_key(SOURCE, arn)
    row = msgspec.json.decode(copying.table.journal.get([key])[key])
    assert key == f"replica/changes/{arn}"
    assert row | {"identity": ""} == {
        "source": SOURCE,
        "table": arn,
        "identity": "",
        "filter": "n % 3 <> 0",
        "seam": {"marks": {}},
        "format": 1,
    }


def test_of_two_that_begin_at_once_both_go_on(copying: Copying) -> None:
    journal, first = copying.table.journal, copying.replicator()
    transact = journal.transact

    def raced(writes: Sequence[Write]) -> None:
        journal.transact = transact  # type: ignore[method-assign]
        copying.replicator().begin()
        transact(writes)

    journal.transact = raced  # type: ignore[method-assign]
    first.begin()
    assert not copying.work(first)

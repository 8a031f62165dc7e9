"""A table's content from before its stream was followed: counted exactly, whatever changes while it is scanned."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.certificate import certify
from shardlake.adapters.dynamodb.scan import KeyAttribute, TableScan
from shardlake.app.bootstrapping import Loading, key_columns
from shardlake.core.errors import ConfigError, Conflict, Terminal, Transient
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import LOST_AFTER, THROTTLES, Behaviour, EmbeddedCalls
from shardlake.testing.orders import TABLE, Sale, drawn_sales
from shardlake.testing.world import answered
from streams.lane import LaneContext, LaneLost
from streams.protect import Protection
from streams.sources.kinesis.source import OnGap
from tests.dynamodb.changing import LIMITS, SOURCE
from tests.orders.following import PACK, VIEWS, Following
from tests.orders.plain import in_order, views

QUICK = msgspec.structs.replace(LIMITS, worker_expiry_s=12.0, heartbeat_s=3.0, look_s=1.0, discover_s=5.0)


class Passing(ManualClock):
    """A clock that lets something happen while somebody sleeps."""

    def __init__(self, clock: ManualClock, happens: Callable[[float], None]) -> None:
        self._clock, self._happens = clock, happens

    def now_us(self) -> int:
        return self._clock.now_us()

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def sleep_s(self, seconds: float) -> None:
        self._happens(seconds)


@dataclass(slots=True)
class Calls(EmbeddedCalls):
    """The calls of a table; something happens before each page of a scan."""

    following: Following
    happens: Callable[[], None]

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if action == "Scan":
            self.happens()
        return EmbeddedCalls(self.following.dynamo).call(action, request)


def sold(seed: int, count: int = 120) -> list[Sale]:
    return drawn_sales(random.Random(seed), count)


def made(
    folder: Path, seed: int = 0, *, earlier: int = 60, bad: bool = False, on_gap: OnGap = "fail", **behaviour: Any
) -> Following:
    """A shop that has sold before it had a stream, and two workers."""
    chosen = {"roll_s": 60.0, "empty_pages": 0.2, "end_apart": 0.5, "children_late_s": 3.0, "parents_open": 0.3}
    limits = msgspec.structs.replace(QUICK, chunk_rows_max=40)
    world = Behaviour().changed(**{**chosen, **behaviour})
    sales = [
        replace(sale, unit_price=Decimal("0.00001")) if bad and not at else sale
        for at, sale in enumerate(sold(seed, earlier))
    ]
    found = Following(folder, seed, world, on_gap, limits=limits, earlier=sales)
    found.shop.corrected, found.shop.expiring, found.shop.life_s = 0.3, 0.1, 60
    found.spawn()
    found.spawn()
    return found


def loading(
    following: Following,
    happens: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda _: None,
) -> Loading:
    """A run over the shop's table. While it waits, time passes for everybody."""
    folder = following.folder / f"loading-{following._name()}"
    folder.mkdir()
    clock = Passing(following.clock, lambda seconds: following.run(seconds, max(seconds, 0.25)))
    scan = TableScan(Calls(following, happens), TABLE, clock, page_items=7)
    context = LaneContext(following.journal, following.store, clock, following._name, following.limits)
    return Loading(
        context,
        following.tables,
        following.engine,
        PACK,
        Protection(),
        list(VIEWS.values()),
        SOURCE,
        following.arn,
        scan,
        following.api,
        ("invoice", "line"),
        folder,
        settle_s=2.0,
        wait_s=600.0,
        progress=progress,
    )


def incomplete(following: Following) -> str:
    return certify(following.plan()).views[0].incomplete


def check_content(following: Following) -> None:
    """Compare the views, once all is read, with the table itself."""
    following.dynamo.clear_faults()
    following.follow()
    following.check_answer()
    made = following.plan()
    found = {name: in_order(rows) for name, rows in answered(following.engine, following.store, made).items()}
    assert found == views(following.dynamo.items(TABLE))


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


def test_what_is_missing_is_told_from_the_beginning_of_a_load_to_its_end(tmp_path: Path) -> None:
    following, seen = made(tmp_path), set[str]()
    following.sell(sold(9, 40))
    following.follow()
    assert not incomplete(following)
    done = loading(following, lambda: seen.add(incomplete(following)), lambda _: seen.add(incomplete(following))).run()
    assert done.added
    assert seen == {"", "a table whose content is not loaded to its end"}  # the last step comes after the end
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


def test_what_was_trimmed_before_it_was_read_is_made_good(tmp_path: Path) -> None:
    following = made(tmp_path, on_gap="continue", earlier=40, roll_s=4 * 3_600.0, expired_listed_s=0.0)
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
    made_ = following.plan()
    found = {name: in_order(rows) for name, rows in answered(following.engine, following.store, made_).items()}
    assert found == views(following.dynamo.items(TABLE))


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

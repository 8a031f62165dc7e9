"""Loads of a shop's table in simulated time: while somebody waits or scans, everything else goes on."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from serving.certificate import certify
from shardlake.adapters.dynamodb.scan import TableScan
from shardlake.app.bootstrapping import Loading
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedCalls
from shardlake.testing.orders import TABLE, Sale, drawn_sales
from shardlake.testing.world import answered
from streams.lane import LaneContext
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
        pinned_us=following.pinned_us,
        progress=progress,
    )


def incomplete(following: Following) -> str:
    return certify(following.plan()).views[0].incomplete


def check_content(following: Following) -> None:
    """Compare the views, once all is read, with the table itself."""
    following.dynamo.clear_faults()
    following.follow()
    following.check_answer()
    check_table(following)


def check_table(following: Following) -> None:
    made = following.plan()
    found = {name: in_order(rows) for name, rows in answered(following.engine, following.store, made).items()}
    assert found == views(following.dynamo.items(TABLE))

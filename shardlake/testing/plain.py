"""The world's views once more, in plain Python: the oracle that shares nothing with the compiler.

Each view is paired with a function from events to rows, and an answer is compared with it both ways. Exact columns must
be equal; sums of doubles and sketches must lie within their stated bounds.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Row = Mapping[str, Any]
EPOCH_US: Final = 1_700_000_000_000_000
BUCKET_US: Final = 300_000_000


@dataclass(frozen=True, slots=True)
class Click:
    """One event as the producer knows it: minutes after EPOCH_US, and values that may be NULL, `seen` among them."""

    minute: int
    seen: int | None
    page: str | None
    cost: int | None
    weight: float | None
    click_id: str | None

    def row(self) -> dict[str, object]:
        """The event as a row of the source."""
        return {
            "happened": EPOCH_US + self.minute * 60_000_000,
            "seen": None if self.seen is None else EPOCH_US + self.seen * 60_000_000,
            "page": self.page,
            "cost": self.cost,
            "weight": self.weight,
            "click_id": self.click_id,
        }


@dataclass(frozen=True, slots=True)
class Near:
    """A value that an answer may miss by as much as its bound."""

    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Plain:
    """A view's SQL, the names of its keys, and what its rows are."""

    sql: str
    keys: tuple[str, ...]
    rows: Callable[[Sequence[Click]], list[dict[str, Any]]]


def by(clicks: Iterable[Click], key: Callable[[Click], Any]) -> list[tuple[Any, list[Click]]]:
    """Group events."""
    groups: dict[Any, list[Click]] = defaultdict(list)
    for click in clicks:
        groups[key(click)].append(click)
    return list(groups.items())


def bucket(minute: int, width_us: int = BUCKET_US) -> datetime:
    """The window, of five minutes or another width, in which a minute lies."""
    us = EPOCH_US + minute * 60_000_000
    return datetime.fromtimestamp((us - us % width_us) / 1e6, UTC).replace(tzinfo=None)


def pages(clicks: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `pages`."""
    rows = []
    for (start, page), group in by(clicks, lambda c: (bucket(c.minute), c.page)):
        costs = [c.cost for c in group if c.cost is not None]
        some = bool(costs)
        row = {"bucket": start, "page": page, "clicks": len(group), "total": sum(costs) if some else None}
        row |= {"low": min(costs) if some else None, "high": max(costs) if some else None}
        rows.append(row | {"mean": Near(sum(costs) / len(costs), 1e-9 * abs(sum(costs))) if some else None})
    return rows


def ever(clicks: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `ever`, which has no window."""
    rows = []
    for page, group in by(clicks, lambda c: c.page):
        weights = [c.weight for c in group if c.weight is not None]
        bound = 2 * len(weights) * 2**-53 * math.fsum(map(abs, weights))
        costs = [c.cost for c in group if c.cost is not None]
        row = {"page": page, "positive": sum(cost > 0 for cost in costs)}
        row["weight"] = Near(math.fsum(weights), bound) if weights else None
        rows.append(row | {"refund": any(cost < 0 for cost in costs) if costs else None})
    return rows


def heavy(clicks: Sequence[Click], width_us: int = BUCKET_US) -> list[dict[str, Any]]:
    """The view `heavy`: a filter, and an arg_max with its ties broken by the greatest argument."""
    rows = []
    for (start,), group in by((c for c in clicks if c.page is not None), lambda c: (bucket(c.minute, width_us),)):
        ranked = [(c.cost, c.page) for c in group if c.cost is not None]
        rows.append({"bucket": start, "dearest": max(ranked)[1] if ranked else None, "clicks": len(group)})
    return rows


def visitors(clicks: Sequence[Click]) -> list[dict[str, Any]]:
    """The view `visitors`: a sketch, by a time that may be NULL. So few values share a register by chance only."""
    rows = []
    for (start,), group in by(clicks, lambda c: (bucket(c.seen) if c.seen is not None else None,)):
        ids = {c.click_id for c in group if c.click_id is not None}
        rows.append({"bucket": start, "ids": Near(len(ids), 1 + 0.05 * len(ids))})
    return rows


VIEWS: Final[Mapping[str, Plain]] = {
    "pages": Plain(
        "SELECT time_bucket(INTERVAL '5 minutes', happened) AS bucket, page, count(*) AS clicks, sum(cost) AS total,"
        " min(cost) AS low, max(cost) AS high, avg(cost) AS mean FROM clicks GROUP BY ALL",
        ("bucket", "page"),
        pages,
    ),
    "ever": Plain(
        "SELECT page, count(cost) FILTER (WHERE cost > 0) AS positive, sum(weight) AS weight,"
        " bool_or(cost < 0) AS refund FROM clicks GROUP BY page",
        ("page",),
        ever,
    ),
    "heavy": Plain(
        "SELECT time_bucket(INTERVAL '5 minutes', happened) AS bucket, arg_max(page, cost) AS dearest,"
        " count(*) AS clicks FROM clicks WHERE page IS NOT NULL GROUP BY 1",
        ("bucket",),
        heavy,
    ),
    "visitors": Plain(
        "SELECT time_bucket(INTERVAL '5 minutes', seen) AS bucket, approx_count_distinct(click_id) AS ids"
        " FROM clicks GROUP BY bucket",
        ("bucket",),
        visitors,
    ),
}


REDEFINED: Final = Plain(
    "SELECT time_bucket(INTERVAL '10 minutes', happened) AS bucket, arg_max(page, cost) AS dearest,"
    " count(*) AS clicks FROM clicks WHERE page = '/a' GROUP BY 1",
    ("bucket",),
    lambda clicks: heavy([c for c in clicks if c.page == "/a"], 2 * BUCKET_US),
)  # the view `heavy`, as it is later defined


def differences(view: Plain, clicks: Sequence[Click], answer: Sequence[Row]) -> list[str]:
    """Say how an answer differs from the view over some events: rows that lack, that are too many, that are wrong."""
    expected = {tuple(row[key] for key in view.keys): row for row in view.rows(clicks)}
    found = {tuple(row[key] for key in view.keys): row for row in answer}
    told = [f"key {key} is there twice" for key in found if sum(_key(view, row) == key for row in answer) > 1]
    told += [f"row {expected[key]} lacks" for key in expected.keys() - found.keys()]
    told += [f"row {found[key]} is too many" for key in found.keys() - expected.keys()]
    both = expected.keys() & found.keys()
    return told + [f"{found[key]} should be {expected[key]}" for key in both if not _equal(expected[key], found[key])]


def _key(view: Plain, row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in view.keys)


def _equal(expected: Row, found: Row) -> bool:
    return expected.keys() == found.keys() and all(_same(value, found[name]) for name, value in expected.items())


def _same(expected: object, found: object) -> bool:
    if isinstance(expected, Near):
        return isinstance(found, int | float) and abs(found - expected.value) <= expected.bound
    return expected == found and type(expected) is type(found)

"""The audit of a normal run: what the batch layer computed against what the speed layer had stored.

Both sides have one row a key over the same entries. Exact columns must be equal as multisets of rows; sums of
doubles may differ by their stated bound. It finds lost or corrupt rows. It cannot find a fault of the compiler,
since both sides run the same compiled form: laws and the plain oracle are for that.
"""

from collections.abc import Sequence

from shardlake.adapters.engine import Engine
from shardlake.core.combine import kept_sql
from shardlake.core.errors import Corrupt
from shardlake.core.view import CompiledView

SAMPLE_ROWS = 3


class AuditFailed(Corrupt):
    """The batch layer and the speed layer disagree over the same entries; nothing was published."""

    def __init__(self, view: str, entry: str, differing: int, sample: Sequence[object]) -> None:
        super().__init__(
            f"view {view}: {differing} rows differ between the stored partials and the rows of {entry}; "
            "nothing was published: run `shardlake verify` and see docs/operations.md"
        )
        self.view, self.entry, self.differing, self.sample = view, entry, differing, sample


def difference_sql(view: CompiledView, ours: str, theirs: str) -> str:
    """A SELECT of the rows that stand on one side only; `_side` is positive for ours. Empty if the sides are equal.

    Bounded values of equal keys may differ by the sum of both sides' bounds. NULL, NaN and infinities must be equal,
    but where both sides' bounds are infinite: there a sum overflows in one order and not in another.
    """
    exact = ", ".join(f'"{c.name}"' for c in view.columns if c.audit == "exact")
    bounded = [(f"_v{i}", c) for i, c in enumerate(c for c in view.columns if c.audit != "exact")]
    values = "".join(f', "{c.name}" AS {v}, ({c.bound or 0})::DOUBLE AS {v}_bound' for v, c in bounded)
    sums = "".join(
        f", sum(_side * {v}) AS {v}_off, sum({v}_bound) AS {v}_within, min({v}_bound) AS {v}_least"
        f", sum(_side * ({v} IS NOT NULL)::INTEGER) AS {v}_lone, min({v}) IS NOT DISTINCT FROM max({v}) AS {v}_same"
        for v, _ in bounded
    )
    off = "".join(
        f" OR {v}_lone <> 0 OR NOT ({v}_same OR coalesce(isfinite({v}_off) AND abs({v}_off) <= {v}_within, false)"
        f" OR coalesce(isinf({v}_least), false))"
        for v, _ in bounded
    )
    return (
        f"SELECT * FROM (SELECT {exact}, sum(_side) AS _side{sums} FROM ("
        f"SELECT {exact}{values}, 1 AS _side FROM {ours} UNION ALL SELECT {exact}{values}, -1 AS _side FROM {theirs}"
        f") GROUP BY {exact}) WHERE _side <> 0{off}"
    )


def digest_sql(view: CompiledView, side: str) -> str:
    """A SELECT of one row that is equal for equal multisets of rows; unequal ones share it with a chance of 2^-64."""
    columns = ", ".join(f'"{c.name}"' for c in view.columns)
    return f"SELECT count(*) AS n, sum(hash({columns}))::VARCHAR AS total FROM {side}"


def differing(engine: Engine, view: CompiledView, ours: str, theirs: str) -> tuple[int, Sequence[object]]:
    """Count the rows that differ, and show some of them.

    Of a stream of changes, a group of which everything was taken back is the same as none. Equal digests say that no
    row differs, at half the cost of looking; sums of doubles are never that equal.
    """
    ours, theirs = (f"({kept_sql(view, side)})" for side in (ours, theirs))
    if all(column.audit == "exact" for column in view.columns):
        digests = [engine.table(digest_sql(view, side)).to_pylist() for side in (ours, theirs)]
        if digests[0] == digests[1]:
            return 0, ()
    found = engine.table(difference_sql(view, ours, theirs))
    return found.num_rows, found.slice(0, SAMPLE_ROWS).to_pylist()

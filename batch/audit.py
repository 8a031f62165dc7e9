"""The audit of a normal run: what the batch layer computed against what the speed layer had stored.

Both sides have one row a key over the same entries. Exact columns must be equal as multisets of rows; sums of
doubles may differ by their stated bound. It finds lost or corrupt rows. It cannot find a fault of the compiler,
since both sides run the same compiled form: laws and the plain oracle are for that.
"""

from collections.abc import Sequence

from shardlake.adapters.engine import Engine
from shardlake.core.errors import Corrupt
from shardlake.core.view import CompiledView

RELATIVE_BOUND = 1e-9  # far above 2 n 2^-53 for any n that fits an entry, far below a lost row
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
    """A SELECT of the rows that stand on one side only; `side` is positive for ours. Empty if the sides are equal."""
    exact = [f'"{c.name}"' for c in view.columns if c.audit == "exact"]
    bounded = [f'"{c.name}"' for c in view.columns if c.audit != "exact"]
    columns = ", ".join(exact)
    values = "".join(f", {name}" for name in bounded)
    sums = "".join(f", sum(side * {name}) AS d{i}, sum(abs({name})) AS m{i}" for i, name in enumerate(bounded))
    off = "".join(f" OR abs(d{i}) > {RELATIVE_BOUND} * m{i}" for i in range(len(bounded)))
    return (
        f"SELECT * FROM (SELECT {columns}, sum(side) AS side{sums} FROM ("
        f"SELECT {columns}{values}, 1 AS side FROM {ours} UNION ALL SELECT {columns}{values}, -1 AS side FROM {theirs}"
        f") GROUP BY {columns}) WHERE side <> 0{off}"
    )


def differing(engine: Engine, view: CompiledView, ours: str, theirs: str) -> tuple[int, Sequence[object]]:
    """Count the rows that differ, and show some of them."""
    found = engine.table(difference_sql(view, ours, theirs))
    return found.num_rows, found.slice(0, SAMPLE_ROWS).to_pylist()

"""What an aggregate is made of: partial columns, how they combine, and how they finish.

Texts are DuckDB SQL. In `combine`, `post`, `finalize` and `bound`, `{suffix}` stands for the quoted name of the
partial column with that suffix; names are given by the compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass

EXACT, BOUNDED, SKETCH = "exact", "bounded", "sketch"


class NotMergeable(Exception):
    """An aggregate or argument that is not in the algebra, with the reason and what to write instead."""

    def __init__(self, reason: str, rewrite: str) -> None:
        super().__init__(f"{reason}; {rewrite}")
        self.reason, self.rewrite = reason, rewrite


@dataclass(frozen=True, slots=True)
class Term:
    """A scalar expression as DuckDB SQL, with its type; `constant` holds a literal's value."""

    sql: str
    type: str
    constant: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """An aggregate as it was called: name, arguments, and the condition of its FILTER."""

    name: str
    args: tuple[Term, ...]
    where: str | None = None

    def over(self, aggregate: str, *conditions: str) -> str:
        """Write an aggregate with this call's FILTER and further conditions.

        >>> Call("sum", (), "ok").over("sum(x)", "x > 0")
        'sum(x) FILTER (WHERE ok AND x > 0)'
        """
        wanted = [c for c in (self.where, *conditions) if c]
        return f"{aggregate} FILTER (WHERE {' AND '.join(wanted)})" if wanted else aggregate


@dataclass(frozen=True, slots=True)
class State:
    """One partial column.

    `partial` aggregates rows, `combine` aggregates partial columns. Where an aggregation is not enough, the
    `*_post` text makes the column out of it: there `{suffix}` is what was aggregated, in this column or another.
    `bound` is the largest difference between two computations that is no fault, as SQL over partial columns;
    without it the column is compared bit for bit.
    """

    suffix: str
    type: str
    partial: str
    combine: str
    partial_post: str = ""
    combine_post: str = ""
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """An aggregate of the algebra, applied: its states, its result and how exact that is.

    `row_steps` name expressions over one event, for `partial`; `steps` name intermediate results of `finalize`,
    each over partial columns and earlier steps.
    `bound` says how far the result may be from the true value: SQL over partial columns, or a sentence.
    """

    states: tuple[State, ...]
    finalize: str
    type: str
    exactness: str = EXACT
    bound: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    row_steps: tuple[tuple[str, str], ...] = ()


Family = Callable[[Call], Aggregation]
"""How one family of aggregates builds itself for a call. Raises: NotMergeable."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """An aggregate of the algebra: how it is built.

    `weighted` is how it is built over a stream of changes, or why it is not: the reason, and what to write instead.
    """

    plain: Family
    weighted: Family | tuple[str, str]

    def build(self, call: Call, *, weighted: bool) -> Aggregation:
        """Apply it to a call. Raises: NotMergeable."""
        family = self.weighted if weighted else self.plain
        if isinstance(family, tuple):
            reason, rewrite = family
            raise NotMergeable(f"{call.name} has no partial form over a stream of changes: {reason}", rewrite)
        return family(call)


def one_argument(call: Call) -> Term:
    """Give the only argument. Raises: NotMergeable for another number of them."""
    if len(call.args) != 1:
        raise NotMergeable(f"{call.name} takes one argument, not {len(call.args)}", f"write {call.name}(x)")
    return call.args[0]

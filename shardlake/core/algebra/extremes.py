"""min, max, bool_and and bool_or: idempotent, so that counting a row twice would not even show.

For doubles -0.0 is stored as 0.0, since the two are equal and the first one seen would win. NaN is greater than
every other value, as DuckDB and Spark order it: max gives NaN if there is one, min only if there is nothing else.
"""

from shardlake.core.algebra.state import Aggregation, Call, NotMergeable, State, Term, one_argument


def positive_zero(value: Term) -> str:
    """Write a value so that -0.0 becomes 0.0."""
    return f"({value.sql} + CAST(0 AS DOUBLE))" if value.type == "DOUBLE" else value.sql


def min_of(call: Call) -> Aggregation:
    """Take the smallest value."""
    return _extreme(call, "min")


def max_of(call: Call) -> Aggregation:
    """Take the greatest value."""
    return _extreme(call, "max")


def bool_and(call: Call) -> Aggregation:
    """Tell whether all values are true."""
    return _logical(call, "bool_and")


def bool_or(call: Call) -> Aggregation:
    """Tell whether a value is true."""
    return _logical(call, "bool_or")


def _extreme(call: Call, function: str) -> Aggregation:
    value = one_argument(call)
    state = State(function, value.type, call.over(f"{function}({positive_zero(value)})"), f"{function}({{{function}}})")
    return Aggregation((state,), f"{{{function}}}", value.type)


def _logical(call: Call, function: str) -> Aggregation:
    value = one_argument(call)
    if value.type != "BOOLEAN":
        raise NotMergeable(f"{function} takes a condition, not {value.type}", f"write {function}(x <> 0)")
    suffix = function.removeprefix("bool_")
    state = State(suffix, "BOOLEAN", call.over(f"{function}({value.sql})"), f"{function}({{{suffix}}})")
    return Aggregation((state,), f"{{{suffix}}}", "BOOLEAN")

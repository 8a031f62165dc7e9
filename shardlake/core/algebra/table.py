"""The algebra as a table: every aggregate that a view may use, and what to say about the others."""

from typing import Final

from shardlake.core.algebra.counts import count, count_if
from shardlake.core.algebra.distinct import approx_count_distinct
from shardlake.core.algebra.extremes import bool_and, bool_or, max_of, min_of
from shardlake.core.algebra.moments import moment
from shardlake.core.algebra.picks import arg_max, arg_min
from shardlake.core.algebra.quantiles import approx_quantile
from shardlake.core.algebra.state import Family
from shardlake.core.algebra.sums import avg, sum_of

ALGEBRA_VERSION: Final = 1
"""Part of every fingerprint: raise it when a partial column changes its meaning."""

AGGREGATES: Final[dict[str, Family]] = {
    "count": count,
    "count_if": count_if,
    "sum": sum_of,
    "avg": avg,
    "min": min_of,
    "max": max_of,
    "bool_and": bool_and,
    "bool_or": bool_or,
    "var_samp": moment,
    "var_pop": moment,
    "stddev_samp": moment,
    "stddev_pop": moment,
    "arg_max": arg_max,
    "arg_min": arg_min,
    "approx_count_distinct": approx_count_distinct,
    "approx_quantile": approx_quantile,
}

REFUSED: Final[dict[str, tuple[str, str]]] = {
    "any_value": ("which value it takes is not determined", "write min(x), or arg_max(x, at) for the latest"),
    "array_agg": ("a list depends on the order of the rows", "make the value a key of the view"),
    "first": ("the first value depends on the order of the rows", "write arg_min(x, at) for the earliest"),
    "last": ("the last value depends on the order of the rows", "write arg_max(x, at) for the latest"),
    "list": ("a list depends on the order of the rows", "make the value a key of the view"),
    "mean": ("it is another name of avg", "write avg(x)"),
    "median": ("an exact median has no bounded state", "write approx_quantile(x, 0.5)"),
    "mode": ("the most frequent value has no bounded state", "make the value a key, and take the top one above"),
    "quantile_cont": ("an exact quantile has no bounded state", "write approx_quantile(x, q)"),
    "quantile_disc": ("an exact quantile has no bounded state", "write approx_quantile(x, q)"),
    "string_agg": ("a concatenation depends on the order of the rows", "make the value a key of the view"),
    "approx_top_k": ("truncated lists do not merge", "make the value a key: the top k above the view is exact"),
}

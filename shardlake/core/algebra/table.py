"""The algebra as a table: every aggregate that a view may use, and what to say about the others."""

from typing import Final

from shardlake.core.algebra import weights
from shardlake.core.algebra.counts import count, count_if
from shardlake.core.algebra.distinct import approx_count_distinct
from shardlake.core.algebra.extremes import bool_and, bool_or, max_of, min_of
from shardlake.core.algebra.moments import moment
from shardlake.core.algebra.picks import arg_max, arg_min
from shardlake.core.algebra.quantiles import approx_quantile
from shardlake.core.algebra.state import Aggregate
from shardlake.core.algebra.sums import avg, sum_of

ALGEBRA_VERSION: Final = 1
"""Part of every fingerprint: raise it when a partial column changes its meaning."""

_ABOVE: Final = "make the value a key of the view, and aggregate above it"
_EXTREME: Final = ("when its row is taken back, what comes next is not known", _ABOVE)
_REGISTERS: Final = ("when a value is taken back, what its register held before is not known", _ABOVE)

AGGREGATES: Final[dict[str, Aggregate]] = {
    "count": Aggregate(count, weights.count),
    "count_if": Aggregate(count_if, weights.count_if),
    "sum": Aggregate(sum_of, weights.sum_of),
    "avg": Aggregate(avg, weights.avg),
    "min": Aggregate(min_of, _EXTREME),
    "max": Aggregate(max_of, _EXTREME),
    "bool_and": Aggregate(bool_and, weights.bool_and),
    "bool_or": Aggregate(bool_or, weights.bool_or),
    "var_samp": Aggregate(moment, weights.moment),
    "var_pop": Aggregate(moment, weights.moment),
    "stddev_samp": Aggregate(moment, weights.moment),
    "stddev_pop": Aggregate(moment, weights.moment),
    "arg_max": Aggregate(arg_max, _EXTREME),
    "arg_min": Aggregate(arg_min, _EXTREME),
    "approx_count_distinct": Aggregate(approx_count_distinct, _REGISTERS),
    "approx_quantile": Aggregate(approx_quantile, weights.approx_quantile),
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

"""The closed algebra: aggregates whose partial results merge in any order and grouping.

| aggregate | partial columns | combine | exactness |
|---|---|---|---|
| count(*), count(x), count_if(p) | count BIGINT | sum | exact |
| sum(x) | sum BIGINT or DECIMAL(38,s) | sum | exact; overflow is an error |
| sum(x), avg(x) of doubles | sum, count, abs | sum | bounded: 2 n 2^-53 sum of magnitudes |
| avg(x) | sum, count | sum | exact, rounded once at the end |
| min(x), max(x) | min, max | min, max | exact |
| bool_and(p), bool_or(p) | and, or | bool_and, bool_or | exact |
| var_samp, var_pop, stddev_samp, stddev_pop | sum, count, squares DECIMAL(38,2s) | sum | exact, rounded at the end |
| the same of doubles | count, mean, m2 | Chan's formula | bounded |
| arg_max(x, by), arg_min(x, by) | pick: a struct of by and arg | max, min | exact |
| approx_count_distinct(x) | registers INTEGER[] | the greatest of each | sketch: standard error 1.15 % |
| approx_quantile(x, q) | bins: a list of (bin, n) | sum of each | sketch: relative error 0.79 % |

NULLs are ignored, and FILTER applies to every aggregate.

Over a stream of changes, whose rows may be taken back, every partial column is weighted (`weights`), and each group has
one more, its own weight:

| aggregate | partial columns | combine | exactness |
|---|---|---|---|
| count(*), count(x) | count BIGINT, the sum of weights | sum | exact |
| count_if(p) | true, known | sum | exact |
| sum(x), avg(x) | sum DECIMAL(38,s), count | sum | exact; an overflow of the result is an error |
| the same of doubles | sum, count, rows, abs, nans, ups, downs | sum | bounded by all that came or went |
| bool_and(p), bool_or(p) | true, false | sum | exact |
| variances and deviations | sum, count, squares | sum | exact, rounded at the end |
| approx_quantile(x, q) | bins | sum of each | sketch: relative error 0.79 % |

The others, and variances of doubles, are refused there: what they keep cannot give a row back.
"""

from shardlake.core.algebra.state import Aggregate, Aggregation, Call, NotMergeable, State, Term
from shardlake.core.algebra.table import AGGREGATES, ALGEBRA_VERSION, REFUSED
from shardlake.core.algebra.weights import weight_state

__all__ = [
    "AGGREGATES",
    "ALGEBRA_VERSION",
    "REFUSED",
    "Aggregate",
    "Aggregation",
    "Call",
    "NotMergeable",
    "State",
    "Term",
    "weight_state",
]

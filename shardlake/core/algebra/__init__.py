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
"""

from shardlake.core.algebra.state import Aggregation, Call, NotMergeable, State, Term
from shardlake.core.algebra.table import AGGREGATES, ALGEBRA_VERSION, REFUSED

__all__ = ["AGGREGATES", "ALGEBRA_VERSION", "REFUSED", "Aggregation", "Call", "NotMergeable", "State", "Term"]

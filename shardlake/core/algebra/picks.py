"""arg_max and arg_min: the value beside the greatest or smallest other one.

Which row wins must not depend on the order: arg_max takes the greatest of (by, arg), arg_min the smallest. Rows
where either is NULL are left out, as DuckDB does.
"""

from shardlake.core.algebra.extremes import positive_zero
from shardlake.core.algebra.state import Aggregation, Call, NotMergeable, State


def arg_max(call: Call) -> Aggregation:
    """Take `arg` of the row with the greatest `by`."""
    return _pick(call, "max")


def arg_min(call: Call) -> Aggregation:
    """Take `arg` of the row with the smallest `by`."""
    return _pick(call, "min")


def _pick(call: Call, function: str) -> Aggregation:
    if len(call.args) != 2:
        raise NotMergeable(f"{call.name} takes two arguments, not {len(call.args)}", f"write {call.name}(x, at)")
    arg, by = call.args
    pair = f'struct_pack("by" := {positive_zero(by)}, "arg" := {positive_zero(arg)})'
    partial = call.over(f"{function}({pair})", f"({by.sql} IS NOT NULL)", f"({arg.sql} IS NOT NULL)")
    state = State("pick", f'STRUCT("by" {by.type}, "arg" {arg.type})', partial, f"{function}({{pick}})")
    return Aggregation((state,), "struct_extract({pick}, 'arg')", arg.type)

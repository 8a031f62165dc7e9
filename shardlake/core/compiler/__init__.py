"""The view compiler: one SQL definition in, three forms out.

    text -> parse -> scalars (types, white list) -> outline (keys, outputs) -> states (algebra) -> forms

It is the only place that knows the SQL parser; a compiled view is stored and used without it.
"""

from shardlake.core.compiler.compile import compile_view
from shardlake.core.compiler.expression import CompiledExpression, compile_expression

__all__ = ["CompiledExpression", "compile_expression", "compile_view"]

"""Exit codes, and which error ends in which."""

from typing import Final

from shardlake.core.errors import Conflict, OutcomeUnknown, ShardlakeError, Terminal, Transient

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
TRY_AGAIN: Final = 3
DIFFERENCE: Final = 4
INTERRUPTED: Final = 130
DUCKDB_INTERRUPTED: Final = "Query interrupted"  # what DuckDB makes of Ctrl-C, in place of KeyboardInterrupt

MEANING: Final = {
    OK: "done",
    REFUSED: "refused or failed: something has to be changed first",
    USAGE: "the command line is wrong",
    TRY_AGAIN: "try again: somebody else was first, or something was out of reach",
    DIFFERENCE: "a check found a difference (verify, the audit of a batch run, demo)",
    INTERRUPTED: "interrupted",
}


class Difference(Terminal):
    """A check found that two ways to the same answer differ."""


def exit_code(error: ShardlakeError) -> int:
    """Choose the exit code of an error, by its kind."""
    if isinstance(error, Difference):
        return DIFFERENCE
    return TRY_AGAIN if isinstance(error, Conflict | Transient | OutcomeUnknown) else REFUSED

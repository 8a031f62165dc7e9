"""Every error that Shardlake raises on purpose, by kind.

The kind tells a caller what to do next: a `Transient` error is retried, a `Conflict` means that somebody
else was first, an `OutcomeUnknown` may have happened, and the rest are terminal: they need a person or a
change. Each error carries its subject as fields and says the next step in its message.
"""


class ShardlakeError(Exception):
    """The base of all errors raised on purpose."""


class Transient(ShardlakeError):
    """It failed now and may succeed later: retry, within the limits."""


class Missing(Transient):
    """An object that was named is not there (any more): read the rows again, then plan again."""


class Conflict(ShardlakeError):
    """A condition of a write no longer holds: somebody else was first. Read again before you decide."""


class OutcomeUnknown(ShardlakeError):
    """A write was sent and nothing was heard: it may have happened, or may still happen."""


class Terminal(ShardlakeError):
    """It will not succeed by itself: a person has to change something."""


class Corrupt(Terminal):
    """What is stored contradicts itself: a hole, a wrong hash, a commit that the journal does not know."""


class ConfigError(Terminal):
    """A setting is wrong; the message names the key and the accepted values."""


class FormatTooNew(Terminal):
    """Something stored was written by a newer Shardlake than this one."""

    def __init__(self, what: str, found: int, known: int) -> None:
        super().__init__(f"{what} has format {found}; this Shardlake reads up to {known}: upgrade it")
        self.what, self.found, self.known = what, found, known


class SqlFailed(Terminal):
    """SQL that a view or a query asked for cannot be run on these rows; nothing was stored or answered by it."""


class SumOverflow(SqlFailed):
    """A sum or product left the range of its column; nothing was stored or answered."""


class MemoryExhausted(SqlFailed):
    """SQL needed more memory than there was: no row is to blame, and with more memory it runs."""


class ViewRefused(Terminal):
    """A view asks for what has no exact partial form.

    `view` is its name, `line` and `column` (from 1) the place in its SQL, `reason` why, `rewrite` what to
    write instead.
    """

    def __init__(self, view: str, line: int, column: int, reason: str, rewrite: str) -> None:
        super().__init__(f"{view}.sql:{line}:{column}: {reason}; {rewrite}")
        self.view, self.line, self.column, self.reason, self.rewrite = view, line, column, reason, rewrite


class QueryRefused(Terminal):
    """A query is not a single SELECT, or names something that is not there."""

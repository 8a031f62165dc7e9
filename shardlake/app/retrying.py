"""Dead letters tried once more: what can be read now is counted, the rest stays as it is."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.engine import Engine
from shardlake.app import compose
from shardlake.app.columns import fix_columns
from shardlake.app.letters import Choice, Letters
from shardlake.app.lock import only_one
from shardlake.app.opening import lane_context
from shardlake.app.settings import Config
from shardlake.app.streaming import protect
from shardlake.app.viewset import compiled_views, load_pack
from shardlake.core.errors import ConfigError, ShardlakeError
from shardlake.core.journal import rows
from shardlake.core.journal.rows import SourceRow
from shardlake.packs.pack import Pack
from streams.again import LINES, Again, Rereading, sift
from streams.lane import LaneContext, LaneLost
from streams.retry import Batch, Counted, RetryCommitter, RetryLane, Standing, rivalled

Progress = Callable[[str], None]
LOCK: Final = "dlq"
# Of what is no line, as the sources say; another word is a reason where a letter has it.
_NO_LINES: Final = {
    "corrupt_gzip", "cut_line", "object_changed", "object_missing", "outside_shard", "records_trimmed",
    "trailing_garbage", "truncated_gzip",
}  # fmt: skip


@dataclass(slots=True)
class Tried:
    """What came of a retry. `failing` counts those that still cannot be read, and `details` tell why, by reasons.

    Reasons are that of now and that of before. `others` counts those that cannot be retried, by (reason, why); `before`
    were retried before, and `failed_views` are those that could not be computed over what was read.
    """

    letters: int
    others: Mapping[tuple[str, str], int]
    before: int
    read: int = 0
    duplicates: int = 0
    entries: int = 0
    failing: Counter[tuple[str, str]] = field(default_factory=Counter)
    details: dict[tuple[str, str], str] = field(default_factory=dict)
    failed_views: set[str] = field(default_factory=set)

    def add(self, again: Again, before: Sequence[str]) -> None:
        """Take note of what came of some letters, whose reasons were these."""
        self.read += again.rows.num_rows
        for one in again.failing:
            reasons = one.reason, before[one.index]
            self.failing[reasons] += 1
            self.details.setdefault(reasons, one.detail)


def retry(config: Config, environ: Mapping[str, str], choice: Choice, progress: Progress, *, dry_run: bool) -> Tried:
    """Try letters once more; with `dry_run` only see what would come of it.

    What was committed before an error stays. Raises: ConfigError; Terminal for an id or a reason that is none; Locked
    if another retry is at work, LaneLost if it cannot be seen to be; as `Lane.commit`.
    """
    pack = load_pack(config)
    rereading = Rereading(pack, protect(config, pack, environ), config.limits, _fields(config, pack))
    with nullcontext() if dry_run else only_one("a retry of dead letters", config.root, LOCK), ExitStack() as stack:
        letters = Letters(config)
        check_reason(letters, choice.reason)
        chosen = letters.choose(choice)
        tried = Tried(chosen.count, chosen.others, chosen.retried)
        views = list(compiled_views(config).values())
        engine = stack.enter_context(closing(Engine(threads=1, memory=config.limits.query_memory)))
        work = None if dry_run else _Work(stack, config, pack, letters.standing)
        done = 0
        for batch in letters.batches(chosen, config.limits):
            again = sift(rereading.read(batch.letters), views, engine, config.limits)
            if work is not None and again.rows.num_rows:
                work.count(batch, again, tried)
            tried.add(again, batch.letters["reason"].to_pylist())
            done += batch.rows
            progress(f"{done:,} of {chosen.count:,} letters, {tried.read:,} of them can be read")
    return tried


def check_reason(letters: Letters, reason: str) -> None:
    """See that a word is a reason ("" is any). Raises: ConfigError, which names those that there are."""
    if reason and reason not in LINES | _NO_LINES:
        known = sorted(found.reason for found in letters.reasons(retried=True))
        if reason not in known:
            there = f"here are {', '.join(known)}" if known else "there is no dead letter"
            raise ConfigError(f"--reason is {reason}, which is no reason of a dead letter; {there}")


@dataclass
class _Work:
    """Counts what was read. The lane is opened when there is something to count, and left at the end."""

    stack: ExitStack
    config: Config
    pack: Pack
    standing: Standing

    def count(self, batch: Batch, again: Again, tried: Tried) -> None:
        """Commit the rows of some letters."""
        committer, elsewhere = self._opened
        manifest = committer.retry(batch, again, elsewhere)
        tried.entries += 1
        tried.duplicates += manifest.counts.duplicates
        tried.failed_views |= set(committer.failed)

    @cached_property
    def _opened(self) -> tuple[RetryCommitter, Counted]:
        config, schema = self.config, self.pack.schema
        context = self.stack.enter_context(lane_context(config, SystemClock()))
        fix_columns(context.journal, config.source.name, schema)
        engine = self.stack.enter_context(closing(Engine(threads=1, memory=config.limits.query_memory)))
        lane = self.stack.enter_context(_held(context, config.source.name, self.standing))
        views = list(compiled_views(config).values())
        committer = RetryCommitter(lane, context.store, schema, views, engine, config.limits)
        return committer, Counted(context.journal, context.store, engine, config.source.name, schema.event_id or "")


@contextmanager
def _held(context: LaneContext, source: str, standing: Standing) -> Iterator[RetryLane]:
    """Own the lane of retries meanwhile. Raises: as `RetryLane.open`."""
    lane = RetryLane.open(context, source, standing)
    try:
        yield lane
    except LaneLost as error:
        raise rivalled(source) from error
    except ShardlakeError:
        with suppress(ShardlakeError):
            lane.leave()
        raise
    with suppress(LaneLost):  # somebody else's by now, and nothing is lost
        lane.leave()


def _fields(config: Config, pack: Pack) -> tuple[str, ...] | None:
    """The fields of a line: those that are configured, or those of a stream. Raises: ConfigError."""
    name, key = config.source.name, rows.source_key(config.source.name)
    with compose.opened_journal(config) as journal:
        stored = journal.get([key]).get(key)
    if stored is None:
        raise ConfigError(f"no source named {name} was read here: set source.name to that of the letters")
    fixed = rows.decode(SourceRow, key, stored).settings
    if fixed.get("pack") != pack.name:
        raise ConfigError(f"source.pack is {pack.name}, and was {fixed.get('pack')} when {name} was read: set it back")
    fields = config.source.fields or (pack.stream_fields if "stream" in fixed else None)
    pack.open("", fields)  # wrong fields are told before anything is read
    return fields

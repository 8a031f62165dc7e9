"""A copy of a table, kept in another one: the pack's columns, the journal, the other table, and patience."""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from batch.replicate import Changes, Replicated, Replicator, Rule
from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.clock import SystemClock, random_name
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.dynamodb.versioned import VersionedTable, describe
from shardlake.adapters.engine import Engine
from shardlake.app import compose
from shardlake.app.logs import Log
from shardlake.app.settings import Config
from shardlake.app.viewset import load_pack
from shardlake.core.compiler import compile_expression
from shardlake.core.errors import ConfigError, Conflict, OutcomeUnknown, Transient, ViewRefused
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.packs.pack import Decoded

WRITES_AT_ONCE: Final = 16
CONNECTIONS: Final = WRITES_AT_ONCE + 2
LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be copied where: a table, a condition in SQL, and where the table is if not beside the source.

    `removed_days` is after how many days the mark of a removal expires; None for never. `anew` puts everything again.
    """

    table: str
    where: str = ""
    region: str = ""
    endpoint: str = ""
    removed_days: int | None = None
    anew: bool = False


def replicate(config: Config, wanted: Wanted, log: Log, stop: Callable[[], bool], *, once: bool) -> Replicated:
    """Put the changes of a source into a table until told to stop, or, `once`, until all that is committed was put.

    What fails in passing is tried again; with `once` it is raised. Raises: ConfigError; as `Replicator.step`.
    """
    total, clock, pause, anew = Replicated(), SystemClock(), config.limits.retry_first_s, wanted.anew
    changes = _changes(config, wanted)
    log.info("started", root=config.root, source=changes.source, table=wanted.table, where=wanted.where or None)
    while True:
        try:
            with _opened(config, wanted, changes) as replicator:
                replicator.begin(anew=anew)
                anew = False
                while not stop():
                    if (done := _step(replicator)) is not None:
                        total.add(done)
                        pause = config.limits.retry_first_s
                        _tell(log, done)
                    elif once:
                        return total
                    else:
                        _wait(clock, config.limits.poll_interval_s, stop)
                return total
        except (Transient, OutcomeUnknown) as error:
            if once:
                raise
            log.warning("trying_again", error=str(error), in_s=pause)
        _wait(clock, pause, stop)
        pause = min(2 * pause, config.limits.retry_longest_s)


def _step(replicator: Replicator) -> Replicated | None:
    """One pass; what somebody else has put meanwhile need not be put again."""
    while True:
        try:
            return replicator.step()
        except Conflict:  # each one means that somebody else has come further
            continue


def _tell(log: Log, done: Replicated) -> None:
    facts = {"entries": done.entries, "rows": done.rows, "put": done.put, "removed": done.removed}
    log.info("replicated", **facts, there=done.there, newer=done.newer)
    if done.gaps or done.letters:
        log.warning("incomplete", gaps=done.gaps, dead_letters=done.letters)


def _wait(clock: SystemClock, seconds: float, stop: Callable[[], bool]) -> None:
    until = clock.monotonic_s() + seconds
    while not stop() and (left := until - clock.monotonic_s()) > 0:
        clock.sleep_s(min(left, LOOK_S))


@contextmanager
def _opened(config: Config, wanted: Wanted, changes: Changes) -> Iterator[Replicator]:
    source, clock = config.source, SystemClock()
    region, endpoint = wanted.region or source.region, wanted.endpoint or source.endpoint
    settings = AwsSettings(region, endpoint, connections=CONNECTIONS)
    with closing(DynamoClient(settings)) as calls, closing(compose.journal(config, exists=True)) as journal:
        table = describe(calls, wanted.table)
        chance = random.Random(random_name())
        target = VersionedTable(calls, table, clock, chance, wanted.removed_days)
        with (
            closing(Engine(config.batch.threads, config.limits.query_memory)) as engine,
            ThreadPoolExecutor(WRITES_AT_ONCE, "put") as executor,
        ):
            yield Replicator(journal, compose.objects(config), engine, changes, target, executor)


def _changes(config: Config, wanted: Wanted) -> Changes:
    """What is read, and which of it. Raises: ConfigError."""
    source, pack = config.source, load_pack(config)
    if not isinstance(pack, DeclaredPack) or not pack.schema.weighted:
        raise ConfigError(f"pack {source.pack} does not read a table's changes: set source.pack to one that does")
    if not pack.image:
        raise ConfigError(
            f"pack {source.pack} keeps no whole images: give it a column such as item = "
            '{ type = "VARCHAR", holds = "image" }, and load the source again into another root'
        )
    is_near = not (wanted.endpoint or wanted.region)
    if is_near and wanted.table in (source.table, source.stream.partition(":table/")[2].partition("/")[0]):
        raise ConfigError(f"table {wanted.table} is the one whose changes are read: name another with --table")
    return Changes(source.name, pack.image, _rule(pack, wanted.where))


def _rule(pack: DeclaredPack, where: str) -> Rule:
    """Compile a condition as a view's. Raises: ConfigError."""
    if not where:
        return Rule()
    try:
        found = compile_expression("where", where, pack.schema)
    except ViewRefused as error:
        raise ConfigError(f"--where: {error.reason} (at {error.column}); {error.rewrite}") from error
    if found.type != "BOOLEAN":
        raise ConfigError(f"--where is a {found.type}: write a condition, such as price > 100")
    digest = hashlib.sha256(repr((found.sql, pack.reading_of(found.columns))).encode()).hexdigest()
    decoder = pack.open("")

    def read(lines: bytes) -> Decoded:
        decoded = decoder.decode(lines)
        return dataclasses.replace(decoded, rows=pack.enrich(decoded.rows))

    return Rule(found.sql, found.columns, read, f"{where} #{digest[:16]}")

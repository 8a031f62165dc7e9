"""A table that is changed and followed, and those who keep a copy of it, whom anything may happen to."""

import random
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from batch.replicate import Changes, Replicated, Replicator, Rule
from shardlake.adapters.dynamodb.versioned import OWN, REMOVED, VERSION, Patience, VersionedTable, describe
from shardlake.core.errors import Conflict, OutcomeUnknown, Transient
from shardlake.core.journal import reading
from shardlake.core.journal.objects import Manifest
from shardlake.testing.dynamodb import LATE, LOST_AFTER, LOST_BEFORE, THROTTLES, EmbeddedCalls
from shardlake.testing.fleet import Inline
from tests.dynamodb.changing import SOURCE, TABLE, Changing

COPY = "copy"
ALL = Rule()
SOME = Rule("n % 3 <> 0", ("n",), told="n % 3 <> 0")  # and what reads the pack of the table
DAY_S = 86_400


class Stopped(Exception):
    """A process ends here."""


class Crossing(Inline):
    """Does the work in the caller's thread; between two puts, anything may happen."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.happens()
        return super().submit(fn, *args, **kwargs)


@dataclass
class Copying:
    """A table that is changed and read, and its copy."""

    table: Changing
    rule: Rule = ALL
    removed_days: int | None = None
    seen: dict[str, str] = field(default_factory=dict)
    done: Replicated = field(default_factory=Replicated)

    def __post_init__(self) -> None:
        self.make()

    def make(self) -> None:
        key = {"AttributeName": "id", "KeyType": "HASH"}
        types = [{"AttributeName": "id", "AttributeType": "S"}]
        mode = {"BillingMode": "PAY_PER_REQUEST"}
        self.table.dynamo.ask("CreateTable", TableName=COPY, KeySchema=[key], AttributeDefinitions=types, **mode)

    def replicator(self, happens: Callable[[], None] = lambda: None, rule: Rule | None = None) -> Replicator:
        table, calls = self.table, EmbeddedCalls(self.table.dynamo)
        found = describe(calls, COPY)
        patience = Patience(bound_s=1.0)
        target = VersionedTable(calls, found, table.clock, random.Random(7), self.removed_days, patience)
        changes = Changes(SOURCE, "item", self.read(rule or self.rule))
        return Replicator(table.journal, table.store, table.engine, changes, target, Crossing(happens))

    def read(self, rule: Rule) -> Rule:
        """Let a rule read images as the pack does now."""
        return replace(rule, read=self.table.pack.open("").decode) if rule.names else rule

    def work(self, replicator: Replicator) -> bool:
        """One pass; tell whether there was any."""
        found = replicator.step()
        if found is not None:
            self.done.add(found)
        return found is not None

    def all(self, replicator: Replicator) -> None:
        while self.work(replicator):
            pass

    def manifests(self) -> list[Manifest]:
        """What was committed so far."""
        entries = reading.read_beyond(self.table.journal).entries.values()
        return [found for some in entries for entry in some if (found := self.table.manifest(entry)) is not None]

    def items(self) -> dict[str, dict[str, Any]]:
        found = self.table.dynamo.ask("Scan", TableName=COPY, ConsistentRead=True)["Items"]
        return {item["id"]["S"]: item for item in found}

    def check_forward(self) -> None:
        """See that no item went back to an older version since the last look."""
        versions = {name: item[VERSION]["S"] for name, item in self.items().items()}
        for name, before in self.seen.items():
            assert versions.get(name, "") >= before, name
        self.seen = versions

    def check(self, rule: Callable[[int], bool] = lambda _: True) -> None:
        """Compare the copy with the table, as far as the rule takes its items."""
        there = {name: item for name, item in self.items().items() if REMOVED not in item}
        bare = {name: {k: v for k, v in item.items() if k not in OWN} for name, item in there.items()}
        source = self.table.dynamo.ask("Scan", TableName=TABLE, ConsistentRead=True)["Items"]
        assert bare == {item["id"]["S"]: item for item in source if rule(int(item["n"]["N"]))}


def passes(n: int) -> bool:
    return n % 3 != 0


class Crowd:
    """Two that put the same changes, each amidst the passes of the other."""

    def __init__(self, copying: Copying, rng: random.Random) -> None:
        self.copying, self.rng, self.depth = copying, rng, 0
        self.both = [copying.replicator(self.happens) for _ in range(2)]
        for one in self.both:
            one.begin()

    def happens(self) -> None:
        self.copying.check_forward()
        dynamo, drawn = self.copying.table.dynamo, self.rng.random()
        if drawn < 0.12:
            dynamo.inject(self.rng.choice((LOST_AFTER, LOST_BEFORE, LATE, *THROTTLES)), "PutItem")
        elif drawn < 0.2:
            dynamo.land()
        elif drawn < 0.25:
            raise Stopped
        elif drawn < 0.4 and self.depth < 2:
            self.attempt()

    def attempt(self) -> None:
        one, self.depth = self.rng.choice(self.both), self.depth + 1
        with suppress(Stopped, Conflict, Transient, OutcomeUnknown):
            if self.rng.random() < 0.3:  # entries from any time before, in any order
                manifests = self.copying.manifests()
                self.copying.done.add(one.put(self.rng.sample(manifests, self.rng.randint(0, len(manifests)))))
            else:
                self.copying.work(one)
        self.depth -= 1

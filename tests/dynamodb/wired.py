"""A journal over the embedded DynamoDB, whose refusals are read as the client reads them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shardlake.adapters.dynamodb.faults import error_of
from shardlake.adapters.dynamodb.journal import DynamoJournal
from shardlake.adapters.dynamodb.tables import creation
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo

TABLE = "journal"


@dataclass(slots=True)
class Wired:
    """Calls of an embedded DynamoDB with a journal's table; `sent` are all requests, in order."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    dynamo: EmbeddedDynamo = field(init=False)

    def __post_init__(self) -> None:
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(1), self.behaviour)
        self.dynamo.ask("CreateTable", **creation(TABLE))

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self.sent.append((action, request))
        answer = self.dynamo.call(action, msgspec.json.encode(request))
        if answer.status != 200:
            raise error_of(action, request, answer.status, answer.body)
        return answer.fields()

    def journal(self, app: str = "app", seed: int = 2) -> DynamoJournal:
        return DynamoJournal(self, TABLE, app, self.clock, random.Random(seed))

    def actions(self) -> list[str]:
        return [action for action, _ in self.sent]

    def units(self, kind: str) -> float:
        return self.dynamo.units[TABLE, kind]

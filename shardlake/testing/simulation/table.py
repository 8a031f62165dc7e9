"""A journal in a simulated DynamoDB: throttles, lost answers, writes that arrive late, transactions that meet others.

The auditor hears of each row where the table takes it: by the table's own stream, whoever sent the write and whenever
it arrives. So a repeated transaction that changes nothing is no second entry.
"""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb import tables
from shardlake.adapters.dynamodb.faults import error_of
from shardlake.adapters.dynamodb.journal import VALUE, DynamoJournal
from shardlake.adapters.dynamodb.tables import RANGE
from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import CONFLICT, INTERNAL, THROTTLES, Behaviour, Change, EmbeddedCalls, EmbeddedDynamo
from shardlake.testing.dynamodb import Fault as Refusal
from shardlake.testing.simulation.auditor import Auditor
from shardlake.testing.simulation.faults import Faults, Process

TABLE: Final = "journal"
APP: Final = "app"
LATE_S: Final = 4.0
GOES_ON_S: Final = 1.5
REFUSALS: Final[Mapping[str, Refusal]] = {
    "fails": INTERNAL,
    "fails, and is done": Refusal(applied=True),
    "throttled": THROTTLES[0],
    "meets another": CONFLICT,
    "is not answered": Refusal(dropped=True, applied=True),
    "arrives late": Refusal(dropped=True, late=True, delay_s=LATE_S),
    "goes on unheard": Refusal(dropped=True, late=True, locks=True, delay_s=GOES_ON_S),
}
_encode = msgspec.json.Encoder().encode


class TableJournals:
    """A table with a journal, and each process' way to it."""

    def __init__(self, clock: ManualClock, faults: Faults, auditor: Auditor, seed: int) -> None:
        self._faults, self._auditor, self._seed = faults, auditor, seed
        behaviour = Behaviour.unlimited().changed(roll_s=None, stream_shards=1, trims=False)
        self._dynamo = EmbeddedDynamo(clock, Random(seed), behaviour)
        shown = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        self._dynamo.ask("CreateTable", **tables.creation(TABLE), StreamSpecification=shown)
        self._dynamo.watch(self._heard)
        self.plain = DynamoJournal(EmbeddedCalls(self._dynamo), TABLE, APP, clock, Random(f"{seed} plain"))

    def of(self, process: Process) -> DynamoJournal:
        """Give a process its journal."""
        calls = TableCalls(self._dynamo, self._faults, process)
        return DynamoJournal(calls, TABLE, APP, process.clock, Random(f"{self._seed} {process.number}"))

    def calm(self) -> None:
        """Let nothing go wrong any more; what is on its way arrives."""
        self._dynamo.clear_faults()
        self._dynamo.land()

    def _heard(self, change: Change) -> None:
        if change.new is not None:
            old = change.old[VALUE]["S"].encode() if change.old is not None else None
            self._auditor.wrote(change.new[RANGE]["S"], old, change.new[VALUE]["S"].encode())


class TableCalls:
    """`DynamoCalls` of one process, with what lies in wait for it."""

    def __init__(self, dynamo: EmbeddedDynamo, faults: Faults, process: Process) -> None:
        self._dynamo, self._faults, self._process = dynamo, faults, process

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request and give its answer. Raises: as `DynamoCalls.call` says."""
        call = f"dynamo.{action}"
        fault = self._faults.at(self._process, call)
        if fault is not None:
            self._dynamo.inject(REFUSALS[fault.effect], action)
        response = self._dynamo.call(action, _encode(request))
        if response.status != 200:
            if b"TransactionInProgressException" in response.body:
                self._faults.count(f"{call} TransactionInProgressException")
            elif fault is None and b"TransactionConflict" in response.body:
                self._faults.count(f"{call} TransactionConflict")
            raise error_of(action, request, response.status, response.body)
        self._faults.at(self._process, call, after=True)
        return response.fields()

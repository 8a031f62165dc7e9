"""The service as a function: the name of an action and a request in, a response out."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from shardlake.core.ports import Clock
from shardlake.testing.dynamodb import control, life, querying, reading, requests, streaming, transactions, writing
from shardlake.testing.dynamodb.behaviour import CONFLICT, Behaviour, Fault
from shardlake.testing.dynamodb.errors import ServiceError, error_body, not_found, read_error
from shardlake.testing.dynamodb.stream import Change
from shardlake.testing.dynamodb.values import Item
from shardlake.testing.dynamodb.world import World

_encode = msgspec.json.Encoder().encode
_Handler = Callable[[World, Any], object]

_HANDLERS: dict[str, tuple[type[requests.Request], _Handler]] = {
    "BatchGetItem": (requests.BatchGetItem, reading.batch_get_item),
    "BatchWriteItem": (requests.BatchWriteItem, writing.batch_write_item),
    "CreateTable": (requests.CreateTable, control.create_table),
    "DeleteItem": (requests.DeleteItem, writing.delete_item),
    "DeleteTable": (requests.OnTable, control.delete_table),
    "DescribeTable": (requests.OnTable, control.describe_table),
    "DescribeStream": (requests.DescribeStream, streaming.describe_stream),
    "DescribeTimeToLive": (requests.OnTable, control.describe_time_to_live),
    "GetItem": (requests.GetItem, reading.get_item),
    "GetRecords": (requests.GetRecords, streaming.get_records),
    "GetShardIterator": (requests.GetShardIterator, streaming.get_shard_iterator),
    "ListStreams": (requests.ListStreams, streaming.list_streams),
    "ListTables": (requests.ListTables, control.list_tables),
    "PutItem": (requests.PutItem, writing.put_item),
    "Query": (requests.Query, querying.query),
    "Scan": (requests.Scan, querying.scan),
    "TransactGetItems": (requests.TransactGetItems, transactions.transact_get_items),
    "TransactWriteItems": (requests.TransactWriteItems, transactions.transact_write_items),
    "UpdateItem": (requests.UpdateItem, writing.update_item),
    "UpdateTable": (requests.UpdateTable, control.update_table),
    "UpdateTimeToLive": (requests.UpdateTimeToLive, control.update_time_to_live),
}
_ACTIONS = {action: (msgspec.json.Decoder(request), handler) for action, (request, handler) in _HANDLERS.items()}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. With `dropped` it never arrives; otherwise it does, `delay_s` late."""

    status: int
    body: bytes
    delay_s: float = 0.0
    dropped: bool = False

    def fields(self) -> dict[str, Any]:
        """Give the answer's fields. Raises: ServiceError if it is an error, or never arrives."""
        if self.status != 200:
            raise read_error(self.status, self.body)
        answer: dict[str, Any] = msgspec.json.decode(self.body) if self.body else {}
        return answer


@dataclass(frozen=True, slots=True)
class _Late:
    """A call that is on its way: when it arrives by itself, and the items that it holds meanwhile."""

    due_s: float
    action: str
    body: bytes
    held: transactions.Held


_DEFAULT = Behaviour()


class EmbeddedDynamo:
    """DynamoDB and its Streams in memory, without threads, files or sockets.

    Two threads must not call it at once. `behaviour` may be replaced at any time and holds from the next call on.
    """

    def __init__(self, clock: Clock, random: random.Random, behaviour: Behaviour = _DEFAULT) -> None:
        self._world = World(clock, random, behaviour)
        self._faults: list[tuple[Fault, str | None]] = []
        self._late: list[_Late] = []

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour in force."""
        return self._world.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._world.behaviour = behaviour

    @property
    def units(self) -> "Counter[tuple[str, str]]":
        """The capacity consumed so far, by table and kind: `units["journal", "write"]`."""
        return self._world.units

    def call(self, action: str, body: bytes) -> Response:
        """Answer a request, as the service would or as a fault makes it; never raises for what a request holds."""
        if self._world.clock.monotonic_s() >= self._world.due_s:
            self._settle()
        fault = self._fault(action, body) if self._faults or self._world.behaviour.fault is not None else None
        if fault is None:
            return self._answer(action, body)
        return self._faulty(fault, action, body)

    def ask(self, action: str, **fields: object) -> dict[str, Any]:
        """Call an action with a request's fields and give its answer's. Raises: ServiceError if it is an error."""
        return self.call(action, _encode(fields)).fields()

    # -------------------------------------------------------------------------------------------- what tests do

    def watch(self, watcher: Callable[[Change], object]) -> None:
        """Let somebody hear of each change of a table with a stream, where it happens: an auditor, for instance."""
        self._world.watcher = watcher

    def items(self, table: str) -> list[Item]:
        """Give a table's items, past all faults and units, in no order; not to be changed. Raises: ServiceError."""
        return [item for item, _ in self._world.described_table(table).items.values()]

    def roll(self, table: str) -> None:
        """Let all open shards of a table's stream close now, each with one child. Raises: ServiceError."""
        self._follow(table, None, 1)

    def split(self, table: str, shard_id: str | None = None) -> None:
        """Split one open shard of a table's stream now, or all. Raises: ServiceError."""
        self._follow(table, shard_id, 2)

    def _follow(self, name: str, shard_id: str | None, count: int) -> None:
        world = self._world
        stream = world.table(name).stream
        if stream is None:
            raise not_found(f"Table {name} has no stream.")
        for shard in list(stream.open_shards()):
            if shard_id in {None, shard.id}:
                life.follow(world, stream, shard, count, world.clock.monotonic_s())

    # ------------------------------------------------------------------------------------------------ what goes wrong

    def inject(self, fault: Fault, action: str | None = None, times: int = 1) -> None:
        """Let the next calls (of one action, or of any) go wrong; faults that wait come in the order they were put."""
        self._faults.extend([(fault, action)] * times)

    def clear_faults(self) -> None:
        """Forget the faults that still wait; what is on its way lands all the same."""
        self._faults.clear()

    def land(self) -> list[Response]:
        """Let all calls that are on their way arrive, in their order, and give what their callers never hear."""
        late, self._late = self._late, []
        return [self._arrive(call) for call in late]

    def _arrive(self, call: "_Late") -> Response:
        transactions.release(self._world, call.held)
        return self._answer(call.action, call.body)

    def _settle(self) -> None:
        """Do what time does by itself, and let the calls arrive whose time has come."""
        world = self._world
        life.settle(world)
        now_s = world.clock.monotonic_s()
        due = [call for call in self._late if call.due_s <= now_s]
        self._late = [call for call in self._late if call.due_s > now_s]
        for call in due:
            self._arrive(call)
        world.due_s = min([world.due_s, *(call.due_s for call in self._late)])

    def _fault(self, action: str, body: bytes) -> Fault | None:
        for place, (fault, wanted) in enumerate(self._faults):
            if wanted in (None, action):
                del self._faults[place]
                return fault
        hook = self._world.behaviour.fault
        return hook(action, body) if hook is not None else None

    def _faulty(self, fault: Fault, action: str, body: bytes) -> Response:
        if fault.late:
            self._delay(fault, action, body)
            return Response(0, b"", dropped=True)
        harmless = fault.code is None and not fault.dropped
        answer = self._answer(action, body) if harmless or fault.applied else None
        if fault.dropped:
            return Response(0, b"", fault.delay_s, dropped=True)
        if answer is not None and fault.code is None:
            return Response(answer.status, answer.body, fault.delay_s)
        if fault.code == CONFLICT.code and action.startswith("Transact"):
            conflict = transactions.cancelled_by_another(body)
            return Response(conflict.status, conflict.body(), fault.delay_s)
        return Response(fault.status, error_body(fault.code or "", fault.message), fault.delay_s)

    def _delay(self, fault: Fault, action: str, body: bytes) -> None:
        world = self._world
        held: transactions.Held = []
        if fault.locks and action == "TransactWriteItems":
            taken = transactions.hold(world, body)
            if taken is None:
                return  # it was cancelled at once, and nobody hears of it
            held = taken
        due_s = world.clock.monotonic_s() + fault.delay_s if fault.delay_s > 0 else float("inf")
        self._late.append(_Late(due_s, action, body, held))
        world.due_s = min(world.due_s, due_s)

    def _answer(self, action: str, body: bytes) -> Response:
        known = _ACTIONS.get(action)
        if known is None:
            return Response(400, error_body("UnknownOperationException", f"There is no action {action[:64]}."))
        decoder, handler = known
        try:
            answer = handler(self._world, decoder.decode(body or b"{}"))
        except msgspec.DecodeError as error:
            shaped = isinstance(error, msgspec.ValidationError)
            code = "ValidationException" if shaped else "SerializationException"
            return Response(400, error_body(code, str(error)))
        except ServiceError as error:
            return Response(error.status, error.body())
        return Response(200, answer if isinstance(answer, bytes) else _encode(answer))

"""The journal in a table of DynamoDB, which several Shardlakes may share, each under a name of its own.

A key's first part, and of an entry the lane too, name its partition: each scan of the protocol is one Query. Whatever
was surely not applied is sent again here, within bounds; an outcome that is unknown is the caller's to decide.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shardlake.adapters.dynamodb import tables
from shardlake.adapters.dynamodb.port import ConditionFailed, DynamoCalls
from shardlake.adapters.dynamodb.tables import HASH, RANGE, WrongTable
from shardlake.core import formats
from shardlake.core.errors import Conflict, OutcomeUnknown, ShardlakeError, Terminal, Transient
from shardlake.core.journal.port import REMOVED, Write
from shardlake.core.ports import Clock

FORMAT: Final = 1  # of the layout: keys, attributes, partitions
LAYOUT_KEY: Final = "layout"
VALUE: Final = "v"
READS_MAX: Final = 100  # items of one BatchGetItem
WRITES_MAX: Final = 100  # items of one TransactWriteItems
_LAST: Final = "\U0010ffff"
_ABSENT: Final = f"attribute_not_exists({HASH})"
_AS_BEFORE: Final = f"{VALUE} = :old"
_FAILED: Final = "ConditionalCheckFailed"

Request = dict[str, Any]


class Layout(msgspec.Struct, frozen=True):
    """That there is a journal: the layout of its rows, and where the objects are that they name."""

    objects: str
    format: int = msgspec.field(default_factory=lambda: FORMAT)  # a factory, so that it is always written


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to go on with what fails in passing: from the first pause, doubled up to the longest, until the end."""

    first_s: float = 0.025
    longest_s: float = 1.0
    bound_s: float = 5.0


def partition(key: str) -> str:
    """Name the partition of a key, or of all keys with a prefix. Raises: ValueError if a prefix names none.

    >>> partition("shard/a/b"), partition("entry/0003/000000000012"), partition("entry/0003/"), partition("registry")
    ('shard', 'entry/0003', 'entry/0003', 'registry')
    """
    first, *rest = key.split("/")
    if first != "entry":
        return first
    if len(rest) < 2:
        raise ValueError(f"{key!r} names no partition: entries are read lane by lane")
    return f"{first}/{rest[0]}"


class DynamoJournal:
    """Rows of one application in a table. Making one asks for nothing; see `check` and `layout`."""

    def __init__(
        self, calls: DynamoCalls, table: str, app: str, clock: Clock, chance: random.Random, pace: Pace | None = None
    ) -> None:
        self._calls, self._table, self._app = calls, table, app
        self._clock, self._chance, self._pace = clock, chance, pace or Pace()
        self._unknown: tuple[tuple[Write, ...], str] | None = None  # what was sent last, and nothing was heard of

    def close(self) -> None:
        """Let go of nothing: the calls are shared."""

    # ---------------------------------------------------------------------------------------------- its existence

    @property
    def name(self) -> str:
        """Where it is, as a setting says it."""
        return f"dynamodb://{self._table}/{self._app}"

    def check(self) -> Mapping[str, Any]:
        """See that the table can hold a journal, and describe it. Raises: as `tables.check`."""
        return tables.check(self._calls, self._table)

    def warnings(self, described: Mapping[str, Any]) -> Sequence[str]:
        """Say what may be dangerous about the table. Raises: as the calls."""
        return list(tables.warnings(self._calls, described))

    def layout(self) -> Layout | None:
        """Read the layout; None if there is no journal.

        Raises: WrongTable; FormatTooNew, Corrupt, Transient, ConfigError.
        """
        try:
            value = self.get([LAYOUT_KEY]).get(LAYOUT_KEY)
        except Terminal as error:
            raise self._better(error) from error
        return None if value is None else formats.decode(Layout, f"journal {self.name}", value, FORMAT)

    def _better(self, error: Terminal) -> Terminal:
        """Say what is wrong with the table, if that is why a row could not be read, and this process may look."""
        try:
            self.check()
        except WrongTable as wrong:
            return wrong
        except ShardlakeError:
            return error
        return error

    def make(self, objects: str) -> None:
        """Note that there is a journal, and where its objects are. Raises: Conflict if there is one; as `transact`."""
        self.transact([Write(LAYOUT_KEY, None, msgspec.json.encode(Layout(objects)))])

    # -------------------------------------------------------------------------------------------------- the port

    def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Read the rows that exist under these keys. Raises: Transient, ConfigError."""
        wanted = [self._key(key) for key in dict.fromkeys(keys)]
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), READS_MAX):
            for item in self._read(wanted[start : start + READS_MAX]):
                found[item[RANGE]["S"]] = item[VALUE]["S"].encode()
        return found

    def scan(self, prefix: str, after: str = "", upto: str = _LAST) -> Sequence[tuple[str, bytes]]:
        """Read the rows whose key begins with `prefix` and lies in `(after, upto]`, in order of keys.

        Raises: Transient, ConfigError; ValueError if the prefix holds no whole part of a key.
        """
        if "/" not in prefix:
            raise ValueError(f"{prefix!r} names no partition: a scan needs a whole part of a key, with its slash")
        query = self._query(prefix, max(prefix, after), upto)
        if upto < max(prefix, after):
            return []
        return [
            (key, item[VALUE]["S"].encode())
            for item in self._pages(query)
            if (key := item[RANGE]["S"]).startswith(prefix) and after < key <= upto
        ]

    def transact(self, writes: Sequence[Write]) -> None:
        """Apply all writes if every expectation holds. Raises: Conflict, Transient, OutcomeUnknown, ConfigError."""
        action, request = self._single(writes[0]) if len(writes) == 1 and writes[0].put else self._several(writes)
        try:
            self._patiently(action, request)
        except OutcomeUnknown:
            token = request.get("ClientRequestToken")
            self._unknown = (tuple(writes), token) if token else None
            raise
        except ConditionFailed as error:
            self._unknown = None
            failed = [w.key for w, reason in zip(writes, error.reasons, strict=False) if reason == _FAILED]
            raise Conflict(f"journal row {', '.join(failed)} is not as expected: read it again") from error
        self._unknown = None

    # -------------------------------------------------------------------------------------------------- reading

    def _key(self, key: str) -> Request:
        return {HASH: {"S": f"{self._app}/{partition(key)}"}, RANGE: {"S": key}}

    def _read(self, keys: list[Request]) -> Iterator[Mapping[str, Any]]:
        """Read some items; those that DynamoDB left out are asked for again."""
        left, pauses = keys, self._pauses()
        while left:
            asked = {self._table: {"Keys": left, "ConsistentRead": True}}
            answer = self._patiently("BatchGetItem", {"RequestItems": asked})
            yield from answer["Responses"].get(self._table, ())
            unread = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if unread and not next(pauses, False):
                raise Transient(f"table {self._table} gave {len(unread)} of {len(keys)} rows not in time: read again")
            left = unread

    def _query(self, prefix: str, low: str, upto: str) -> Request:
        condition, values = f"{HASH} = :p", {":p": f"{self._app}/{partition(prefix)}"}
        if upto != _LAST:
            condition, values = f"{condition} AND {RANGE} BETWEEN :low AND :upto", values | {":low": low, ":upto": upto}
        elif low > prefix:
            condition, values = f"{condition} AND {RANGE} > :low", values | {":low": low}
        elif prefix != f"{partition(prefix)}/":
            condition, values = f"{condition} AND begins_with({RANGE}, :low)", values | {":low": low}
        return {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        }

    def _pages(self, query: Request) -> Iterator[Mapping[str, Any]]:
        while True:
            answer = self._patiently("Query", query)
            yield from answer["Items"]
            if not answer.get("LastEvaluatedKey"):
                return
            query = query | {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    # -------------------------------------------------------------------------------------------------- writing

    def _single(self, write: Write) -> tuple[str, Request]:
        what = self._write(write)
        [(kind, request)] = what.items()
        return f"{kind}Item", request

    def _several(self, writes: Sequence[Write]) -> tuple[str, Request]:
        if len(writes) > WRITES_MAX:
            raise Terminal(f"a transaction of DynamoDB has at most {WRITES_MAX} rows, and this one has {len(writes)}")
        token = f"{self._chance.getrandbits(128):032x}"
        if self._unknown is not None and self._unknown[0] == tuple(writes):
            token = self._unknown[1]
        items = [self._write(write) for write in writes]
        return "TransactWriteItems", {"TransactItems": items, "ClientRequestToken": token}

    def _write(self, write: Write) -> dict[str, Request]:
        """One write as part of a transaction: what is done, and its request."""
        request: Request = {"TableName": self._table, "ConditionExpression": _ABSENT}
        if write.expect is not None:
            request["ConditionExpression"] = _AS_BEFORE
            request["ExpressionAttributeValues"] = {":old": _text(write.expect)}
        if write.put is None:
            return {"ConditionCheck": request | {"Key": self._key(write.key)}}
        if write.put == REMOVED:
            return {"Delete": request | {"Key": self._key(write.key)}}
        return {"Put": request | {"Item": self._key(write.key) | {VALUE: _text(write.put)}}}

    # ------------------------------------------------------------------------------------------------- patience

    def _patiently(self, action: str, request: Request) -> Mapping[str, Any]:
        """Send a request until it is heard, or until its time is over: then what was said last is raised."""
        request = request | {"ReturnConsumedCapacity": "TOTAL"}
        pauses = self._pauses()
        while True:
            try:
                return self._calls.call(action, request)
            except Transient:
                if not next(pauses, False):
                    raise

    def _pauses(self) -> Iterator[bool]:
        """Pause at each step, by a random part of a time that doubles; end when the bound would be passed."""
        began_s, waited_s, pause_s = self._clock.monotonic_s(), 0.0, self._pace.first_s
        while True:
            chosen_s = self._chance.uniform(0, pause_s)
            waited_s = max(waited_s, self._clock.monotonic_s() - began_s) + chosen_s
            if waited_s > self._pace.bound_s:
                return
            self._clock.sleep_s(chosen_s)
            pause_s = min(2 * pause_s, self._pace.longest_s)
            yield True


def _text(value: bytes) -> dict[str, str]:
    try:
        return {"S": value.decode()}
    except UnicodeDecodeError as error:
        raise Terminal("a journal row in DynamoDB is text, and this one is not") from error

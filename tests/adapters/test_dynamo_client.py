"""DynamoDB over HTTP: what becomes of an answer that is lost, late or refused; and the table, checked."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.clock import SystemClock
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.dynamodb.faults import error_of
from shardlake.adapters.dynamodb.journal import FORMAT, LAYOUT_KEY, WRITES_MAX, DynamoJournal, Layout, partition
from shardlake.adapters.dynamodb.port import ConditionFailed, NoTable, Throttled
from shardlake.adapters.dynamodb.tables import check, creation, warnings
from shardlake.app.settings import settings
from shardlake.core.errors import (
    ConfigError,
    Conflict,
    Corrupt,
    FormatTooNew,
    OutcomeUnknown,
    ShardlakeError,
    Terminal,
    Transient,
)
from shardlake.core.journal import operations, reading
from shardlake.core.journal.operations import Coming
from shardlake.core.journal.port import Write
from shardlake.core.journal.rows import Head, ObjectRef, ShardRow
from tests.dynamodb.standin import Dynamo, dynamo
from tests.dynamodb.wired import TABLE, Wired

__all__ = ["dynamo"]
REF = ObjectRef("entry/0000/1/x", 3, "ab" * 32)


def journal_in(dynamo: Dynamo, table: str, app: str = "app", client: DynamoClient | None = None) -> DynamoJournal:
    return DynamoJournal(client or dynamo.client(), table, app, SystemClock(), random.Random(0))


# ------------------------------------------------------------------------------------------------------ over HTTP


@pytest.mark.parametrize("fault", ["drop", "lose", "cut", "error"])
def test_a_write_without_an_answer_is_unknown_and_a_read_is_asked_again(dynamo: Dynamo, fault: Any) -> None:
    journal = journal_in(dynamo, dynamo.new_table())
    writes = [Write("t/a", None, b"1"), Write("t/b", None, b"1")]
    dynamo.server.fault(fault, "POST")
    with pytest.raises(OutcomeUnknown, match="send the same again"):
        journal.transact(writes)
    assert dynamo.server.count("POST") == 1, "nothing is sent twice behind the caller's back"
    is_done = fault in ("lose", "cut")
    dynamo.server.fault(fault, "POST")
    assert journal.get(["t/a", "t/b"]) == ({"t/a": b"1", "t/b": b"1"} if is_done else {})
    dynamo.server.fault(fault, "POST")
    assert len(journal.scan("t/")) == 2 * is_done


def test_a_time_out_is_unknown(dynamo: Dynamo) -> None:
    table, client = dynamo.new_table(), DynamoClient(dynamo.hasty)
    journal = journal_in(dynamo, table, client=client)
    dynamo.server.fault("stall", "POST")
    with pytest.raises(OutcomeUnknown):
        journal.transact([Write("t/a", None, b"1")])
    client.close()


def test_what_was_never_sent_may_be_sent_again() -> None:
    client = DynamoClient(AwsSettings("us-east-1", "http://127.0.0.1:9", section="journal"))
    with pytest.raises(Transient, match=r"TransactWriteItems was not sent: http://127.0.0.1:9 cannot be reached"):
        client.call("TransactWriteItems", {"TransactItems": []})
    client.close()


def test_threads_race_for_one_head_and_every_slot_has_one_winner(dynamo: Dynamo) -> None:
    table, slots = dynamo.new_table(), 15
    first = journal_in(dynamo, table)
    first.transact(operations.found(1))

    def race(name: str) -> int:
        journal, won = journal_in(dynamo, table), 0
        while (head := reading.read_head(journal, 0)).n < slots:
            with suppress(Conflict):
                journal.transact(operations.fence(head, f"{name}-{head.n}").writes)
                won += 1
        return won

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(race, "ABC")) == slots
    entries = reading.read_entries(first, 0, 0, slots)
    assert [entry.commit.split("-")[1] for entry in entries] == [str(n) for n in range(slots)]


def test_a_condition_that_fails_tells_what_stood_there(dynamo: Dynamo) -> None:
    table, client = dynamo.new_table(), dynamo.client()
    journal_in(dynamo, table).transact([Write("t/a", None, b"1")])
    put = {"TableName": table, "Item": {"pk": {"S": "app/t"}, "sk": {"S": "t/a"}}}
    put |= {"ConditionExpression": "attribute_not_exists(pk)"}
    there = {"pk": {"S": "app/t"}, "sk": {"S": "t/a"}, "v": {"S": "1"}}
    with pytest.raises(ConditionFailed) as single:
        client.call("PutItem", put | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    assert (single.value.reasons, single.value.items) == (("ConditionalCheckFailed",), (there,))
    with pytest.raises(ConditionFailed) as several:
        client.call("TransactWriteItems", {"TransactItems": [{"Put": put}]})
    assert several.value.reasons == ("ConditionalCheckFailed",)
    assert "app" not in f"{single.value}{several.value}"


def test_the_region_and_the_credentials_are_asked_for_by_the_names_of_their_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigError, match=r"set journal\.region, or AWS_REGION, to the region of its table"):
        DynamoClient(AwsSettings(section="journal"))


def test_a_table_that_is_not_there_is_told(dynamo: Dynamo) -> None:
    with pytest.raises(ConfigError, match="there is no table nowhere for BatchGetItem: create it, or correct"):
        journal_in(dynamo, "nowhere").get(["a"])


# ---------------------------------------------------------------------------------------------------- the errors


def refusal(code: str, **more: Any) -> bytes:
    return msgspec.json.encode({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "m"} | more)


def cancelled(*codes: str) -> bytes:
    return refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (cancelled("None", "ConditionalCheckFailed"), ConditionFailed),
        (cancelled("TransactionConflict", "ConditionalCheckFailed"), ConditionFailed),
        (cancelled("TransactionConflict", "None"), Throttled),
        (cancelled("ThrottlingError", "ProvisionedThroughputExceeded"), Throttled),
        (cancelled("ValidationError", "TransactionConflict"), Terminal),
        (refusal("TransactionInProgressException"), OutcomeUnknown),
        (refusal("TransactionConflictException"), Throttled),
        (refusal("ProvisionedThroughputExceededException"), Throttled),
        (refusal("ResourceNotFoundException"), NoTable),
        (refusal("AccessDeniedException"), ConfigError),
        (refusal("ExpiredTokenException"), ConfigError),
        (refusal("ValidationException"), Terminal),
        (b"<html>", Terminal),
    ],
)
def test_each_refusal_has_its_kind(body: bytes, kind: type[ShardlakeError]) -> None:
    error = error_of("TransactWriteItems", {"TransactItems": []}, 400, body)
    assert type(error) is kind
    assert isinstance(error, Conflict) == (kind is ConditionFailed)


@pytest.mark.parametrize(("action", "kind"), [("PutItem", OutcomeUnknown), ("Query", Transient)])
def test_an_error_of_the_service_is_unknown_for_a_write_alone(action: str, kind: type[ShardlakeError]) -> None:
    for status, body in ((500, refusal("InternalServerError")), (503, b"x"), (0, b"")):
        assert type(error_of(action, {"TableName": "t"}, status, body)) is kind


def test_no_message_repeats_a_value() -> None:
    said = "1 validation error detected: Value 'secret' at 'key' failed to satisfy constraint"
    error = error_of("PutItem", {"TableName": "t"}, 400, refusal("ValidationException", message=said))
    assert "secret" not in str(error)
    assert "table t" in str(error)


# -------------------------------------------------------------------------------------------------- the requests


def test_the_layout_of_the_table_is_pinned() -> None:
    wired = Wired()
    journal = wired.journal("clicks")
    journal.make("s3://lake/x")
    journal.transact([Write("entry/0003/000000000012", None, b"{}"), Write("shard/dlq/x", None, b"{}")])
    journal.transact([Write("lane/0003", None, b'{"n":1}')])
    items = wired.dynamo.ask("Scan", TableName=TABLE)["Items"]
    assert sorted((i["pk"]["S"], i["sk"]["S"], i["v"]["S"]) for i in items) == [
        ("clicks/entry/0003", "entry/0003/000000000012", "{}"),
        ("clicks/lane", "lane/0003", '{"n":1}'),
        ("clicks/layout", "layout", '{"objects":"s3://lake/x","format":1}'),
        ("clicks/shard", "shard/dlq/x", "{}"),
    ]


def test_two_applications_share_a_table_and_see_nothing_of_one_another() -> None:
    wired = Wired()
    one, other = wired.journal("a"), wired.journal("b")
    one.transact([Write("shard/x", None, b"1")])
    assert other.get(["shard/x"]) == {}
    other.transact([Write("shard/x", None, b"2")])
    assert list(one.scan("shard/")) == [("shard/x", b"1")]


def test_every_scan_of_the_protocol_is_one_query_of_one_partition() -> None:
    wired = Wired()
    journal = wired.journal()
    for prefix in ("shard/", "worker/", "table/", "source/", "columns/", "lane/", "entry/0003/"):
        wired.sent.clear()
        journal.scan(prefix)
        [(action, request)] = wired.sent
        assert (action, request["ConsistentRead"]) == ("Query", True)
        assert request["ExpressionAttributeValues"] == {":p": {"S": f"app/{prefix[:-1]}"}}
    for prefix in ("", "sha", "entry/", "entry/0003"):
        with pytest.raises(ValueError, match="names no partition"):
            journal.scan(prefix)


def test_the_partition_of_a_key_is_that_of_every_prefix_that_finds_it() -> None:
    for key, prefix in (("shard/a/b", "shard/"), ("entry/0003/12", "entry/0003/"), ("shard/a/b", "shard/a")):
        assert partition(key) == partition(prefix)


def test_one_write_is_no_transaction_and_a_check_is() -> None:
    wired = Wired()
    journal = wired.journal()
    journal.transact([Write("t/a", None, b"1")])
    journal.transact([Write("t/a", b"1", b"\0removed")])
    journal.transact([Write("t/a", None, None)])
    assert wired.actions() == ["PutItem", "DeleteItem", "TransactWriteItems"]


def test_every_transaction_has_a_token_of_its_own() -> None:
    wired = Wired()
    journal = wired.journal()
    pair = [Write("t/a", None, b"1"), Write("t/b", None, b"1")], [Write("t/a", b"1", b"1"), Write("t/b", b"1", b"1")]
    for writes in (*pair, pair[1]):
        journal.transact(writes)
    tokens = [request["ClientRequestToken"] for _, request in wired.sent]
    assert len(set(tokens)) == 3
    assert all(len(token) <= 36 for token in tokens)


def test_what_is_no_text_and_what_is_too_much_is_refused() -> None:
    journal = Wired().journal()
    with pytest.raises(Terminal, match="text"):
        journal.transact([Write("t/a", None, b"\xff")])
    with pytest.raises(Terminal, match="at most 100 rows"):
        journal.transact([Write(f"t/{n}", None, b"1") for n in range(101)])


def test_as_many_shards_as_may_end_or_move_together_fit_into_a_transaction() -> None:
    moves, ends = (
        max(one.le for one in settings()[key].type.__metadata__ if one.le)
        for key in ("limits.moves_max", "limits.ends_max")
    )
    head = Head(0, 0, "", "w", "s")
    ended = {str(n): (ShardRow(str(n), "s", "held", lane=0), REF) for n in range(ends)}
    done = operations.commit(head, "c", REF, REF, ended)
    parents = [ShardRow(str(n), "s", "end") for n in range(2 * moves)]
    pairs = [tuple(parents[2 * n : 2 * n + 2]) for n in range(moves)]
    coming = [Coming(ShardRow(f"c{n}", "s", "free", tuple(p.shard for p in two)), two) for n, two in enumerate(pairs)]
    for transaction in (done, operations.adopt(head, "a", coming, REF)):
        wired = Wired()
        journal = wired.journal()
        there = [Write(w.key, None, w.expect) for w in transaction.writes if w.expect is not None]
        for at in range(0, len(there), WRITES_MAX):
            journal.transact(there[at : at + WRITES_MAX])
        journal.transact(transaction.writes)
        assert len(transaction.writes) <= WRITES_MAX < len(transaction.writes) + 3


def test_a_row_of_hundreds_of_kilobytes_works_and_costs_by_its_size() -> None:
    wired = Wired()
    journal = wired.journal()
    journal.transact([Write("columns/x", None, b"x" * 300_000)])
    assert journal.get(["columns/x"]) == {"columns/x": b"x" * 300_000}
    assert (wired.units("write"), wired.units("read")) == (293, 74)


# ----------------------------------------------------------------------------------------------------- the table


def test_a_journal_is_there_once_it_was_made() -> None:
    journal = Wired().journal()
    assert journal.layout() is None
    journal.make("s3://lake/x")
    assert journal.layout() == Layout("s3://lake/x")
    with pytest.raises(Conflict):
        journal.make("s3://lake/y")


@pytest.mark.parametrize(
    ("layout", "error"), [(b'{"objects":"","format":%d}' % (FORMAT + 1), FormatTooNew), (b"x", Corrupt)]
)
def test_a_layout_that_is_not_known_is_refused(layout: bytes, error: type[ShardlakeError]) -> None:
    journal = Wired().journal()
    journal.transact([Write(LAYOUT_KEY, None, layout)])
    with pytest.raises(error):
        journal.layout()


def test_a_table_as_it_should_be_passes_with_warnings(dynamo: Dynamo) -> None:
    table, client = dynamo.new_table(), dynamo.client()
    told = list(warnings(client, check(client, table)))
    assert len(told) == 2
    assert "point-in-time recovery" in told[0]
    assert "deletion" in told[1]
    on = {"PointInTimeRecoveryEnabled": True}
    client.call("UpdateContinuousBackups", {"TableName": table, "PointInTimeRecoverySpecification": on})
    client.call("UpdateTable", {"TableName": table, "DeletionProtectionEnabled": True})
    assert list(warnings(client, check(client, table))) == []


def test_a_table_whose_items_expire_is_refused(dynamo: Dynamo) -> None:
    table, client = dynamo.new_table(), dynamo.client()
    ttl = {"Enabled": True, "AttributeName": "expires"}
    client.call("UpdateTimeToLive", {"TableName": table, "TimeToLiveSpecification": ttl})
    with pytest.raises(ConfigError, match=r"attribute expires.* must not expire: disable it"):
        check(client, table)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}]}, r"the keys pk \(S, HASH\); a journal needs"),
        ({"AttributeDefinitions": [("pk", "S"), ("sk", "N")]}, r"sk \(N, RANGE\)"),
    ],
)
def test_a_table_with_other_keys_is_refused(dynamo: Dynamo, change: dict[str, Any], told: str) -> None:
    dynamo.new_table()
    wanted: dict[str, Any] = creation(f"odd-{len(told)}") | change
    if change.get("KeySchema"):
        wanted["AttributeDefinitions"] = wanted["AttributeDefinitions"][:1]
    else:
        wanted["AttributeDefinitions"] = [
            {"AttributeName": name, "AttributeType": kind} for name, kind in change["AttributeDefinitions"]
        ]
    dynamo.client().call("CreateTable", wanted)
    with pytest.raises(ConfigError, match=told):
        check(dynamo.client(), wanted["TableName"])


class Describing:
    """A table in some state."""

    def __init__(self, **table: Any) -> None:
        request = creation("t")
        self.table = request | {"TableStatus": "ACTIVE"} | table

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        del request
        return {"Table": self.table} if action == "DescribeTable" else {}


def test_a_table_that_is_made_is_waited_for_and_one_that_goes_is_refused() -> None:
    with pytest.raises(Transient, match="being made"):
        check(Describing(TableStatus="CREATING"), "t")
    for status in ("DELETING", "ARCHIVED", "INACCESSIBLE_ENCRYPTION_CREDENTIALS"):
        with pytest.raises(ConfigError, match=f"is {status}"):
            check(Describing(TableStatus=status), "t")
    assert check(Describing(TableStatus="UPDATING"), "t")["TableName"] == "t"
    found = Describing(Replicas=[{"RegionName": "eu-west-1"}])
    assert any("one region" in text for text in warnings(found, check(found, "t")))

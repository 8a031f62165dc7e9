"""Tables of the embedded DynamoDB where AWS has rules that other stand-ins pass over: numbers, limits, units, time."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.testing.dynamodb import Behaviour
from tests.dynamodb.embedded import Row, Tabled, key, put_of


@pytest.fixture
def world() -> Tabled:
    return Tabled()


# ------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("1.50", "1.5"),
        ("-0.0", "0"),
        ("+7", "7"),
        ("007", "7"),
        ("1E2", "100"),
        ("1e-3", "0.001"),
        (".5", "0.5"),
        ("9" * 38, "9" * 38),
        ("1" + "0" * 60, "1" + "0" * 60),
        ("1e125", "1" + "0" * 125),
        ("0." + "0" * 129 + "1", "0." + "0" * 129 + "1"),
    ],
)
def test_a_number_has_one_form(world: Tabled, given_: str, kept: str) -> None:
    world.put(n={"N": given_}, ns={"NS": [given_, "-3"]}, l={"L": [{"M": {"n": {"N": given_}}}]})
    item = world.get()["Item"]
    assert item["n"] == {"N": kept}
    assert item["ns"] == {"NS": ["-3", kept]}
    assert item["l"] == {"L": [{"M": {"n": {"N": kept}}}]}


@pytest.mark.parametrize("text", ["1" * 39, "1e126", "-1e126", "1e-131", "one", "", "1_000", "NaN", "Infinity", "٣"])
def test_what_is_no_number_of_38_digits_is_refused(world: Tabled, text: str) -> None:
    refusal = world.refusal("PutItem", TableName="tab", Item=key() | {"n": {"N": text}})
    assert refusal.code == "ValidationException"
    assert "Item" not in world.get()


_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**29), max_value=10**29, places=8)


@given(_NUMBERS, _NUMBERS)
def test_sums_are_exact(one: Decimal, two: Decimal) -> None:
    world = Tabled()
    world.put(n={"N": str(one)})
    request = {"Key": key(), "UpdateExpression": "SET n = n - :x", "ExpressionAttributeValues": {":x": {"N": str(two)}}}
    world.ask("UpdateItem", TableName="tab", **request)
    text = world.get()["Item"]["n"]["N"]
    assert Fraction(text) == Fraction(one) - Fraction(two)
    assert "E" not in text


def test_a_sum_of_more_than_38_digits_is_refused(world: Tabled) -> None:
    world.put(n={"N": "9" * 38})
    request = {"Key": key(), "UpdateExpression": "ADD n :x", "ExpressionAttributeValues": {":x": {"N": "0.1"}}}
    assert "38 significant digits" in world.refusal("UpdateItem", TableName="tab", **request).message


def test_numbers_that_are_equal_are_one_key(world: Tabled) -> None:
    world.ask("PutItem", TableName="tab", Item={"p": {"S": "a"}, "s": {"N": "1.0"}})
    assert world.get(1)["Item"] == key(1)


def test_a_sort_key_of_numbers_is_ordered_by_value(world: Tabled) -> None:
    for s in (10, 9, -1, 100):
        world.put(s)
    request = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    found = world.ask("Query", TableName="tab", **request)["Items"]
    assert [item["s"]["N"] for item in found] == ["-1", "9", "10", "100"]


# ------------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "request_",
    [
        {"Item": key() | {"ss": {"SS": ["a", "a"]}}},
        {"Item": key() | {"ns": {"NS": ["1", "1.0"]}}},
        {"Item": key() | {"ss": {"SS": []}}},
        {"Item": key() | {"x": {}}},
        {"Item": key() | {"x": {"S": "a", "N": "1"}}},
        {"Item": key() | {"x": {"NULL": False}}},
        {"Item": key(), "ConditionExpression": "p = :v"},
        {"Item": key(), "ConditionExpression": ""},
        {"Item": key(), "ConditionExpression": "p = p", "ExpressionAttributeValues": {":w": {"S": ""}}},
        {"Item": key(), "ConditionExpression": "p = p", "ExpressionAttributeNames": {"#w": "w"}},
        {"Item": key(), "ConditionExpression": "((p = p))"},
        {"Item": key(), "ConditionExpression": "#n = p"},
        {"Item": key(), "ConditionExpression": "size = p"},
        {"Item": key(), "ExpressionAttributeValues": {":v": {"S": "x"}}},
        {"Item": key(), "Expected": {"p": {"Exists": False}}},
        {"Item": key(), "ReturnValues": "ALL_NEW"},
    ],
)
def test_a_put_that_cannot_be_is_refused(world: Tabled, request_: Row) -> None:
    assert world.refusal("PutItem", TableName="tab", **request_).code == "ValidationException"
    assert "Item" not in world.get()


def test_an_item_has_400_kilobytes_with_its_names(world: Tabled) -> None:
    room = 400 * 1024 - len("p" + "a" + "s" + "big") - 2
    world.put(big={"S": "x" * room})
    assert world.refusal("PutItem", TableName="tab", Item=key() | {"big": {"S": "x" * (room + 1)}}).code == (
        "ValidationException"
    )
    request = {"UpdateExpression": "SET more = :m", "ExpressionAttributeValues": {":m": {"S": "m"}}}
    refusal = world.refusal("UpdateItem", TableName="tab", Key=key(), **request)
    assert refusal.message == "Item size to update has exceeded the maximum allowed size"


def test_batches_have_25_writes_and_100_keys(world: Tabled) -> None:
    writes = [{"PutRequest": {"Item": key(s)}} for s in range(26)]
    assert world.refusal("BatchWriteItem", RequestItems={"tab": writes}).code == "ValidationException"
    world.ask("BatchWriteItem", RequestItems={"tab": writes[:25]})
    keys = [key(s) for s in range(101)]
    assert world.refusal("BatchGetItem", RequestItems={"tab": {"Keys": keys}}).code == "ValidationException"
    found = world.ask("BatchGetItem", RequestItems={"tab": {"Keys": keys[:100]}})["Responses"]["tab"]
    assert len(found) == 25


def test_a_batch_may_leave_some_to_the_caller() -> None:
    world = Tabled(Behaviour(unprocessed=0.5))
    writes = [{"PutRequest": {"Item": key(s)}} for s in range(20)]
    left = world.ask("BatchWriteItem", RequestItems={"tab": writes})["UnprocessedItems"]["tab"]
    assert 0 < len(left) < 20
    world.dynamo.behaviour = Behaviour()
    assert world.ask("Scan", TableName="tab")["Count"] == 20 - len(left)
    assert world.ask("BatchWriteItem", RequestItems={"tab": left})["UnprocessedItems"] == {}
    assert world.ask("Scan", TableName="tab")["Count"] == 20


def test_a_page_with_a_limit_may_be_the_last_and_not_say_so(world: Tabled) -> None:
    world.put(1)
    request = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}, "Limit": 1}
    page = world.ask("Query", TableName="tab", **request)
    assert page["LastEvaluatedKey"] == key(1)
    rest = world.ask("Query", TableName="tab", **request, ExclusiveStartKey=page["LastEvaluatedKey"])
    assert (rest["Count"], "LastEvaluatedKey" in rest) == (0, False)


def test_a_filter_of_a_query_leaves_the_key_alone(world: Tabled) -> None:
    request = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    refusal = world.refusal("Query", TableName="tab", **request, FilterExpression="s = :p")
    assert refusal.message.startswith("Filter Expression can only contain non-primary key attributes")


# ------------------------------------------------------------------------------------------------- transactions


def test_a_token_makes_a_transaction_happen_once_for_ten_minutes(world: Tabled) -> None:
    count = {
        "Update": {
            "TableName": "tab",
            "Key": key(),
            "UpdateExpression": "ADD n :o",
            "ExpressionAttributeValues": {":o": {"N": "1"}},
        }
    }
    for _ in range(3):
        world.transact(count, ClientRequestToken="t1")
        world.clock.advance(300)
    assert world.get()["Item"]["n"] == {"N": "1"}
    world.clock.advance(1)
    world.transact(count, ClientRequestToken="t1")
    assert world.get()["Item"]["n"] == {"N": "2"}


def test_a_token_has_36_letters(world: Tabled) -> None:
    for token in ("", "t" * 37):
        refusal = world.refusal("TransactWriteItems", TransactItems=[put_of(1)], ClientRequestToken=token)
        assert refusal.code == "ValidationException"
    world.transact(put_of(1), ClientRequestToken="t" * 36)


def test_a_token_stands_for_one_request(world: Tabled) -> None:
    world.transact(put_of(1), ClientRequestToken="t1")
    other = world.refusal("TransactWriteItems", TransactItems=[put_of(2)], ClientRequestToken="t1")
    assert other.code == "IdempotentParameterMismatchException"
    assert "Item" not in world.get(2)


def test_a_cancelled_transaction_uses_up_no_token(world: Tabled) -> None:
    guarded = put_of(1, ConditionExpression="attribute_not_exists(p)")
    world.put(1)
    assert world.refusal("TransactWriteItems", TransactItems=[guarded], ClientRequestToken="t1").code == (
        "TransactionCanceledException"
    )
    world.ask("DeleteItem", TableName="tab", Key=key(1))
    world.transact(guarded, ClientRequestToken="t1")
    assert world.get(1)["Item"] == key(1)


def test_an_update_that_does_not_fit_cancels_a_transaction(world: Tabled) -> None:
    update = {"TableName": "tab", "Key": key(2), "UpdateExpression": "SET n = n + n"}
    refusal = world.refusal("TransactWriteItems", TransactItems=[put_of(1), {"Update": update}])
    assert [reason["Code"] for reason in refusal.more["CancellationReasons"]] == ["None", "ValidationError"]
    assert "Item" not in world.get(1)


def test_a_transaction_has_four_megabytes(world: Tabled) -> None:
    large = {"big": {"S": "x" * 390_000}}
    writes = [{"Put": {"TableName": "tab", "Item": key(s) | large}} for s in range(11)]
    assert world.refusal("TransactWriteItems", TransactItems=writes).code == "ValidationException"
    world.transact(*writes[:10])


# -------------------------------------------------------------------------------------------------------- units


@pytest.mark.parametrize(("size", "units"), [(1, 1), (1000, 1), (1024, 2), (2000, 2), (10_240, 11)])
def test_a_write_costs_a_unit_a_kilobyte_of_what_is_larger(world: Tabled, size: int, units: int) -> None:
    assert world.put(big={"S": "x" * size})["ConsumedCapacity"] == {"TableName": "tab", "CapacityUnits": units}
    assert world.put()["ConsumedCapacity"]["CapacityUnits"] == units
    assert world.put()["ConsumedCapacity"]["CapacityUnits"] == 1
    assert world.dynamo.units["tab", "write"] == 2 * units + 1


def test_a_transaction_costs_twice_as_much(world: Tabled) -> None:
    told = world.transact(put_of(1), put_of(2), ReturnConsumedCapacity="TOTAL", ClientRequestToken="t1")
    assert told["ConsumedCapacity"] == [{"TableName": "tab", "CapacityUnits": 4, "WriteCapacityUnits": 4}]
    told = world.transact(put_of(1), put_of(2), ReturnConsumedCapacity="TOTAL", ClientRequestToken="t1")
    assert told["ConsumedCapacity"] == [{"TableName": "tab", "CapacityUnits": 4, "ReadCapacityUnits": 4}]


def test_a_condition_that_fails_is_paid_for(world: Tabled) -> None:
    world.put()
    before = world.dynamo.units["tab", "write"]
    request = {"Item": key(), "ConditionExpression": "attribute_not_exists(p)"}
    world.refusal("PutItem", TableName="tab", **request)
    assert world.dynamo.units["tab", "write"] - before == 1
    world.refusal("TransactWriteItems", TransactItems=[put_of(2), {"Put": {"TableName": "tab"} | request}])
    assert world.dynamo.units["tab", "write"] - before == 5


def test_a_read_costs_a_unit_for_four_kilobytes_and_half_of_it_if_it_may_be_old(world: Tabled) -> None:
    world.put(1, big={"S": "x" * 5_000})
    told = {"ReturnConsumedCapacity": "TOTAL"}
    assert world.get(1, **told)["ConsumedCapacity"]["CapacityUnits"] == 2
    assert world.get(1, ConsistentRead=False, **told)["ConsumedCapacity"]["CapacityUnits"] == 1
    assert world.get(2, ConsistentRead=False, **told)["ConsumedCapacity"]["CapacityUnits"] == 0.5
    for s in range(2, 8):
        world.put(s, big={"S": "x" * 500})
    request = {"KeyConditionExpression": "p = :p AND s > :s", "ExpressionAttributeValues": {":p": {"S": "a"}}}
    request["ExpressionAttributeValues"][":s"] = {"N": "1"}  # type: ignore[index]
    page = world.ask("Query", TableName="tab", ConsistentRead=True, **told, **request)
    assert (page["Count"], page["ConsumedCapacity"]["CapacityUnits"]) == (6, 1)


# -------------------------------------------------------------------------------------------------- stale reads


def test_a_read_that_need_not_be_consistent_may_be_old() -> None:
    world = Tabled(Behaviour(stale_reads=0.5, stale_s=1.0))
    for n in range(4):
        world.put(n={"N": str(n)})
    seen = {world.get(ConsistentRead=False).get("Item", {}).get("n", {}).get("N") for _ in range(200)}
    assert seen == {None, "0", "1", "2", "3"}
    assert {world.get()["Item"]["n"]["N"] for _ in range(200)} == {"3"}
    world.clock.advance(1.5)
    assert {world.get(ConsistentRead=False)["Item"]["n"]["N"] for _ in range(200)} == {"3"}


def test_an_old_query_sees_what_is_gone_and_not_what_is_new() -> None:
    world = Tabled(Behaviour(stale_reads=0.5))
    world.put(1)
    world.put(3)
    world.clock.advance(5)
    world.put(2)
    world.ask("DeleteItem", TableName="tab", Key=key(3))
    world.ask("DeleteItem", TableName="tab", Key=key(9))
    request = {"KeyConditionExpression": "p = :p AND s > :s", "TableName": "tab"}
    values = {"ExpressionAttributeValues": {":p": {"S": "a"}, ":s": {"N": "0"}}}
    seen = {tuple(item["s"]["N"] for item in world.ask("Query", **request, **values)["Items"]) for _ in range(200)}
    assert seen == {("1", "2"), ("1", "2", "3"), ("1", "3")}
    scanned = {tuple(item["s"]["N"] for item in world.ask("Scan", TableName="tab")["Items"]) for _ in range(200)}
    assert scanned == seen
    consistent = world.ask("Query", **request, **values, ConsistentRead=True)
    assert [item["s"]["N"] for item in consistent["Items"]] == ["1", "2"]


def test_a_lagging_replica_has_seen_a_prefix_of_the_writes() -> None:
    world = Tabled(Behaviour(stale_reads=1.0))
    for n in range(3):
        world.put(1, n={"N": str(n)})
        world.put(2, n={"N": str(n)})
    for _ in range(100):
        found = world.ask("Scan", TableName="tab")["Items"]
        one, two = ([int(item["n"]["N"]) for item in found if item["s"]["N"] == s] or [-1] for s in "12")
        assert two[0] <= one[0] <= two[0] + 1


# -------------------------------------------------------------------------------------------------------- index


def test_an_index_of_keys_finds_items_by_another_attribute(world: Tabled) -> None:
    world.ask(
        "CreateTable",
        TableName="leases",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("k", "owner")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-owner",
                "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    for index in range(5):
        owner = {"owner": {"S": "me"}} if index % 2 else {}
        world.ask("PutItem", TableName="leases", Item={"k": {"S": f"k{index}"}, "x": {"N": "1"}} | owner)
    request = {"IndexName": "by-owner", "KeyConditionExpression": "#o = :me", "TableName": "leases"}
    given_ = {"ExpressionAttributeNames": {"#o": "owner"}, "ExpressionAttributeValues": {":me": {"S": "me"}}}
    page = world.ask("Query", **request, **given_)
    assert page["Items"] == [{"owner": {"S": "me"}, "k": {"S": f"k{index}"}} for index in (1, 3)]
    first = world.ask("Query", **request, **given_, Limit=1)
    rest = world.ask("Query", **request, **given_, ExclusiveStartKey=first["LastEvaluatedKey"])
    assert first["Items"] + rest["Items"] == page["Items"]
    assert world.refusal("Query", **request, **given_, ConsistentRead=True).code == "ValidationException"


# --------------------------------------------------------------------------------------------------------- life


def test_a_table_takes_its_time() -> None:
    world = Tabled(Behaviour(creating_s=5.0, deleting_s=5.0))
    assert world.refusal("PutItem", TableName="tab", Item=key()).code == "ResourceNotFoundException"
    assert world.ask("DescribeTable", TableName="tab")["Table"]["TableStatus"] == "CREATING"
    world.clock.advance(5)
    world.put()
    world.ask("DeleteTable", TableName="tab")
    assert world.ask("DescribeTable", TableName="tab")["Table"]["TableStatus"] == "DELETING"
    world.clock.advance(5)
    assert world.ask("ListTables")["TableNames"] == []


def test_two_worlds_of_one_seed_are_one() -> None:
    def history(seed: int) -> list[bytes]:
        world = Tabled(Behaviour(stale_reads=0.5, unprocessed=0.3), seed)
        world.make("log", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        [stream] = world.ask("ListStreams")["Streams"]
        told = []
        for n in range(20):
            world.put(n={"N": str(n)})
            world.ask("PutItem", TableName="log", Item=key(n))
            world.clock.advance(3_000)
            told.append(world.dynamo.call("GetItem", b'{"TableName":"tab","Key":{"p":{"S":"a"},"s":{"N":"1"}}}').body)
        told.append(world.dynamo.call("DescribeStream", b'{"StreamArn":"%b"}' % stream["StreamArn"].encode()).body)
        return told

    assert history(1) == history(1)
    assert history(1) != history(2)

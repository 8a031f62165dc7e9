"""Expressions of the embedded DynamoDB against a plain reading of them, and against texts that are none."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import EmbeddedDynamo, ServiceError
from shardlake.testing.dynamodb.conditions import condition
from shardlake.testing.dynamodb.grammar import parse_condition, parse_projection, parse_update, placeholders
from shardlake.testing.dynamodb.updates import update

Row = dict[str, Any]
Told = tuple[str, Callable[[Row], bool]]  # a condition's text, and what it says of an item

_WHAT = "ConditionExpression"
_VALUES = {":one": {"N": "1"}, ":two": {"N": "2"}, ":ten": {"N": "10"}, ":a": {"S": "a"}, ":ab": {"S": "ab"}}
_NAMES = {"#c": "c"}
_PATHS = {"a": "a", "b": "b", "#c": "c"}
_ITEMS = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(
        st.sampled_from(["0", "1", "2", "9", "10"]).map(lambda n: {"N": n}),
        st.sampled_from(["", "a", "ab", "b"]).map(lambda s: {"S": s}),
        st.just({"BOOL": True}),
    ),
)


def _plain(value: Row | None) -> tuple[str, Any] | None:
    if value is None:
        return None
    [(kind, held)] = value.items()
    return kind, int(held) if kind == "N" else held


def _compare(sign: str, one: Row | None, two: Row | None) -> bool:
    left, right = _plain(one), _plain(two)
    if sign == "<>":
        return left != right
    if left is None or right is None or left[0] != right[0]:
        return False
    if sign == "=":
        return bool(left[1] == right[1])
    if left[0] == "BOOL":
        return False
    orders: dict[str, bool] = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return orders[sign]


_Operand = tuple[str, Callable[[Row], Row | None]]


def _of_path(text: str) -> _Operand:
    return text, lambda item: item.get(_PATHS[text])


def _of_value(text: str) -> _Operand:
    return text, lambda _item: _VALUES[text]


_OPERANDS = st.one_of(st.sampled_from(sorted(_PATHS)).map(_of_path), st.sampled_from(sorted(_VALUES)).map(_of_value))
_SIGNS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def _comparison(left: _Operand, sign: str, right: _Operand) -> Told:
    return f"{left[0]} {sign} {right[0]}", lambda item: _compare(sign, left[1](item), right[1](item))


def _between(one: _Operand, low: _Operand, high: _Operand) -> Told:
    def holds(item: Row) -> bool:
        return _compare("<=", low[1](item), one[1](item)) and _compare("<=", one[1](item), high[1](item))

    return f"{one[0]} BETWEEN {low[0]} AND {high[0]}", holds


def _among(one: _Operand, choices: list[_Operand]) -> Told:
    def holds(item: Row) -> bool:
        return any(_compare("=", one[1](item), choice[1](item)) for choice in choices)

    return f"{one[0]} IN ({', '.join(choice[0] for choice in choices)})", holds


def _exists(path: str, negated: bool) -> Told:
    name = "attribute_not_exists" if negated else "attribute_exists"
    return f"{name}({path})", lambda item: (_PATHS[path] in item) != negated


def _starts(one: _Operand) -> Told:
    def holds(item: Row) -> bool:
        value = one[1](item)
        return value is not None and str(value.get("S", "")).startswith("a")

    return f"begins_with({one[0]}, :a)", holds


_LEAVES = st.one_of(
    st.builds(_comparison, _OPERANDS, _SIGNS, _OPERANDS),
    st.builds(_between, _OPERANDS, _OPERANDS, _OPERANDS),
    st.builds(_among, _OPERANDS, st.lists(_OPERANDS, min_size=1, max_size=3)),
    st.builds(_exists, st.sampled_from(sorted(_PATHS)), st.booleans()),
    st.builds(_starts, _OPERANDS),
)


def _negated(told: Told) -> Told:
    return f"NOT ({told[0]})", lambda item: not told[1](item)


def _joined(word: str, told: list[Told]) -> Told:
    join = all if word == "AND" else any
    return f" {word} ".join(f"({text})" for text, _ in told), lambda item: join(holds(item) for _, holds in told)


_CONDITIONS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(_negated),
        st.builds(_joined, st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)


@given(_CONDITIONS, st.lists(_ITEMS, max_size=5))
def test_a_condition_says_what_its_parts_say(told: Told, items: list[Row]) -> None:
    text, holds = told
    test = condition(_WHAT, text)
    for item in items:
        assert test(item, _NAMES, _VALUES) == holds(item), (text, item)


@given(_CONDITIONS)
def test_a_condition_speaks_of_its_placeholders(told: Told) -> None:
    text = told[0]
    found = set(placeholders(parse_condition(_WHAT, text)))
    words = set(text.translate(str.maketrans("(),", "   ")).split())
    assert found == words & {*_VALUES, *_NAMES}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a = b OR a = c AND NOT b = c", "(a = b) OR ((a = c) AND (NOT (b = c)))"),
        ("NOT a = b AND a = c", "(NOT (a = b)) AND (a = c)"),
        ("a BETWEEN b AND c AND a = b", "(a BETWEEN b AND c) AND (a = b)"),
        ("a=b and not b<>c or a in(b,c)", "((a = b) AND (NOT (b <> c))) OR (a IN (b, c))"),
    ],
)
def test_words_bind_as_they_should(text: str, same: str) -> None:
    assert parse_condition(_WHAT, text) == parse_condition(_WHAT, same)


_SIGNS_AND_WORDS = (
    "a b #c :one x.y[0] ( ) , . [ ] 0 1 = <> < >= + - % é",
    "AND OR NOT BETWEEN IN size attribute_exists begins_with contains",
    "SET REMOVE ADD DELETE if_not_exists list_append",
)
_WORDS = st.sampled_from([word for line in _SIGNS_AND_WORDS for word in line.split()])


@given(st.one_of(st.lists(_WORDS, max_size=20).map(" ".join), st.text(max_size=40)))
def test_what_is_no_expression_is_refused_and_nothing_worse(text: str) -> None:
    for parse in (parse_condition, parse_update, parse_projection):
        with suppress(ServiceError):
            parse(_WHAT, text)


@pytest.mark.parametrize("text", ["(" * 3000, "NOT " * 1000 + "a = b", "SET a = " + "list_append(" * 300])
def test_depth_has_an_end(text: str) -> None:
    for parse in (parse_condition, parse_update):
        with pytest.raises(ServiceError):
            parse(_WHAT, text)


# ------------------------------------------------------------------------------------------------------ updates

_ITEM: Row = {
    "n": {"N": "5"},
    "l": {"L": [{"S": letter} for letter in "abcd"]},
    "m": {"M": {"x": {"N": "1"}, "y": {"M": {"z": {"S": "deep"}}}}},
    "ss": {"SS": ["a", "b"]},
}
_NEW: dict[str, Row] = {":v": {"N": "7"}, ":s": {"SS": ["b", "c"]}, ":l": {"L": [{"S": "e"}]}, ":d": {"S": "d"}}


@pytest.mark.parametrize(
    ("text", "path", "made"),
    [
        ("SET n = n + :v", "n", {"N": "12"}),
        ("SET n = :v - n", "n", {"N": "2"}),
        ("SET n = m.x, m.x = n", "n", {"N": "1"}),
        ("SET m.y.z = :v", "m", {"M": {"x": {"N": "1"}, "y": {"M": {"z": {"N": "7"}}}}}),
        ("REMOVE m.y.z", "m", {"M": {"x": {"N": "1"}, "y": {"M": {}}}}),
        ("SET l[1] = :d REMOVE l[0], l[2]", "l", {"L": [{"S": "d"}, {"S": "d"}]}),
        ("SET l[9] = :d", "l", {"L": [*_ITEM["l"]["L"], {"S": "d"}]}),
        ("SET l = list_append(l, :l)", "l", {"L": [*_ITEM["l"]["L"], {"S": "e"}]}),
        ("ADD ss :s", "ss", {"SS": ["a", "b", "c"]}),
        ("DELETE ss :s", "ss", {"SS": ["a"]}),
        ("SET q = if_not_exists(q, :v)", "q", {"N": "7"}),
        ("SET n = if_not_exists(n, :v)", "n", {"N": "5"}),
        ("REMOVE q, n", "n", None),
    ],
)
def test_an_update_makes_a_new_item_and_leaves_the_old(text: str, path: str, made: Row | None) -> None:
    before = repr(_ITEM)
    after, _ = update(text, _ITEM, {}, _NEW)
    assert after.get(path) == made
    assert repr(_ITEM) == before
    assert {name for name in after if name not in {path, "m"}} == set(_ITEM) - {path, "m"}


@pytest.mark.parametrize(
    "text",
    [
        "SET m.x = :v, m = :v",
        "SET n = :v SET l = :v",
        "SET n.x = :v",
        "SET q.x = :v",
        "REMOVE q.x",
        "SET n = n + l",
        "SET n = q",
        "ADD l :v",
        "ADD n :d",
        "DELETE n :v",
        "SET l = list_append(n, :l)",
        "SET n = n * :v",
        "SET",
        "SET n = :v,",
    ],
)
def test_an_update_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        update(text, _ITEM, {}, _NEW)
    assert caught.value.code == "ValidationException"


def test_a_projection_gives_parts_in_their_place() -> None:
    dynamo = EmbeddedDynamo(ManualClock(), random.Random(0))
    dynamo.ask(
        "CreateTable",
        TableName="tab",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamo.ask("PutItem", TableName="tab", Item={"k": {"S": "a"}} | _ITEM)
    request = {"TableName": "tab", "Key": {"k": {"S": "a"}}}
    asked = {"ProjectionExpression": "#y.z, l[3], l[1], absent, n", "ExpressionAttributeNames": {"#y": "y"}}
    assert dynamo.ask("GetItem", **request, **asked)["Item"] == {
        "l": {"L": [{"S": "b"}, {"S": "d"}]},
        "n": {"N": "5"},
    }
    asked["ProjectionExpression"] = "m.#y"
    assert dynamo.ask("GetItem", **request, **asked)["Item"] == {"m": {"M": {"y": {"M": {"z": {"S": "deep"}}}}}}
    with pytest.raises(ServiceError, match="overlap"):
        dynamo.ask("GetItem", **request, ProjectionExpression="m, m.x")

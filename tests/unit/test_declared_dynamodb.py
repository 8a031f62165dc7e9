"""Images of a table's items to rows: every type, all digits, and what is not what it should be."""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.adapters.engine import Engine
from shardlake.core.errors import ConfigError
from shardlake.packs.declared import declaration
from shardlake.packs.declared.decoder import DeclaredDecoder
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.packs.declared.words import Declaration
from shardlake.packs.pack import Decoded

ENGINE = Engine(threads=1)
ITEMS = """
format = "dynamodb"
event_time = "at"
[columns]
id = { type = "VARCHAR", needed = true }
at = "TIMESTAMP"
price = "DECIMAL(38,10)"
small = "DECIMAL(10,2)"
count = "BIGINT"
number = { type = "INTEGER", from = "count" }
x = "DOUBLE"
digits = { type = "VARCHAR", holds = "N", from = "price" }
ok = "BOOLEAN"
day = "DATE"
expires = { type = "TIMESTAMP", time = "s" }
local = { type = "TIMESTAMP", time = "%d.%m.%Y %H:%M" }
blob = { type = "VARCHAR", holds = "B" }
city = { type = "VARCHAR", from = "address.city" }
second = { type = "BIGINT", from = "list[1].n" }
odd = { type = "VARCHAR", from = '$."a.b"' }
set = { type = "VARCHAR", holds = "any" }
_event = { type = "VARCHAR", holds = "event" }
image = { type = "VARCHAR", holds = "image" }
text_number = { type = "BIGINT", holds = "S" }
cents = { is = "small * 100" }
"""
DECLARED = declaration.parse(ITEMS, "items", "pack.toml")
GOOD: dict[str, Any] = {"id": {"S": "x"}, "at": {"S": "2026-03-01T10:00:00Z"}}


def line(image: Any, weight: Any = 1, event: str = "INSERT") -> bytes:
    return json.dumps({"Weight": weight, "Event": event, "Image": image}, separators=(",", ":")).encode()


def decode(*lines: bytes, declared: Declaration = DECLARED) -> Decoded:
    decoder = DeclaredDecoder(declared, ENGINE, (), line_bytes_max=1 << 20)
    return decoder.decode(b"\n".join(lines))


def one(**attributes: Any) -> dict[str, Any]:
    found = decode(line({**GOOD, **attributes}))
    assert not found.letters, found.letters
    row: dict[str, Any] = found.rows.to_pylist()[0]
    return row


def refused(image: Any, weight: Any = 1) -> str:
    found = decode(line(image, weight))
    assert not found.rows.num_rows
    [letter] = found.letters
    assert letter.payload == line(image, weight)
    return f"{letter.reason}: {letter.detail}"


def test_each_type_has_its_column() -> None:
    row = one(
        price={"N": "12345678901234567890123456.0123456789"},
        small={"N": "-2.5"},
        count={"N": "7"},
        x={"N": "0.1"},
        ok={"BOOL": False},
        day={"S": "2026-03-02"},
        expires={"N": "1774000000"},
        local={"S": "02.03.2026 11:30"},
        blob={"B": "AAEC"},
        address={"M": {"city": {"S": 'Róm"\\'}}},
        list={"L": [{"S": "a"}, {"M": {"n": {"N": "3"}}}]},
        set={"NS": ["1", "2.50"]},
        text_number={"S": "12"},
        **{"a.b": {"S": "dotted"}},
    )
    assert row.pop("price") == Decimal("12345678901234567890123456.0123456789")
    assert row.pop("digits") == "12345678901234567890123456.0123456789"
    assert json.loads(row.pop("image"))["list"]["L"][1] == {"M": {"n": {"N": "3"}}}
    assert row == {
        "id": "x",
        "at": datetime(2026, 3, 1, 10),
        "small": Decimal("-2.50"),
        "count": 7,
        "number": 7,
        "x": 0.1,
        "ok": False,
        "day": datetime(2026, 3, 2).date(),
        "expires": datetime(2026, 3, 20, 9, 46, 40),
        "local": datetime(2026, 3, 2, 11, 30),
        "blob": "AAEC",
        "city": 'Róm"\\',
        "second": 3,
        "odd": "dotted",
        "set": '{"NS":["1","2.50"]}',
        "_event": "INSERT",
        "text_number": 12,
        "cents": Decimal(-250),
    }


def test_what_is_missing_or_null_is_null() -> None:
    missing = one()
    for attributes in (
        {
            name: {"NULL": True}
            for name in ("price", "count", "x", "ok", "day", "blob", "address", "list", "set", "a.b")
        },
        {"address": {"M": {}}, "list": {"L": []}},
        {"address": {"M": {"city": {"NULL": True}}}, "list": {"L": [{"S": "a"}, {"NULL": True}]}},
    ):
        row = one(**attributes)
        assert row | {"image": None} == missing | {"image": None}
    assert {name for name, value in missing.items() if value is not None} == {"id", "at", "_event", "image"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.5E+3", Decimal(1500)),
        ("15e2", Decimal(1500)),
        ("-1.50E-2", Decimal("-0.015")),
        ("123.45E1", Decimal("1234.5")),
        ("12345.678E-2", Decimal("123.45678")),
        ("1E-10", Decimal("1e-10")),
        ("1E+27", Decimal(10**27)),
        ("0E+40", Decimal(0)),
        ("9999999999999999999999999999.9999999999", Decimal("9999999999999999999999999999.9999999999")),
        ("0.10000000000000000000", Decimal("0.1")),
        ("-0", Decimal(0)),
    ],
)
def test_a_number_is_taken_by_its_digits_however_it_is_written(written: str, value: Decimal) -> None:
    assert one(price={"N": written})["price"] == value
    assert one(price={"N": written})["digits"] == written


@pytest.mark.parametrize(
    "written", ["1E+28", "1E-11", "1.00000000001", "1E+125", "9E-130", "1E+1000", "E5", "1E", "", "NaN"]
)
def test_a_number_that_the_column_cannot_hold_is_refused_and_never_rounded(written: str) -> None:
    assert refused({**GOOD, "price": {"N": written}}) == "wrong_type: price is not a DECIMAL(38,10) as it stands"


def test_whole_numbers_are_whole_however_they_are_written() -> None:
    for written in ("120", "120.0", "120.000", "1.2E+2", "1.20E2", "1200E-1"):
        row = one(count={"N": written})
        assert (row["count"], row["number"]) == (120, 120), written
    assert one(count={"N": "-2147483648"})["count"] == -(2**31)
    assert "not an integer of 64 bits" in refused({**GOOD, "count": {"N": "1.5"}})
    assert "not an integer of 64 bits" in refused({**GOOD, "count": {"N": "15E-1"}})
    assert "not an integer of 32 bits" in refused({**GOOD, "count": {"N": "2147483648"}})


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"price": {"S": "1"}}, "price is not of DynamoDB's type N"),
        ({"id": {"N": "1"}}, "id is not of DynamoDB's type S"),
        ({"ok": {"S": "true"}}, "ok is not of DynamoDB's type BOOL"),
        ({"at": {"N": "1774000000"}}, "at is not of DynamoDB's type S"),
        ({"expires": {"S": "1774000000"}}, "expires is not of DynamoDB's type N"),
        ({"blob": {"S": "AAEC"}}, "blob is not of DynamoDB's type B"),
        ({"address": {"S": "Rome"}}, "address.city is not of DynamoDB's type S"),
        ({"address": {"M": {"city": {"M": {}}}}}, "address.city is not of DynamoDB's type S"),
        ({"list": {"M": {}}}, "list[1].n is not of DynamoDB's type N"),
        ({"list": {"L": [{"S": "a"}, {"S": "b"}]}}, "list[1].n is not of DynamoDB's type N"),
        ({"count": "7"}, "count is not of DynamoDB's type N"),
        ({"count": {}}, "count is not of DynamoDB's type N"),
        ({"set": "x"}, "set is not an attribute"),
        ({"text_number": {"N": "1"}}, "text_number is not of DynamoDB's type S"),
        ({"at": {"S": "yesterday"}}, "at is not a time"),
        ({"at": {"S": "1969-12-31T23:59:59Z"}}, "at is not a time"),
        ({"day": {"S": "2026-02-30"}}, "day is not a date"),
    ],
)
def test_an_attribute_of_another_type_is_a_letter(attributes: Any, told: str) -> None:
    assert refused({**GOOD, **attributes}) == f"wrong_type: {told}"


def test_what_is_needed_and_missing_is_a_letter() -> None:
    assert refused({"at": GOOD["at"]}) == "missing: id is missing"
    assert refused({"id": GOOD["id"]}) == "missing: at is missing"
    assert refused({**GOOD, "at": {"NULL": True}}) == "missing: at is missing"


@pytest.mark.parametrize(
    "text",
    [
        b"nothing",
        b"[]",
        b"5",
        line(GOOD, 2),
        line(GOOD, 0),
        line(GOOD, None),
        line(GOOD, 1.0),
        line(None),
        line([]),
        line("x"),
        b'{"Weight":1,"Event":"INSERT"}',
        b'{"Event":"INSERT","Image":{}}',
        line({**GOOD, "price": {"N": 2.5}}),
        line({**GOOD, "elsewhere": {"N": -1}}),
        line(GOOD)[:-1],
        line(GOOD) + b" x",
    ],
)
def test_a_line_that_is_no_change_is_a_letter_and_costs_no_other_line(text: bytes) -> None:
    found = decode(line(GOOD, -1), text, line({**GOOD, "price": {"N": "1E+1"}}))
    assert found.rows["price"].to_pylist() == [None, Decimal(10)]
    assert found.lines.tolist() == [0, 2]
    assert found.weights is not None
    assert found.weights.tolist() == [-1, 1]
    assert [(letter.index, letter.reason, letter.payload) for letter in found.letters] == [(1, "malformed", text)]


def test_weights_stay_with_their_rows_where_letters_and_odd_numbers_lie_between() -> None:
    images = [{**GOOD, "id": {"S": str(i)}, "price": {"N": "1E+0" if i % 3 else "1"}} for i in range(40)]
    images[7]["price"], images[20]["id"] = {"S": "no"}, {"N": "1"}
    found = decode(*(line(image, -1 if i % 2 else 1) for i, image in enumerate(images)))
    kept = [i for i in range(40) if i not in (7, 20)]
    assert found.rows["id"].to_pylist() == [str(i) for i in kept]
    assert found.lines.tolist() == kept
    assert found.weights is not None
    assert found.weights.tolist() == [-1 if i % 2 else 1 for i in kept]
    assert found.weights.dtype.name == "int32"


# -------------------------------------------------------------------------------- what boto3 writes is what is read

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**26), max_value=10**26)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.integers(0, 4 * 10**9).map(lambda s: datetime(1970, 1, 1) + timedelta(seconds=s))
ITEM = st.fixed_dictionaries(
    {"id": TEXTS, "at": TIMES.map(lambda at: f"{at.isoformat()}Z")},
    optional={
        "price": NUMBERS | st.none() | st.integers(-(10**25), 10**25),
        "count": st.integers(-(2**31), 2**31 - 1) | st.sampled_from([Decimal("1E+3"), Decimal("2.0")]),
        "x": st.decimals(-1000, 1000, allow_nan=False, places=4),
        "ok": st.booleans() | st.none(),
        "expires": st.integers(0, 4 * 10**9),
        "blob": st.binary(max_size=10),
        "address": st.fixed_dictionaries({}, optional={"city": TEXTS | st.none(), "zip": st.integers(0, 9)}),
        "list": st.lists(st.fixed_dictionaries({"n": st.integers(0, 100)}), max_size=3),
        "set": st.sets(st.text(st.characters(codec="ascii"), min_size=1, max_size=3), min_size=1, max_size=3),
        "a.b": TEXTS,
    },
)


@given(st.lists(st.tuples(ITEM, st.sampled_from([1, -1])), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_boto3_writes_decodes_to_equal_values(items: list[tuple[dict[str, Any], int]]) -> None:
    serialize = TypeSerializer().serialize
    lines = [line(_wire({n: serialize(v) for n, v in item.items()}), weight) for item, weight in items]
    found = decode(*lines)
    assert not found.letters
    assert found.weights is not None
    assert found.weights.tolist() == [weight for _, weight in items]
    for row, (item, _), text in zip(found.rows.to_pylist(), items, lines, strict=True):
        wanted = {name: item.get(name) for name in ("id", "price", "count", "ok")}
        assert {name: row[name] for name in wanted} == wanted
        assert row["x"] == (float(item["x"]) if "x" in item else None)
        assert row["city"] == item.get("address", {}).get("city")
        assert row["second"] == (item["list"][1]["n"] if len(item.get("list", ())) > 1 else None)
        assert row["odd"] == item.get("a.b")
        assert row["at"].replace(tzinfo=UTC) == datetime.fromisoformat(item["at"])
        assert json.loads(row["image"]) == json.loads(text)["Image"]


def _wire(value: Any) -> Any:
    """Write a serialized value as JSON does: binaries as base64, sets as lists."""
    if isinstance(value, dict):
        return {name: _wire(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_wire(one) for one in value]
    return base64.b64encode(bytes(value)).decode() if isinstance(value, bytes | bytearray) else value


@given(
    st.lists(st.binary(max_size=60) | ITEM.map(lambda item: line({"id": {"S": item["id"]}, "at": {"S": item["at"]}})))
)
@settings(max_examples=25, deadline=None)
def test_how_a_line_is_read_does_not_depend_on_its_block(drawn: list[bytes]) -> None:
    lines = [text.replace(b"\n", b" ") for text in drawn]
    together = decode(*lines)
    alone = [decode(text) for text in lines]
    assert together.rows.to_pylist() == [row for found in alone for row in found.rows.to_pylist()]
    assert [letter.reason for letter in together.letters] == [x.reason for found in alone for x in found.letters]


# --------------------------------------------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('event_time = "at"', 'event_time = "at"\nevent_id = "id"', "leave event_id out"),
        (
            'event_time = "at"',
            'event_time = "at"\nheader = true',
            "header is for lines of fields; a change names its own",
        ),
        ('holds = "B"', 'holds = "M"', "blob.holds is 'M'; accepted for VARCHAR: S, N, B, any, image, event"),
        ('"BOOLEAN"', '{ type = "BOOLEAN", holds = "B" }', "ok.holds is 'B'; accepted for BOOLEAN: BOOL, N, S"),
        ('holds = "image"', 'holds = "image", from = "x"', "'image', which is no attribute: leave `from` out"),
        ('is = "small * 100"', 'is = "small * 100", holds = "N"', "leave the other keys out"),
        ('"address.city"', '"address..city"', "accepted: keys with dots between"),
        (
            "_event =",
            "event =",
            "tells of the change and not of the item, so that a view cannot count by it: call it _event",
        ),
        ("_event =", "_shard =", "columns._shard is no name for a column"),
        ("count =", "_count =", "columns._count is no name for a column"),
        ('"dynamodb"', '"json"', "holds is for format dynamodb"),
    ],
)
def test_what_is_declared_wrongly_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        declaration.parse(ITEMS.replace(old, new, 1), "items", "pack.toml")
    assert told in str(caught.value)


def test_rows_of_such_a_pack_take_earlier_ones_back(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(ITEMS)
    pack = DeclaredPack(tmp_path, "items")
    assert pack.schema.weighted
    assert pack.schema.event_id is None
    decoded = pack.open("orders").decode(line(GOOD, -1))
    assert pack.enrich(decoded.rows).column_names == [column.name for column in pack.schema.columns]
    with pytest.raises(ConfigError, match=r"source\.fields is set, and the lines of items are changes"):
        pack.open("orders", ("a",))


def test_a_whole_image_repeats_every_attribute_so_that_protection_reaches_it(tmp_path: Path) -> None:
    (tmp_path / "pack.toml").write_text(ITEMS)
    derived = DeclaredPack(tmp_path, "items").derived
    assert "image" in derived["id"]
    assert {"id", "price", "digits", "city", "set"} <= set(derived["image"])
    assert "_event" not in derived
    assert "digits" in derived["price"]

"""A pack proposed from a sample: it reads every line of it, with the narrowest types, whatever the keys are."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.app.proposal import seen
from shardlake.app.proposal.names import column_name
from shardlake.app.proposal.propose import Checked, Proposal, check, propose
from shardlake.app.proposal.sample import Sample
from shardlake.core.errors import ConfigError
from shardlake.packs.declared import declaration

START = datetime(2026, 3, 1, 10, tzinfo=UTC)


def of(text: str, name: str = "events", file: str = "sample.jsonl") -> tuple[Proposal, Checked]:
    sample = Sample(Path(file), text.encode(), is_whole=True)
    proposal = propose(sample, name)
    return proposal, check(proposal, sample)


def of_objects(objects: Sequence[Mapping[str, Any]]) -> tuple[Proposal, Checked]:
    return of("\n".join(json.dumps(one) for one in objects) + "\n")


def columns(proposal: Proposal) -> dict[str, dict[str, str]]:
    given = tomllib.loads(proposal.files["pack.toml"])["columns"]
    return {name: {"type": told} if isinstance(told, str) else told for name, told in given.items()}


def typed(key: str, *values: Any) -> tuple[str, ...]:
    """The type that is proposed for a key of these values, and how its times are written."""
    proposal, checked = of_objects([{"ts": "2026-03-01T10:00:00Z", key: value} for value in values])
    assert not checked.letters and checked.rows.num_rows == len(values)
    told = next((told for name, told in columns(proposal).items() if name != "ts"), {})
    return (told.get("type", ""), *([told["time"]] if "time" in told else []))


# -------------------------------------------------------------------------------------------------------- types

EPOCH = 1_767_225_600
TYPED: list[tuple[str, tuple[Any, ...], tuple[str, ...]]] = [
    ("ok", (True, False, None), ("BOOLEAN",)),
    ("ok", ("true", "FALSE"), ("BOOLEAN",)),
    ("flag", (0, 1), ("BIGINT",)),
    ("n", (1, -5, 2**63 - 1), ("BIGINT",)),
    ("n", ("1", "-5"), ("BIGINT",)),
    ("n", (1, 2**64 - 1), ("DECIMAL(20,0)",)),
    ("n", (1, 2**70), ("DOUBLE",)),
    ("n", ("1", str(2**64)), ("VARCHAR",)),
    ("n", ("007", "8"), ("VARCHAR",)),
    ("zip", ("10115", "20095"), ("VARCHAR",)),
    ("user_id", (5, 6), ("BIGINT",)),
    ("x", (1.5, 2), ("DOUBLE",)),
    ("x", ("1.5", "1e3"), ("DOUBLE",)),
    ("unit_price", (1.5, 2), ("DECIMAL(15,2)",)),
    ("totalCost", (1.5, 2.125), ("DECIMAL(15,4)",)),
    ("price", (1, 2), ("BIGINT",)),
    ("price", (1e-9, 2), ("DOUBLE",)),
    ("day", ("2026-03-01", "2026-03-02"), ("DATE",)),
    ("seen", ("2026-03-01", "2026-03-02T10:00:00+01:00"), ("TIMESTAMP",)),
    ("seen", (EPOCH, EPOCH + 0.5), ("TIMESTAMP", "s")),
    ("seen", (EPOCH * 1000,), ("TIMESTAMP", "ms")),
    ("seen", (str(EPOCH * 10**6),), ("TIMESTAMP", "us")),
    ("seen_at", (EPOCH * 10**9,), ("TIMESTAMP", "ns")),
    ("seen", (EPOCH, EPOCH * 1000), ("TIMESTAMP", "epoch")),
    ("bytes", (EPOCH, EPOCH + 1), ("BIGINT",)),
    ("response_time", (12, 15), ("BIGINT",)),
    ("seen", ("01/Mar/2026:10:00:00 +0200",), ("TIMESTAMP", "%d/%b/%Y:%H:%M:%S %z")),
    ("seen", ("13/03/2026 10:00:00", "01/03/2026 10:00:00"), ("TIMESTAMP", "%d/%m/%Y %H:%M:%S")),
    ("seen", ("02/03/2026 10:00:00", "01/03/2026 10:00:00"), ("VARCHAR",)),
    ("page", ("/", "", None), ("VARCHAR",)),
    ("mixed", (1, "x"), ("VARCHAR",)),
    ("mixed", (True, 1), ("VARCHAR",)),
    ("mixed", (1.5, "x"), ()),
    ("mixed", ({"a": 1.50}, "x", [1.5]), ("VARCHAR",)),
    ("tags", ([1], [], ["x"]), ("VARCHAR",)),
    ("nothing", (None, None), ()),
    ("empty", ({}, {}), ("VARCHAR",)),
    ("version", ("1.10", "1.9"), ("VARCHAR",)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "values", "expected"), TYPED)
def test_a_type_is_the_narrowest_that_takes_all_values(
    key: str, values: tuple[Any, ...], expected: tuple[str, ...]
) -> None:
    assert typed(key, *values) == (expected or ("",))


def fraction(value: float) -> float:
    return value + 0.5 if value.is_integer() and abs(value) < 2**50 else value


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_KINDS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "BOOLEAN": ("flag", st.booleans()),
    "BIGINT": ("count", st.integers(-(2**63), 2**63 - 1)),
    "DOUBLE": ("ratio", _FLOATS.map(fraction)),
    "VARCHAR": ("word", st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: f"w{text}")),
    "DATE": ("day", st.dates(datetime(1, 1, 1).date()).map(str)),
    "TIMESTAMP": ("moment", st.datetimes(datetime(1, 1, 1)).map(lambda at: at.isoformat(timespec="microseconds"))),
}


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_what_was_drawn_is_read_again(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(_KINDS)), unique=True, min_size=1))
    count = data.draw(st.integers(1, 5))
    values = {kind: data.draw(st.lists(_KINDS[kind][1] | st.none(), min_size=count, max_size=count)) for kind in kinds}
    lines = [
        {"ts": (START + timedelta(seconds=i)).isoformat(), "in": {_KINDS[k][0]: values[k][i] for k in kinds}}
        for i in range(count)
    ]
    proposal, checked = of_objects(lines)
    assert not checked.letters
    rows = checked.rows.to_pylist()
    found = columns(proposal)
    for kind in kinds:
        name = f"in_{_KINDS[kind][0]}"
        if all(value is None for value in values[kind]):
            assert name not in found
            continue
        assert found[name]["type"] == kind
        read = [row[name] for row in rows]
        if kind in ("DATE", "TIMESTAMP"):
            expected = [value and datetime.fromisoformat(value) for value in values[kind]]
            assert [value and datetime.fromisoformat(str(value)) for value in read] == expected
        else:
            assert read == values[kind]


# --------------------------------------------------------------------------------------------------------- keys

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) < 1e300)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_ODD = st.text(st.sampled_from("\"'\\\n\r\t\0\x1b.$*[]#=é群\u202e\u2028 aA_1-"), max_size=5)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.dictionaries(_ODD | st.text(max_size=6), _JSON | st.dictionaries(_ODD, _JSON), max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_the_keys_are_every_line_is_read(objects: list[dict[str, Any]]) -> None:
    usable = "\n".join(json.dumps({"event_time": "2026-03-01T10:00:00Z", **one}) for one in objects)
    if "\\ud" in usable:  # half of a pair is no text, and such a line is a dead letter
        return
    proposal, checked = of(usable)
    assert not checked.letters and checked.rows.num_rows == len(objects)
    for text in proposal.files.values():
        assert all(line.isprintable() for line in text.split("\n"))


def test_no_key_leaves_its_place() -> None:
    key = 'x"\n[columns]\nevil = "VARCHAR" # \x1b[2J'
    proposal, checked = of_objects(
        [{"ts": "2026-03-01", key: 1, "deep": {key: 2, "a.b": {"'; DROP": 3}}, "\ud83d\ude00": 4}]
    )
    found = columns(proposal)
    assert set(found) == {"ts", "deep_a_b_DROP", "f3"}
    assert found["deep_a_b_DROP"]["from"] == '$."deep"."a.b"."\'; DROP"'
    assert checked.rows["f3"].to_pylist() == [4]
    assert '# left out: x"\\n[columns]\\nevil' in proposal.files["pack.toml"]


def test_keys_that_no_path_can_name_are_left_out() -> None:
    proposal, checked = of_objects(
        [{"ts": "2026-03-01", "*": 1, "": 2, '"': 3, "\0": 4, "a.b\\": 5, "$": 6, "a*": {"*": 7}}]
    )
    assert {told.get("from") for told in columns(proposal).values()} == {None, '$."$"', '$."a*"'}
    assert proposal.files["pack.toml"].count("# left out: ") == 6
    assert checked.rows.num_rows == 1


def test_names_that_meet_are_told_apart() -> None:
    proposal, checked = of_objects([{"ts": "2026-03-01", "user.id": 1, "user": {"id": 2, "ID": 3}, "User_Id": 4}])
    names = ["user_id", "user_id_2", "user_ID_3", "User_Id_4"]
    assert list(columns(proposal))[1:] == names
    assert [checked.rows[name].to_pylist() for name in names] == [[1], [2], [3], [4]]


def test_words_of_sql_are_no_names() -> None:
    words = [row[0] for row in duckdb.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()]
    for word in words:
        name = column_name([word], 0)
        assert duckdb.execute(f"SELECT {name} FROM (SELECT 1 AS {name}) GROUP BY {name}").fetchall() == [(1,)], word
    _, checked = of_objects(
        [{"ts": "2026-03-01T10:00:00Z", "force": f"v{i % 2}", "order": f"v{i % 3}"} for i in range(9)]
    )
    assert checked.rows.column_names == ["ts", "force", "order_"]


def test_objects_of_many_keys_and_deep_ones_are_kept_as_text() -> None:
    many = {f"k{i}": i for i in range(60)}
    deep: Any = 1
    for _ in range(200):
        deep = {"d": deep}
    proposal, checked = of_objects([{"ts": "2026-03-01", "many": many, "deep": deep}])
    assert columns(proposal)["many"]["type"] == "VARCHAR"
    assert json.loads(checked.rows["many"].to_pylist()[0]) == many
    assert columns(proposal)["deep_d_d_d_d"]["type"] == "VARCHAR"


def test_only_so_many_fields_become_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "FIELDS_MAX", 20)
    proposal, _ = of_objects([{"ts": "2026-03-01"} | {f"k{i}": i for i in range(25)}])
    assert len(columns(proposal)) == 20
    assert "# left out: 6 more fields, beyond the first 20" in proposal.files["pack.toml"]


# ------------------------------------------------------------------------------------------------- time and id


def chosen(objects: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    proposal, _ = of_objects(objects)
    found = declaration.parse(proposal.files["pack.toml"], "events", "pack.toml").schema
    return found.event_time, found.event_id or ""


def test_the_time_of_an_event_is_named_like_one_or_the_first() -> None:
    at = "2026-03-01T10:00:00Z"
    assert chosen([{"created_at": at, "@timestamp": at}])[0] == "timestamp"
    assert chosen([{"loaded": at, "seen": at}])[0] == "loaded"
    assert chosen([{"day": "2026-03-01", "n": 1}])[0] == "day"
    assert chosen([{"time": at, "meta": {"x": at}}, {"meta": {"x": at}}])[0] == "meta_x"


def test_without_a_time_it_is_told_what_is_one() -> None:
    with pytest.raises(ConfigError, match=r"no field tells the time.* there are: n, a\.b; accepted as times: ISO 8601"):
        of_objects([{"n": 1, "a": {"b": "soon"}}])


def test_a_time_that_few_lines_have_otherwise_is_still_the_time() -> None:
    objects = [{"ts": "2026-03-01T10:00:00Z"}] * 9 + [{"ts": "n/a"}]
    proposal, checked = of_objects(objects)
    assert [(x.index, str(x.reason)) for x in checked.letters] == [(9, "wrong_type")]
    assert "1 of 10 are not times: their lines will be dead letters" in proposal.files["pack.toml"]


def test_the_id_is_named_like_one_and_differs() -> None:
    lines = [{"ts": "2026-03-01", "id": f"a{i}", "user_id": i, "x": f"x{i % 2}"} for i in range(8)]
    assert chosen(lines)[1] == "id"
    assert chosen([*lines, lines[3]])[1] == "id"  # a copy is no other event
    assert chosen([*lines, {**lines[3], "x": "other"}])[1] == ""
    assert chosen([{"ts": "2026-03-01", "id": i} for i in range(3)])[1] == "id"
    assert chosen([{"ts": "2026-03-01", "id": None if i == 2 else f"a{i}"} for i in range(3)])[1] == ""
    assert chosen([{"ts": "2026-03-01", "order": f"a{i}"} for i in range(3)])[1] == ""


def test_without_an_id_it_is_told_what_that_means() -> None:
    proposal, _ = of_objects([{"ts": "2026-03-01", "order_no": f"a{i}"} for i in range(3)])
    told = proposal.files["pack.toml"]
    assert "a line that arrives twice counts twice. What differs on every line: order_no." in told


def test_money_is_kept_digit_by_digit() -> None:
    _, checked = of_objects([{"ts": "2026-03-01", "price": price} for price in (0.1, 9.99, 100)])
    assert checked.rows["price"].to_pylist() == [Decimal("0.10"), Decimal("9.99"), Decimal("100.00")]


# -------------------------------------------------------------------------------------------------------- views


def test_the_first_view_counts_by_texts_of_few_values() -> None:
    lines = [
        {
            "ts": "2026-03-01T10:00:00Z",
            "page": f"p{i % 3}",
            "user_id": f"u{i % 60}",
            "status": 200 + i % 2,
            "ms": i * 7,
            "minute": 5,
        }
        for i in range(100)
    ]
    proposal, _ = of_objects(lines)
    assert proposal.views == ("events_by_page_status", "events_per_hour")
    sql = proposal.files["views/events_by_page_status.sql"]
    assert "sum(ms) AS ms_sum" in sql and "sum(status)" not in sql and "AS minute_2" in sql
    assert "approx_count_distinct(user_id) AS user_id_count" in proposal.files["views/events_per_hour.sql"]


def test_a_view_needs_nothing_but_times() -> None:
    proposal, _ = of_objects([{"ts": "2026-03-01T10:00:00Z"}])
    assert proposal.views == ("events_per_minute",)


@pytest.mark.parametrize("name", ["order", "select", "values", "a" * 32])
def test_a_pack_may_be_called_like_a_word_of_sql(name: str) -> None:
    _, checked = of('{"ts":"2026-03-01","page":"a"}\n{"ts":"2026-03-01","page":"b"}', name)
    assert checked.rows.num_rows == 2

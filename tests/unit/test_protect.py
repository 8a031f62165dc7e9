"""Protection happens before anything is stored, and names what it cannot do."""

import pyarrow as pa
import pytest

from shardlake.core.errors import ConfigError
from shardlake.core.schema import Column, SourceSchema
from shardlake.packs.registry import load
from streams.protect import MASK, Protection

SCHEMA = SourceSchema(
    "s",
    (
        Column("at_us", "TIMESTAMP"),
        Column("id", "VARCHAR"),
        Column("viewer", "VARCHAR"),
        Column("copy", "VARCHAR"),
        Column("bytes", "BIGINT"),
    ),
    event_time="at_us",
    event_id="id",
)
KEY = b"sixteen bytes or more"


def rows() -> pa.Table:
    """Three rows, one of them without a viewer; the copy is stored as a dictionary."""
    viewers = pa.array(["1.2.3.4", None, "1.2.3.4"])
    return pa.table({"viewer": viewers, "copy": viewers.dictionary_encode(), "bytes": pa.array([1, None, 3])})


def test_masked_values_are_all_alike_and_null_stays_null() -> None:
    found = Protection.of(SCHEMA, {}, mask=["viewer", "copy"]).apply(rows())
    assert found["viewer"].to_pylist() == found["copy"].to_pylist() == [MASK, None, MASK]


def test_hashed_values_can_still_be_counted_and_depend_on_the_key() -> None:
    one, other = (
        Protection.of(SCHEMA, {}, hashed=["viewer"], key=key).apply(rows())["viewer"].to_pylist()
        for key in (KEY, b"quite another key")
    )
    assert one[0] == one[2] and one[1] is None
    assert "1.2.3.4" not in one[0] and one[0] != other[0]
    assert len(one[0]) == 32


def test_dropped_columns_stay_as_nulls_of_their_type() -> None:
    found = Protection.of(SCHEMA, {}, drop=["bytes", "viewer"]).apply(rows())
    assert found["bytes"].to_pylist() == [None] * 3 and found["bytes"].type == pa.int64()
    assert found["viewer"].null_count == 3


def test_what_repeats_a_column_is_protected_with_it() -> None:
    found = Protection.of(SCHEMA, {"copy": ("viewer",)}, hashed=["viewer"], key=KEY).apply(rows())
    assert found["copy"].to_pylist() == found["viewer"].to_pylist()
    assert load("cloudfront").derived["user_agent"] == ("cs_user_agent",)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mask": ["viwer"]}, "viwer, which s does not have; its columns: at_us, id, viewer"),
        ({"drop": ["at_us"]}, "needed as it is"),
        ({"mask": ["id"]}, "needed as it is"),
        ({"mask": ["bytes"]}, "which is BIGINT; only text can be masked or hashed"),
        ({"mask": ["viewer"], "drop": ["viewer"]}, "names viewer more than once"),
        ({"hashed": ["viewer"]}, "at least 16 bytes"),
    ],
)
def test_what_cannot_be_protected_is_refused_with_its_name(asked: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Protection.of(SCHEMA, {}, **asked)  # type: ignore[arg-type]


def test_what_is_computed_of_a_protected_column_and_no_text_is_dropped() -> None:
    schema = SourceSchema("s", (*SCHEMA.columns, Column("length", "BIGINT")), SCHEMA.event_time)
    given = rows().append_column("length", pa.array([1, 2, 3]))
    found = Protection.of(schema, {"length": ("other", "viewer")}, hashed=["viewer"], key=KEY).apply(given)
    assert found["length"].null_count == 3


def test_a_time_or_an_id_that_is_made_of_a_protected_column_is_refused() -> None:
    with pytest.raises(ConfigError, match="tells the event's time or identity"):
        Protection.of(SCHEMA, {SCHEMA.event_time: ("viewer",)}, mask=["viewer"])

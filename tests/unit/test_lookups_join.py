"""What a lookup finds for each row: as a plain loop over rows and keys finds it, whatever the chunks look like."""

import io
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardlake.core.errors import ConfigError
from shardlake.packs.lookups import matching, with_lookups
from shardlake.packs.lookups.declaration import Declaration, Taken
from shardlake.packs.lookups.matching import NONE, Remembering, address, matcher
from shardlake.packs.lookups.pack import Join
from shardlake.packs.lookups.table import ReferenceTable
from shardlake.packs.pack import Pack
from shardlake.testing.clicks import Clicks
from shardlake.testing.world import ARROW
from streams.protect import Protection


def declared(match: str, on: str = "page") -> Declaration:
    columns = {"title": Taken("title"), "words": Taken("words", "BIGINT"), "known": Taken("known", "BOOLEAN")}
    return Declaration(
        name="pages", file="pages.toml", table="sites.csv", on=on, key="key", match=match, columns=columns
    )


# ------------------------------------------------------------------------------------------------------ matching

BYTES = st.integers(0, 255)
FEW = st.sampled_from((0, 1, 127, 128, 255))
HOSTS = st.one_of(
    st.builds(lambda a, b: str(ipaddress.ip_address((10 << 24) | (a << 8) | b)), FEW, FEW),
    st.builds(lambda a, b: str(ipaddress.ip_address((0x20010DB8 << 96) | (a << 64) | b)), FEW, FEW),
)
ANY = st.one_of(
    HOSTS,
    st.ip_addresses().map(str),
    st.sampled_from(
        ("", "-", "10.0.0.1, 10.0.0.2", "010.0.0.1", "10.0.0", "::ffff:10.0.0.1", "fe80::1%eth0", "\x00", "é")
    ),
)


@st.composite
def networks(draw: st.DrawFn) -> list[str]:
    """Networks of all sizes around the same few addresses, so that they nest; each once."""
    found = {}
    for host in draw(st.lists(HOSTS, max_size=12)):
        bits = ipaddress.ip_address(host).max_prefixlen
        network = ipaddress.ip_network(f"{host}/{draw(st.integers(0, bits))}", strict=False)
        plain = str(network.network_address) if network.prefixlen == bits and draw(st.booleans()) else str(network)
        found[network] = plain
    return list(found.values())


def plainly(keys: Sequence[str], value: str) -> int:
    """The smallest network that an address lies in, by looking at every one."""
    try:
        host: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(value)
    except ValueError:
        return NONE
    if isinstance(host, ipaddress.IPv6Address) and host.scope_id is not None:
        return NONE
    host = getattr(host, "ipv4_mapped", None) or host
    met = [(net.prefixlen, row) for row, net in enumerate(map(ipaddress.ip_network, keys)) if host in net]
    return max(met, default=(0, NONE))[1]


@given(networks(), st.lists(ANY, max_size=20))
def test_an_address_meets_the_smallest_network_that_it_lies_in(keys: list[str], values: list[str]) -> None:
    match = matcher(declared("network"), keys)
    edges = [str(end) for key in keys for end in (ipaddress.ip_network(key)[0], ipaddress.ip_network(key)[-1])]
    for value in [*values, *edges]:
        assert match(value) == plainly(keys, value), value


@pytest.mark.parametrize("key", ["10.0.0.1/24", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/٣", "x", "::/129"])
def test_what_is_no_network_is_refused_by_its_row(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^pages.toml: key in row 2 of sites.csv is no network, such as") as raised:
        matcher(declared("network"), ["10.0.0.0/8", key])
    assert key == "x" or key not in str(raised.value)


def test_a_network_stands_there_once_however_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"key in row 3 of sites.csv is that of row 1 already"):
        matcher(declared("network"), ["10.0.0.1/32", "10.0.0.0/8", "10.0.0.1"])


@given(st.lists(st.text("ab", min_size=1, max_size=4), unique=True), st.lists(st.text("abc", max_size=6)))
def test_a_value_meets_the_longest_key_that_it_begins_with(keys: list[str], values: list[str]) -> None:
    match = matcher(declared("prefix"), keys)
    for value in values:
        met = [(len(key), row) for row, key in enumerate(keys) if value.startswith(key)]
        assert match(value) == max(met, default=(0, NONE))[1]


def test_what_is_remembered_has_a_bound() -> None:
    asked: list[str] = []

    def length(value: str) -> int:
        asked.append(value)
        return len(value)

    match = Remembering(length, known_max=3)
    for _ in range(3):
        assert [match(value) for value in ("a", "bb", "ccc")] == [1, 2, 3]
    assert asked == ["a", "bb", "ccc"]
    long = "x" * (matching.KNOWN_CHARS_MAX + 1)
    assert match(long) == match(long) == len(long)
    assert asked[3:] == [long, long]
    match("dddd")
    assert len(match._known) <= 3
    assert match("a") == 1


def test_an_address_of_ipv4_in_the_form_of_ipv6_is_the_same() -> None:
    assert address("::ffff:192.0.2.1") == address("192.0.2.1")
    assert address("::192.0.2.1") != address("192.0.2.1")


# ------------------------------------------------------------------------------------------------------- joining

TABLE = ReferenceTable(
    "v1",
    ["/a", "/b", "/c"],
    {
        "title": pa.array(["Start", None, "Start"]),
        "words": pa.array([10, 20, None], pa.int64()),
        "known": pa.array([True, None, False]),
    },
)
PAGES = st.lists(st.lists(st.sampled_from(("/a", "/b", "/c", "/d", "", None)), max_size=8), max_size=4)


@given(PAGES, st.booleans())
def test_each_row_gets_what_its_own_value_meets(chunks: list[list[str | None]], coded: bool) -> None:
    arrays = [pa.array(chunk, pa.string()) for chunk in chunks]
    kind = pa.dictionary(pa.int32(), pa.string()) if coded else pa.string()
    column = pa.chunked_array([array.cast(kind) for array in arrays], kind)
    found = dict(Join(declared("exact"), TABLE).columns(pa.table({"page": column})))
    values = [value for chunk in chunks for value in chunk]
    rows = [TABLE.keys.index(value) if value in TABLE.keys else None for value in values]
    for name, cells in TABLE.columns.items():
        expected = [None if row is None else cells[row].as_py() for row in rows]
        assert found[name].to_pylist() == expected, name
    assert found["pages_version"].to_pylist() == ["v1"] * len(values)


def test_numbers_are_joined_by_their_digits() -> None:
    column = pa.chunked_array([[7, None, 42], [7]], pa.int64())
    table = ReferenceTable("v", ["42", "07"], {"title": pa.array(["right", "wrong"])})
    found = dict(Join(declared("exact", "cost"), table).columns(pa.table({"cost": column})))
    assert found["title"].to_pylist() == [None, None, "right", None]


def test_columns_that_are_all_null_can_be_stored() -> None:
    found = dict(Join(declared("exact"), TABLE).columns(pa.table({"page": pa.array(["x", None])})))
    sink = io.BytesIO()
    pq.write_table(pa.table(found), sink, store_schema=False)
    assert (
        pq.read_table(io.BytesIO(sink.getvalue())).to_pylist()
        == [{"title": None, "words": None, "known": None, "pages_version": "v1"}] * 2
    )


def joined(folder: Path) -> Pack:
    (folder / "sites.csv").write_text("page,title\n/a,Start\n")
    (folder / "pages.toml").write_text(
        'table = "sites.csv"\non = "page"\nkey = "page"\nversion = "1"\n[columns]\ntitle = "title"\n'
    )
    return with_lookups(Clicks(), folder)


def events(*pages: str | None) -> pa.Table:
    return pa.Table.from_pylist([{"page": page} for page in pages], ARROW)


def test_a_pack_with_lookups_is_the_pack_in_everything_else(tmp_path: Path) -> None:
    plain, pack = Clicks(), joined(tmp_path)
    for name in ("name", "views", "optional", "queries", "derived", "sort_keys", "stream_fields"):
        assert getattr(pack, name) == getattr(plain, name)
    assert pack.bucket_key("x") == plain.bucket_key("x")
    assert {name for name in dir(Pack) if not name.startswith("_")} <= set(dir(pack))
    assert pack.open("x").decode(b'{"page": "/a"}').rows.num_rows == 1
    rows = pack.enrich(events("/a", "/b", None))
    assert rows.column_names == [column.name for column in pack.schema.columns]
    assert rows.select(["page", "title", "pages_version"]).to_pylist() == [
        {"page": "/a", "title": "Start", "pages_version": "1"},
        {"page": "/b", "title": None, "pages_version": "1"},
        {"page": None, "title": None, "pages_version": "1"},
    ]
    assert pack.enrich(events()).num_rows == 0


def test_a_table_is_read_once_and_a_new_one_by_a_new_pack(tmp_path: Path) -> None:
    pack = joined(tmp_path)
    assert pack.enrich(events("/a"))["title"].to_pylist() == ["Start"]
    (tmp_path / "sites.csv").write_text("page,title\n/a,Other\n")
    assert pack.enrich(events("/a"))["title"].to_pylist() == ["Start"]
    assert with_lookups(Clicks(), tmp_path).enrich(events("/a"))["title"].to_pylist() == ["Other"]


def test_a_protected_column_is_joined_before_it_is_protected(tmp_path: Path) -> None:
    pack = joined(tmp_path)
    hashed = Protection.of(pack.schema, pack.derived, hashed=("page",), key=b"k" * 32)
    (row,) = hashed.apply(pack.enrich(events("/a"))).select(["page", "title"]).to_pylist()
    assert row["title"] == "Start"
    assert row["page"] != "/a"
    both = Protection.of(pack.schema, pack.derived, mask=("title",), drop=("page", "pages_version"))
    (row,) = both.apply(pack.enrich(events("/a"))).select(["page", "title", "pages_version"]).to_pylist()
    assert row == {"page": None, "title": "***", "pages_version": None}

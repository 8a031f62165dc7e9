"""Samples of other kinds: fields with delimiters between, compressed and broken files, and what is no sample."""

import gzip
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardlake.app.proposal.propose import Checked, Proposal, check, propose
from shardlake.app.proposal.sample import Sample, read_sample
from shardlake.core.errors import ConfigError

EVENT = '{"ts":"2026-03-01T10:00:00Z","n":1}\n'


def of(text: str, file: str = "sample.csv") -> tuple[Proposal, Checked]:
    sample = Sample(Path(file), text.encode(), is_whole=True)
    proposal = propose(sample, "events")
    return proposal, check(proposal, sample)


def declared(proposal: Proposal) -> dict[str, Any]:
    return tomllib.loads(proposal.files["pack.toml"])


def types(proposal: Proposal) -> dict[str, str]:
    columns = declared(proposal)["columns"]
    return {name: told if isinstance(told, str) else told["type"] for name, told in columns.items()}


# ---------------------------------------------------------------------------------------------------- delimited


def test_a_csv_file_with_names_is_read_by_them() -> None:
    proposal, checked = of('Time,User Id,note,paid\n2026-03-01T10:00:00Z,7,"a, b",1.50\n2026-03-01T10:00:01Z,8,,2\n')
    told = declared(proposal)
    assert (told["format"], told["header"], told.get("delimiter", ",")) == ("csv", True, ",")
    assert types(proposal) == {"Time": "TIMESTAMP", "User_Id": "BIGINT", "note": "VARCHAR", "paid": "DECIMAL(15,2)"}
    assert checked.rows["note"].to_pylist() == ["a, b", None] and not checked.letters
    assert '# fields = ["Time", "User Id", "note", "paid"]' in proposal.files["pack.toml"]


def test_fields_without_names_are_numbered() -> None:
    proposal, checked = of("2026-03-01\tx\t007\n2026-03-02\ty\t008\n", "sample.tsv")
    told = declared(proposal)
    assert (told["format"], told["fields"], "header" in told) == ("tsv", ["f1", "f2", "f3"], False)
    assert types(proposal) == {"f1": "TIMESTAMP", "f2": "VARCHAR", "f3": "VARCHAR"}
    assert checked.rows.num_rows == 2


@pytest.mark.parametrize("delimiter", [";", "|"])
def test_other_delimiters_are_seen(delimiter: str) -> None:
    text = "\n".join(
        delimiter.join(line) for line in (("time", "a"), ("2026-03-01T10:00:00Z", "1,5"), ("2026-03-02", "x"))
    )
    proposal, checked = of(text)
    assert declared(proposal)["delimiter"] == delimiter
    assert checked.rows["a"].to_pylist() == ["1,5", "x"]


def test_names_of_fields_may_be_odd_or_missing() -> None:
    proposal, checked = of(',time,"a ""b""",[x],é,#\n1,2026-03-01,2,4,5,6\n')
    assert not checked.letters and checked.rows.num_rows == 1
    assert [checked.rows[name].to_pylist() for name in types(proposal)][1:] == [[2], [4], [5], [6]]
    assert list(types(proposal))[:4] == ["time", "a_b", "x", "e"]
    assert "# left out: (without a name)" in proposal.files["pack.toml"]


def test_names_that_differ_in_capitals_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="calls more than one field 'time', capitals or not"):
        of("time,TIME\n2026-03-01,x\n")


def test_words_for_no_value_among_numbers_are_null() -> None:
    proposal, checked = of("time,n,word,x\n2026-03-01,1,-,a\n2026-03-02,N/A,-,b\nnull,3,c,?\n2026-03-04,4,d,?\n")
    assert declared(proposal)["nulls"] == ["", "null", "N/A"]
    assert types(proposal) == {"time": "TIMESTAMP", "n": "BIGINT", "word": "VARCHAR", "x": "VARCHAR"}
    assert [(x.index, str(x.reason)) for x in checked.letters] == [(3, "missing")]
    assert checked.rows["n"].to_pylist() == [1, None, 4] and checked.rows["word"].to_pylist() == ["-", "-", "d"]


def test_lines_that_do_not_fit_are_named() -> None:
    _, checked = of("time,a\n2026-03-01,1\n2026-03-02\n2026-03-03,3,3\n" + "2026-03-04,4\n" * 10)
    assert [(x.index, str(x.reason)) for x in checked.letters] == [(2, "too_few_fields"), (3, "too_many_fields")]


_CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5) | st.integers().map(str) | st.just("")


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=6), st.booleans(), st.sampled_from(",;\t"))
def test_what_stands_in_fields_is_read_again(rows: list[tuple[str, str]], has_header: bool, delimiter: str) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [delimiter.join(["2026-03-01T10:00:00Z", quoted(a), quoted(b)]) for a, b in rows]
    proposal, checked = of("\n".join([*([delimiter.join(["time", "f2", "f3"])] if has_header else []), *lines]))
    assert not checked.letters
    for name, cells in (("f2", [a for a, _ in rows]), ("f3", [b for _, b in rows])):
        if any(cells):
            read = [value if value is None else str(value) for value in checked.rows[name].to_pylist()]
            assert types(proposal)[name] != "VARCHAR" or read == [cell or None for cell in cells]
        else:
            assert name not in types(proposal)


# -------------------------------------------------------------------------------------------------------- files


def test_the_first_lines_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(EVENT.encode() * 100))
    sample = read_sample(path, lines_max=30)
    assert (sample.block.decode(), sample.is_whole, sample.name) == (EVENT * 30, False, "a")
    assert read_sample(path).is_whole


def test_a_broken_gzip_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    whole = gzip.compress(
        b"".join(json.dumps({"ts": "2026-03-01", "n": i * 7919 % 10_007}).encode() + b"\n" for i in range(100_000))
    )
    path.write_bytes(whole[: len(whole) - 9])
    sample = read_sample(path, lines_max=1 << 20)
    assert not sample.is_whole and sample.block.count(b"\n") > 1000
    path.write_bytes(whole[:2] + b"nonsense, and no gzip")
    with pytest.raises(ConfigError, match="begins like gzip and cannot be unpacked"):
        read_sample(path)


NO_SAMPLE = {
    b"": "holds no lines",
    b" \n\n": "holds no lines",
    b"PAR1\x15\x04": "is a Parquet file: a sample is lines",
    b"\xff\xfe{\x00": "is UTF-16",
    b'{"a":1}\0\n': "is binary",
    b"PK\x03\x04": "is a zip archive",
}


@pytest.mark.parametrize("data", NO_SAMPLE)
def test_what_holds_no_lines_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=NO_SAMPLE[data]):
        read_sample(path)


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_sample(tmp_path / "none")
    with pytest.raises(ConfigError, match="is no file: name one with lines in it"):
        read_sample(tmp_path)


OTHER_SHAPES = {
    '[{"a":1},{"a":2}]': r"is one JSON array: write one object a line, such as with jq -c '\.\[\]' sample.csv",
    '[\n{"a":1},\n{"a":2}\n]\n': "is one JSON array",
    "[1, 2]\n[3, 4]\n": "is one JSON array",
    '{\n  "a": 1,\n  "b": 2\n}\n': r"is JSON over several lines: .* jq -c \. sample.csv",
    '{"a": 1,\n "b": 2}\n': "is JSON over several lines",
    '{"a": 1, "b"\n': "is JSON over several lines",
    "just words\nand more of them here\n": "the lines are no JSON objects, and have no number of fields in common",
    "1.2.3.4 - - [01/Mar/2026:10:00:00 +0000] x\n": "declared as `log`: see docs/packs/README.md",
    "[01/Mar/2026:10:00:00 +0000] x y\n": "the lines are no JSON objects",
}  # fmt: skip


@pytest.mark.parametrize("text", OTHER_SHAPES)
def test_what_is_not_one_event_a_line_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match=OTHER_SHAPES[text]):
        of(text)


def test_broken_lines_do_not_hide_what_the_others_are() -> None:
    _, checked = of("{broken\n\ufeff" + EVENT + "\n" + EVENT * 8 + '[]\n{"ts":', "sample.jsonl")
    assert checked.rows.num_rows == 9
    assert [x.index for x in checked.letters] == [0, 11, 12]

"""The plain count: small files by hand, and the demo's own logs against the producer's log."""

import gzip
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shardlake.app.demo.check import lacking, miscounted
from shardlake.app.demo.generator import Produced, collect, write_logs
from shardlake.app.demo.lines import Bot, distribution_of, plain_agent
from shardlake.app.demo.oracle import Covered, Cut, Oracle, compare, reached

NAME = "E2QWRUHAPOMQZL.2026-03-17-09.0011aabb.gz"
HEADER = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs(Host) cs(User-Agent) x-edge-request-id\n"
AT = datetime(2026, 3, 17, 9, 7)


def classify(agent: str | None) -> Bot:
    return (agent is not None and "bot" in agent, "search" if agent else None, agent)


def line(
    key: str, sent: str = "10", *, clock: str = "09:07:59", ip: str = "192.0.2.1", agent: str = "a%2520bot"
) -> str:
    return f"2026-03-17\t{clock}\tSEA19-C2\t{sent}\t{ip}\td1.cloudfront.net\t{agent}\t{key}\n"


def put(folder: Path, text: str | bytes, name: str = NAME) -> str:
    raw = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return name


def whole(*names: str) -> Cut:
    return {"b0": [Covered(name) for name in names]}


def test_counts_by_view(tmp_path: Path) -> None:
    name = put(tmp_path, HEADER + line("k1") + line("k2", "32", clock="09:08:00"))
    expected = Oracle(tmp_path, classify).at(whole(name))
    later = AT.replace(minute=8)
    assert expected.views["viewers"] == {(AT.replace(minute=5), "192.0.2.1"): (2, 42)}
    assert expected.views["bandwidth"] == {
        (AT, "E2QWRUHAPOMQZL", "SEA19-C2"): (1, 10),
        (later, "E2QWRUHAPOMQZL", "SEA19-C2"): (1, 32),
    }
    assert expected.views["bots"] == {(AT, True, "search", "a bot"): (1, 10), (later, True, "search", "a bot"): (1, 32)}


def test_nulls_are_keys_and_add_nothing(tmp_path: Path) -> None:
    name = put(tmp_path, HEADER + line("-", "-", agent="-") + line("-", "-", agent="-") + line("-", "5", agent="-"))
    oracle = Oracle(tmp_path, classify)
    assert oracle.at({"b": [Covered(name, 4)]}).views["bots"] == {(AT, False, None, None): (2, None)}
    assert oracle.at(whole(name)).views["bots"] == {(AT, False, None, None): (3, 5)}


@pytest.mark.parametrize(
    "bad",
    [
        b"2026-03-17\t09:07:59\tSEA19-C2\n",
        line("k9", "12kB").encode(),
        line("k9", clock="09:61:00").encode(),
        line("k9", clock="-").encode(),
        line("k9").replace("SEA19", "SE\udcffA").encode("utf-8", "surrogateescape"),
        line("k9", "9223372036854775808").encode(),
        line("k9", "").encode(),
        line("k9", clock="24:00:00").encode(),
        b"x" * 1_000_000 + b"\n",
        b"k9\t" + line("k9").encode(),
    ],
)
def test_a_bad_line_is_no_event_and_its_id_is_not_seen(tmp_path: Path, bad: bytes) -> None:
    name = put(tmp_path, HEADER.encode() + bad + line("k9").encode())
    expected = Oracle(tmp_path, classify).at(whole(name))
    assert (expected.events, expected.duplicates, expected.broken) == (1, 0, 1)


def test_an_id_counts_once_in_its_bucket_and_the_first_place_wins(tmp_path: Path) -> None:
    first = put(tmp_path, HEADER + line("k1", "1") + line("k1", "2"))
    second = put(tmp_path, HEADER + line("k1", "4") + line("k2", "8"), NAME.replace("0011", "9911"))
    key = (AT, "E2QWRUHAPOMQZL", "SEA19-C2")
    oracle = Oracle(tmp_path, classify)
    assert oracle.at(whole(first, second)).views["bandwidth"] == {key: (2, 9)}
    assert oracle.at(whole(second, first)).views["bandwidth"] == {key: (2, 12)}
    apart: Mapping[str, Sequence[Covered]] = {"b0": [Covered(first)], "b1": [Covered(second)]}
    assert oracle.at(apart).views["bandwidth"] == {key: (3, 13)}


def test_a_file_is_covered_up_to_a_physical_line(tmp_path: Path) -> None:
    name = put(tmp_path, HEADER + line("k1") + "broken\n" + line("k2") + HEADER + line("k3"))
    counts = [Oracle(tmp_path, classify).at({"b": [Covered(name, upto)]}) for upto in range(9)]
    assert [count.events for count in counts] == [0, 0, 0, 1, 1, 2, 2, 2, 3]
    assert [count.broken for count in counts] == [0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_a_header_in_the_middle_changes_the_columns(tmp_path: Path) -> None:
    other = "#Fields: time date c-ip\n09:07:00\t2026-03-17\t192.0.2.9\n"
    name = put(tmp_path, HEADER + line("k1") + other)
    views = Oracle(tmp_path, classify).at(whole(name)).views
    assert views["bandwidth"][(AT, "E2QWRUHAPOMQZL", None)] == (1, None)


def test_plain_files_and_foreign_names_go_by_the_domain(tmp_path: Path) -> None:
    name = put(tmp_path, HEADER + line("k1").rstrip("\n"), "access.log")
    views = Oracle(tmp_path, classify).at(whole(name)).views
    assert list(views["bandwidth"]) == [(AT, "d1.cloudfront.net", "SEA19-C2")]
    assert distribution_of("logs/prodE2QWRUHAPOMQZL.2026-03-17-09.x.gz") == "E2QWRUHAPOMQZL"
    assert distribution_of("E2QWRUHAPOMQZL.2026-03-17-09.x/access.log") is None
    assert distribution_of("logs/E2QWRUHAPOMQZL.2026-03-17-09.x.gz") == "E2QWRUHAPOMQZL"


def test_blank_lines_line_ends_and_spaces_are_nothing(tmp_path: Path) -> None:
    text = (
        "\ufeff"
        + HEADER.replace("\n", "\r\n")
        + "\r\n  \n"
        + line("k1", " 7 ").replace("\n", " \r\n")
        + "\n"
        + line("k1")
    )
    expected = Oracle(tmp_path, classify).at(whole(put(tmp_path, text)))
    assert (expected.events, expected.duplicates, expected.broken) == (1, 1, 0)
    assert list(expected.views["viewers"].values()) == [(1, 7)]


def test_lines_before_any_header_are_broken(tmp_path: Path) -> None:
    assert Oracle(tmp_path, classify).at(whole(put(tmp_path, line("k1") + HEADER))).broken == 1


def test_a_line_that_is_too_long_is_broken(tmp_path: Path) -> None:
    name = put(tmp_path, HEADER + line("k1", agent="x" * 300) + line("k1"))
    assert Oracle(tmp_path, classify, line_bytes_max=200).at(whole(name)).broken == 1


def test_a_gzip_counts_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    random = Random(1)
    text = HEADER + "".join(line(f"{random.getrandbits(256):x}") for _ in range(400))
    packed = gzip.compress(text.encode())

    def count(content: bytes) -> tuple[int, int]:
        (tmp_path / NAME).write_bytes(content)
        expected = Oracle(tmp_path, classify).at(whole(NAME))
        return expected.events, expected.broken

    assert count(packed + gzip.compress(line("k1").encode())) == (401, 0)
    assert count(packed + b"\0" * 9) == (400, 0)
    assert count(packed + b"more") == (400, 1)
    events, broken = count(packed[: len(packed) // 2])
    assert 100 < events < 300
    assert broken == 1
    assert count(packed[:-8] + b"\xff" * 8) == (400, 1)
    spoiled = bytearray(packed)
    spoiled[len(packed) // 2 :] = b"\xff" * (len(packed) - len(packed) // 2)
    assert count(bytes(spoiled))[0] < 400


def test_a_position_says_what_a_bucket_covers() -> None:
    names = ["a", "b", "c"]
    assert reached(names, 0, 0) == ()
    assert reached(names, 0, 7) == (Covered("a", 7),)
    assert reached(names, 2, 0) == (Covered("a"), Covered("b"))
    assert reached(names, 2, 3) == (Covered("a"), Covered("b"), Covered("c", 3))


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("a b", "a b"),
        ("a%20b", "a b"),
        ("a%2520b", "a b"),
        ("a%252520b", "a%20b"),
        ("100%", "100%"),
        ("%E8%9C%98", "蜘"),
    ],
)
def test_agents_are_decoded_at_most_twice(raw: str, plain: str) -> None:
    assert plain_agent(raw) == plain


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Produced]:
    folder = tmp_path_factory.mktemp("logs")
    return folder, collect(write_logs(folder, 3_000, 5, files=40, viewers=1_000), 3_000)


def cuts(produced: Produced) -> list[dict[str, list[Covered]]]:
    """A cut after each file, the file itself covered by half."""
    buckets: dict[str, list[Covered]] = {}
    found = []
    for file in produced.files:
        of = buckets.setdefault(file.name.rsplit(".", 2)[0], [])
        of.append(Covered(file.name, file.lines // 2))
        found.append({bucket: list(files) for bucket, files in buckets.items()})
        of[-1] = Covered(file.name)
    return [*found, buckets]


def test_the_whole_is_what_the_producer_put(logs: tuple[Path, Produced]) -> None:
    folder, produced = logs
    final = cuts(produced)[-1]
    expected = Oracle(folder, classify).at(final)
    assert lacking(produced, final) == ()
    assert miscounted(produced, expected) == ()
    for view in expected.views.values():
        assert sum(requests for requests, _ in view.values()) == produced.distinct


def test_growing_cuts_are_counted_as_if_each_stood_alone(logs: tuple[Path, Produced]) -> None:
    folder, produced = logs
    growing = Oracle(folder, classify)
    every = [(cut, growing.at(cut)) for cut in cuts(produced)]
    alone = Oracle(folder, classify)
    for cut, expected in every[::-6]:  # backwards: no cut holds the one before, so each begins again
        assert alone.at(cut) == expected


def test_a_final_cut_that_lacks_something_is_found_out(logs: tuple[Path, Produced]) -> None:
    _, produced = logs
    names = [file.name for file in produced.files]
    cut = {"b0": [Covered(name) for name in names[2:]], "b1": [Covered(names[1], 5), Covered(names[2])]}
    text = "; ".join(lacking(produced, cut))
    assert f"{names[0]} is not in the cut" in text
    assert f"{names[1]} is covered up to line 5" in text
    assert f"{names[2]} is in the cut 2 times" in text
    assert "buckets" in text


def test_a_wrong_count_is_found_out(logs: tuple[Path, Produced]) -> None:
    folder, produced = logs
    part = Oracle(folder, classify).at(whole(produced.files[0].name))
    assert [text.split(":")[0] for text in miscounted(produced, part)] == ["events", "duplicates", "broken lines"]


def test_a_comparison_goes_both_ways() -> None:
    expected = {("a", 1): (1, 10), ("b", 1): (2, None), ("c", None): (3, 30)}
    rows: list[tuple[Any, ...]] = [("a", 1, 1, 10), ("b", 1, 2, None), ("c", None, 3, 30)]
    assert compare(expected, rows).total == 0
    assert compare(expected, rows).compared == 3
    assert compare(expected, rows[1:]).missing == 1
    assert compare(expected, [*rows, ("d", 1, 1, 1)]).surplus == 1
    assert compare(expected, [*rows, rows[0]]).surplus == 1
    wrong = compare(expected, [("a", 1, 1, 11), *rows[1:]])
    assert (wrong.different, wrong.total, wrong.compared) == (1, 1, 3)
    assert "expected (1, 10), got (1, 11)" in wrong.examples[0]
    assert compare({}, [("a", 1, 1, 10)], keys=2).surplus == 1

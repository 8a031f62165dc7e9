"""The documents hang together: links and named places exist, decisions are listed, words are those of the glossary."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.long import LONG
from shardlake.app.settings import settings
from shardlake.core.algebra import AGGREGATES
from shardlake.packs.pack import Reason

WORDS = (
    "source", "shard", "record", "sequence number", "position", "SeqRange", "event", "weight", "chunk", "segment",
    "partial", "partial / combine / finalize", "journal", "lane", "entry", "master dataset", "batch view",
    "realtime view", "cut", "seam", "dedup scope", "watermark", "read plan", "pack",
)  # fmt: skip
# What the glossary has another word for, or what says nothing.
BANNED = (
    "micro-?batch", "high[- ]water", "materiali[sz]ed view", "dead[- ]letter queue", "exactly[- ]once", "checkpoint",
    "consumer group", "continuous quer", "delta layer", "hot path", "cold path", "event log",
    "robust", "powerful", "seamless", "blazing", "cutting[- ]edge", "state[- ]of[- ]the[- ]art", "world[- ]class",
    "leverag", "effortless", "simply", "tbd", "todo", "lorem",
)  # fmt: skip
PARTS = ("Context", "Decision", "Alternatives", "Consequences")

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PLACE = re.compile(r"`([\w./-]+\.(?:py|sql|md|toml))(?:(::?)([\w.]+))?`")
_SETTING = re.compile(r"`((?:source|protect|views|query|batch|limits)\.(?!py\b|json\b)[a-z_]+)\b")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def documents(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def prose(path: Path) -> str:
    return _FENCE.sub("", path.read_text("utf-8"))


# ------------------------------------------------------------------------------------------------------- places


def test_links_lead_somewhere(root: Path) -> None:
    broken = [f"{path.relative_to(root)}: {link}" for path in documents(root) for link in broken_links(path)]
    assert not broken


def broken_links(path: Path) -> Iterator[str]:
    for link in _LINK.findall(prose(path)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in slugs(target)):
            yield link


def slugs(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `title` here\n[good](#a-title-here) [bad](#other) [gone](gone.md) [out](https://example.org)")
    assert list(broken_links(page)) == ["#other", "gone.md"]


def test_named_places_in_the_code_exist(root: Path) -> None:
    missing = [
        f"{path.relative_to(root)}: {place}"
        for path in documents(root)
        if path.name != "CONTRIBUTING.md"  # its names are examples of what to write
        for place in missing_places(root, prose(path))
    ]
    assert not missing


def missing_places(root: Path, text: str) -> Iterator[str]:
    for file, _, name in _PLACE.findall(text):
        if "/" in file and not ((root / file).exists() and (not name or is_defined(root / file, name))):
            yield f"{file}:{name}"


@cache
def is_defined(path: Path, name: str) -> bool:
    """Tell whether a module has a function, class or method of a dotted name."""
    body: list[ast.stmt] = ast.parse(path.read_text("utf-8")).body
    for part in name.split("."):
        found = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_a_place_that_is_gone_is_noticed(root: Path) -> None:
    text = "`streams/lane.py:Lane.commit` `streams/lane.py:Lane.vanish` `streams/gone.py` `tests/conftest.py::no`"
    assert list(missing_places(root, text)) == [
        "streams/lane.py:Lane.vanish", "streams/gone.py:", "tests/conftest.py:no",
    ]  # fmt: skip


def test_every_package_is_on_the_map_with_its_invariant(root: Path) -> None:
    text = (root / "ARCHITECTURE.md").read_text("utf-8")
    found = dict(re.findall(r"^\*\*`([\w/]+)/`\*\* ((?:(?!^\*\*`).)*?^Invariant: .)", text, re.MULTILINE | re.DOTALL))
    inside = {f"shardlake/{folder.parent.name}" for folder in (root / "shardlake").glob("*/__init__.py")}
    assert {"streams", "batch", "serving", "tests", *inside} <= set(found)


# ------------------------------------------------------------------------------------------------------- facts


def test_named_settings_exist(root: Path) -> None:
    named = {name for path in documents(root) for name in _SETTING.findall(prose(path))}
    assert len(named) > 10
    assert named - set(settings()) == set()


def test_named_targets_of_make_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for path in documents(root) for name in re.findall(r"`make ([a-z]+)\b", prose(path))}
    assert named and named <= targets


def test_every_benchmark_is_described(root: Path) -> None:
    text = (root / "docs" / "benchmarks.md").read_text("utf-8")
    for verb, names in (("bench", BENCHMARKS), ("long", LONG)):
        assert set(re.findall(rf"`make {verb} NAME=(\w+)`", text)) == set(names)


def test_every_reason_of_a_dead_letter_is_explained(root: Path) -> None:
    text = (root / "docs" / "operations.md").read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in (root / "streams" / "sources").glob("*.py"))
    raised = set(re.findall(r"""(?:Broken|fault|_without)\([^"\n]*"([a-z]+_[a-z_]+)",""", sources))
    assert {"truncated_gzip", "object_changed", "line_too_long"} <= raised
    assert {reason for reason in raised | {r.value for r in Reason} if f"`{reason}`" not in text} == set()


def test_the_number_of_aggregates_is_right(root: Path) -> None:
    for name in ("CHANGELOG.md", "docs/decisions/0002-closed-algebra-and-compiler.md"):
        assert (len(AGGREGATES) == 16) == ("sixteen aggregates" in (root / name).read_text("utf-8").lower()), name


# --------------------------------------------------------------------------------------------------- decisions


def test_every_decision_is_listed_and_whole(root: Path) -> None:
    folder = root / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    for path in pages:
        text = path.read_text("utf-8")
        title = re.match(r"# \d{4} (.+)\n", text)
        assert title and f"[{title[1]}]({path.name})" in index
        assert "\nStatus: " in text
        assert [part for part in PARTS if f"\n## {part}\n" not in text] == []


# ------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("word", WORDS)
def test_the_glossary_has_a_meaning_and_an_example_for_each_word(root: Path, word: str) -> None:
    rows = [line for line in (root / "GLOSSARY.md").read_text("utf-8").splitlines() if line.startswith(f"| **{word}**")]
    assert len(rows) == 1
    assert [cell for cell in rows[0].strip("|").split(" | ") if not cell.strip()] == []


def test_no_other_words_are_used(root: Path) -> None:
    pattern = re.compile(rf"\b(?:{'|'.join(BANNED)})", re.IGNORECASE)
    found = [
        f"{path.relative_to(root)}: {match[0]}" for path in documents(root) for match in pattern.finditer(prose(path))
    ]
    assert not found


def test_the_watermark_is_only_disclaimed(root: Path) -> None:
    assert [p.name for p in documents(root) if "watermark" in prose(p).lower()] == ["GLOSSARY.md"]

"""The page of published bugs tells of every patch there is, and each was found in time."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.run import (
    BEGIN,
    BROKEN,
    END,
    KILLED,
    PAGE,
    SEEDS,
    SURVIVED,
    BadPatch,
    Mutant,
    Outcome,
    Story,
    judge,
    read,
    rows_of,
)

ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<seed>[^|]+) \| (?P<rule>[^|]*) \|$")
HEADER = "# invariant: 2 nothing is lost\n"
# Stands for the simulator: says which seed breaks a rule, if the expression is true of lib.ONE.
SIMULATION = """
import lib, sys
if {breaks}:
    print("seed 3: ranges tile a shard: ValueError: there is a hole")
    sys.exit(1)
"""
DIFF = "--- a/lib.py\n+++ b/lib.py\n@@ -1 +1 @@\n-ONE = 1\n+ONE = 2\n"


def _table(root: Path) -> list[str]:
    return (root / PAGE).read_text().partition(BEGIN)[2].partition(END)[0].split("\n")


def _patches(root: Path) -> Iterator[Mutant]:
    return (read(patch) for patch in sorted((root / "tests/mutants").glob("published_*.patch")))


def test_the_table_has_a_row_for_each_published_bug_and_no_others(root: Path) -> None:
    told = [line.rsplit(" | ", 2)[0] for line in _table(root) if line.startswith("| ")]
    made = [line.rsplit(" | ", 2)[0] for line in rows_of(Outcome(mutant, "") for mutant in _patches(root))]
    assert told == [line for line in made if line.startswith("| ")]
    assert len(told) > 50


def test_every_published_bug_was_found_within_the_seeds(root: Path) -> None:
    rows = [ROW.search(line) for line in _table(root) if line.startswith("| ") and "`" in line]
    assert rows
    for row in rows:
        assert row is not None
        seed, _, mode = row["seed"].partition(" ")
        assert int(seed.replace(",", "")) < SEEDS, row["name"]
        assert mode in ("", "(duckdb)")
        assert row["rule"]


def test_the_page_names_defects_that_there_are(root: Path) -> None:
    page = (root / PAGE).read_text().partition(END)[2]
    named = set(re.findall(r"`(\w+_\w+_\w+)`", page))
    there = {patch.stem.removeprefix("published_") for patch in (root / "tests/mutants").glob("*.patch")}
    assert named
    assert named <= there


def test_what_has_no_patch_is_told_once_and_with_a_reason(root: Path) -> None:
    page = (root / PAGE).read_text()
    first, _, second = page.partition(END)
    rows = [line.strip("| ").split(" | ") for line in second.split("\n") if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if len(row) != 3 or not all(row)] == []
    told = [(who, what) for who, what, _ in rows]
    assert len(set(told)) == len(told)
    assert [what for _, what in told if f" | {what} | " in first] == []


def test_a_published_bug_names_its_story_and_no_tests(tmp_path: Path) -> None:
    patch = tmp_path / "published_one.patch"
    patch.write_text(
        f"{HEADER}# published: A | a#1 | x is lost\n# published: B | b#2 | y is lost\n# here: z is\n{DIFF}"
    )
    mutant = read(patch)
    assert mutant.kills == ()
    assert mutant.story == Story((("A", "a#1", "x is lost"), ("B", "b#2", "y is lost")), "z is", "multiset")


@pytest.mark.parametrize(
    "lines", ["# kills: a.py::test_b\n", "# published: A | a#1 | x\n", "# published: A | a#1\n# here: z\n"]
)
def test_a_published_bug_without_its_story_is_refused(tmp_path: Path, lines: str) -> None:
    patch = tmp_path / "published_one.patch"
    patch.write_text(HEADER + lines + DIFF)
    with pytest.raises(BadPatch, match=r"published_one\.patch"):
        read(patch)


@pytest.mark.parametrize(
    ("breaks", "result"), [("lib.ONE == 2", KILLED), ("False", SURVIVED), ("True", BROKEN), ("nonesuch", BROKEN)]
)
def test_a_published_bug_is_judged_by_schedules_alone(tmp_path: Path, breaks: str, result: str) -> None:
    tree = tmp_path / "tree"
    package = tree / "shardlake" / "testing" / "simulation"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "__main__.py").write_text(SIMULATION.format(breaks=breaks))
    (tree / "lib.py").write_text("ONE = 1\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    patch = tmp_path / "published_one.patch"
    patch.write_text(f"{HEADER}# published: A | a#1 | x is lost\n# here: z is\n{DIFF}")
    outcome = judge(read(patch), tree)
    assert outcome.result == result
    if result == KILLED:
        assert (outcome.seed, outcome.rule) == (3, "ranges tile a shard: ValueError")

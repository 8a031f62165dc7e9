"""Put each committed defect into a copy of the tree, and see that its tests catch it.

    python tests/mutants/run.py            all patches
    python tests/mutants/run.py NAME ...   some of them
    python tests/mutants/run.py --check    only see that every patch is well formed and still applies
    python tests/mutants/run.py --published                  the defects of others, which simulated schedules find
    python tests/mutants/run.py --published --write-table    and the table of docs/published-bugs.md

A patch `tests/mutants/NAME.patch` is a unified diff under comment lines that say which invariant it breaks and
which tests must notice:

    # invariant: 2 chain: per shard each `after` is the previous `upto`
    # kills: tests/laws/test_chain.py::test_a_hole_is_refused

A defect is killed when a named test runs and fails. A test that cannot be collected, a run that is not over
after `TEST_SECONDS_MAX`, or a patch that no longer applies, is a fault of the patch and not a kill.

A patch `published_NAME.patch` makes a mistake here that another project has made and that is published. It names no
tests: it is killed when one of the first `SEEDS` simulated schedules breaks a rule, and does not without it.

    # invariant: 2 nothing is lost
    # published: project | source | what goes wrong there
    # here: what goes wrong here
    # mode: duckdb
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FOLDER: Final = Path("tests/mutants")
PACKAGES: Final = ("shardlake", "streams", "batch", "serving")
TEST_SECONDS_MAX: Final = 300
SEEDS: Final = 10_000
SEEDS_SECONDS_MAX: Final = 3600
JOBS: Final = 2
PAGE: Final = Path("docs/published-bugs.md")
BEGIN: Final = "<!-- measured: tests/mutants/run.py --published --write-table -->"
END: Final = "<!-- end -->"

KILLED: Final = "killed"
PARTS: Final = ("project", "source", "what goes wrong")
SURVIVED: Final = "SURVIVED"
BROKEN: Final = "BROKEN"

_HEADER = re.compile(r"^# (invariant|kills|published|here|mode): *(.+)$", re.MULTILINE)
_SEED = re.compile(r"^seed (\d+): (.+)$", re.MULTILINE)
_FAILED = re.compile(r"\b\d+ failed\b")


class BadPatch(Exception):
    """A patch has no header, or does not apply; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Story:
    """What others published, each as (project, source, what goes wrong there), and the same mistake here."""

    published: tuple[tuple[str, str, str], ...]
    here: str
    mode: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One committed defect: its patch, the invariant that it breaks, and the tests or the story that tell."""

    name: str
    patch: Path
    invariant: str
    kills: tuple[str, ...]
    story: Story | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one mutant, with the end of the output where it was not killed.

    A published one that was killed has the seed of the schedule, and the rule that was broken.
    """

    mutant: Mutant
    result: str
    detail: str = ""
    seed: int = -1
    rule: str = ""


def read(patch: Path) -> Mutant:
    """Read a patch's header. Raises: BadPatch where a line lacks."""
    header = patch.read_text(encoding="utf-8").partition("\n--- ")[0]
    lines: dict[str, list[str]] = {"invariant": [], "kills": [], "published": [], "here": [], "mode": []}
    for key, text in _HEADER.findall(header):
        lines[key].append(text.strip())
    tells = ("published", "here") if patch.name.startswith("published_") else ("kills",)
    if not all(lines[key] for key in ("invariant", *tells)):
        named = " and ".join(f"`# {key}: ...`" for key in tells)
        raise BadPatch(f"{patch.name} needs the lines `# invariant: N text` and {named} above its diff")
    kills = tuple(test for text in lines["kills"] for test in text.split())
    story = _story(patch, lines) if lines["published"] else None
    return Mutant(patch.stem, patch, " ".join(lines["invariant"]), kills, story)


def _story(patch: Path, lines: Mapping[str, Sequence[str]]) -> Story:
    published = []
    for text in lines["published"]:
        parts = [part.strip() for part in text.split("|")]
        if len(parts) != len(PARTS) or not all(parts):
            raise BadPatch(f"{patch.name}: `# published: {text}` has not the parts {', '.join(PARTS)}")
        published.append((parts[0], parts[1], parts[2]))
    return Story(tuple(published), " ".join(lines["here"]), lines["mode"][0] if lines["mode"] else "multiset")


def tracked_files(root: Path) -> list[str]:
    """List the tree's files: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (root / name).is_file())


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Give a fresh copy of the tree in a repository of its own, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder).resolve() / root.name
        for name in tracked_files(root):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, copy / name)
        subprocess.run(["git", "init", "--quiet"], cwd=copy, env=environment(copy), check=True)
        yield copy


def environment(copy: Path) -> dict[str, str]:
    """Make the environment in which the copy's packages win over the installed ones.

    No bytecode is written: a patch that keeps a file's size, within the second, would leave a stale one valid.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def apply(mutant: Mutant, copy: Path) -> None:
    """Apply a patch to a copy. Raises: BadPatch if it does not fit, or what it makes is not Python."""
    command = ["git", "apply", "--whitespace=nowarn", str(mutant.patch)]
    ran = subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BadPatch(f"{mutant.patch.name} does not apply: {ran.stderr.strip()}")
    for name in re.findall(r"^\+\+\+ b/(\S+\.py)", mutant.patch.read_text(encoding="utf-8"), re.MULTILINE):
        try:
            compile((copy / name).read_text(encoding="utf-8"), name, "exec")
        except SyntaxError as error:
            raise BadPatch(f"{mutant.patch.name} makes {name} no Python: {error}") from error


def take_back(mutant: Mutant, copy: Path) -> None:
    """Undo what `apply` did; nothing if the patch did not fit."""
    command = ["git", "apply", "--reverse", "--whitespace=nowarn", str(mutant.patch)]
    subprocess.run(command, cwd=copy, env=environment(copy), capture_output=True, check=False)


def run_tests(copy: Path, tests: Iterable[str]) -> tuple[int | None, str]:
    """Run some tests in a copy. Returns pytest's exit code, None if it was not over in time, and its output."""
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=short"]
    return _ran(copy, ["pytest", *options, *tests], TEST_SECONDS_MAX)


def _ran(copy: Path, module: Sequence[str], seconds: float) -> tuple[int | None, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=copy,
        env=environment(copy),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, f"not over after {seconds} s"
    return process.returncode, output


def _simulated(copy: Path, mode: str, *what: str) -> tuple[int | None, str]:
    return _ran(copy, ["shardlake.testing.simulation", "--mode", mode, *what], SEEDS_SECONDS_MAX)


def judge(mutant: Mutant, root: Path = ROOT) -> Outcome:
    """Put one defect into a copy of the tree, run its tests there, and say what came of it."""
    with copy_of(root) as copy:
        try:
            apply(mutant, copy)
        except BadPatch as error:
            return Outcome(mutant, BROKEN, str(error))
        if mutant.story is not None:
            return _played(mutant, mutant.story, copy)
        code, output = run_tests(copy, mutant.kills)
    if code == 1 and _FAILED.search(output):
        return Outcome(mutant, KILLED)
    return Outcome(mutant, SURVIVED if code == 0 else BROKEN, _tail(output))


def _played(mutant: Mutant, story: Story, copy: Path) -> Outcome:
    """Look for a schedule that breaks a rule with a defect, and not without."""
    code, output = _simulated(copy, story.mode, "--count", str(SEEDS), "--stop-at-first")
    found = _SEED.search(output)
    if code != 1 or found is None:
        return Outcome(mutant, SURVIVED if code == 0 else BROKEN, _tail(output, 3 if code == 0 else 15))
    take_back(mutant, copy)
    code, output = _simulated(copy, story.mode, "--seed", found[1])
    if code:
        return Outcome(mutant, BROKEN, f"seed {found[1]} breaks a rule without the defect too: {_tail(output)}")
    rule, _, what = found[2].partition(": ")
    if error := re.match(r"([A-Z]\w+): ", what):
        rule = f"{rule}: {error[1]}"
    return Outcome(mutant, KILLED, f"by seed {found[1]}: {rule}", int(found[1]), rule)


def _tail(output: str, lines: int = 15) -> str:
    return "\n".join(output.strip().splitlines()[-lines:])


def sound(mutants: Sequence[Mutant]) -> str:
    """Run all the named tests without a defect, on the copy's own packages. Returns what is wrong, or nothing."""
    with copy_of(ROOT) as copy:
        where = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
        command = [sys.executable, "-c", where]
        # Not in the copy's folder: python -c would find the packages there in any case.
        loaded = subprocess.run(
            command, cwd=copy.parent, env=environment(copy), capture_output=True, text=True, check=False
        )
        if loaded.returncode or not all(file.startswith(str(copy)) for file in loaded.stdout.split()):
            return f"the copy's packages are not the ones that are imported:\n{loaded.stdout}{loaded.stderr}"
        tests = sorted({test for mutant in mutants for test in mutant.kills})
        code, output = run_tests(copy, tests) if tests else (0, "")
        return "" if code == 0 else f"the named tests must pass without a defect:\n{_tail(output, 40)}"


def check(mutants: Sequence[Mutant]) -> list[Outcome]:
    """Apply each patch to a copy, take it back, and name a file of each test; run nothing."""
    outcomes = []
    with copy_of(ROOT) as copy:
        for mutant in mutants:
            missing = [test for test in mutant.kills if not (ROOT / test.partition("::")[0]).is_file()]
            try:
                apply(mutant, copy)
                fault = f"no such test: {', '.join(missing)}" if missing else ""
            except BadPatch as error:
                fault = str(error)
            take_back(mutant, copy)
            outcomes.append(Outcome(mutant, BROKEN if fault else "applies", fault))
    return outcomes


def table(outcomes: Iterable[Outcome]) -> None:
    """Print a row for each mutant, and below it what went wrong."""
    for outcome in outcomes:
        print(f"{outcome.result:9} {outcome.mutant.name:32} {outcome.mutant.invariant}", flush=True)
        if outcome.detail:
            print("          " + outcome.detail.replace("\n", "\n          "))


def rows_of(outcomes: Iterable[Outcome]) -> list[str]:
    """Give the rows of the table of published defects: a row for each that was published."""
    rows = [
        "| published by | what goes wrong there | the mistake here | patch | dies at seed | of the rule |",
        "|---" * 6 + "|",
    ]
    for one in outcomes:
        if one.mutant.story is not None:
            story, name = one.mutant.story, one.mutant.name.removeprefix("published_")
            mode = "" if story.mode == "multiset" else f" ({story.mode})"
            seed = f"{one.seed:,}{mode}" if one.result == KILLED else f"none: {one.result}"
            rows += [
                f"| {project}: {source} | {what} | {story.here} | `{name}` | {seed} | {one.rule} |"
                for project, source, what in story.published
            ]
    return rows


def write(outcomes: Iterable[Outcome]) -> None:
    """Put the table of published defects into its page."""
    page = ROOT / PAGE
    head, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    page.write_text("\n".join([head + begin, "", *rows_of(outcomes), "", end + tail]), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for. Returns 0 only if every mutant was killed (or, for --check, applies)."""
    parser = argparse.ArgumentParser(prog="tests/mutants/run.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="patches to run; all, if none is named")
    parser.add_argument("--check", action="store_true", help="only see that each patch is well formed and applies")
    parser.add_argument("--published", action="store_true", help="those that others have published, and no others")
    parser.add_argument("--write-table", action="store_true", help="of --published, write what came of them")
    parser.add_argument("--jobs", type=int, default=JOBS, help="how many copies of the tree are at work at once")
    options = parser.parse_args(arguments)
    every = sorted((ROOT / FOLDER).glob("published_*.patch" if options.published else "*.patch"))
    patches = [patch for patch in every if patch.stem in options.names or not options.names]
    try:
        mutants = [read(patch) for patch in patches]
    except BadPatch as error:
        parser.exit(2, f"{error}\n")
    if unknown := set(options.names) - {mutant.name for mutant in mutants}:
        parser.exit(2, f"no such patch: {', '.join(sorted(unknown))}\n")
    if options.write_table and (options.names or not options.published):
        parser.exit(2, "--write-table wants --published, and no names\n")
    return _check(mutants) if options.check else _run(mutants, options.jobs, is_written=options.write_table)


def _check(mutants: Sequence[Mutant]) -> int:
    outcomes = check(mutants)
    table(outcomes)
    return int(any(outcome.result == BROKEN for outcome in outcomes))


def _run(mutants: Sequence[Mutant], jobs: int, *, is_written: bool) -> int:
    if mutants and (fault := sound(mutants)):
        print(fault)
        return 2
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for outcome in pool.map(judge, mutants):
            table([outcome])
            outcomes.append(outcome)
    if is_written:
        write(outcomes)
    killed = sum(outcome.result == KILLED for outcome in outcomes)
    broken = sum(outcome.result == BROKEN for outcome in outcomes)
    if broken:
        print(f"{broken} broken: no verdict from them, mend the patch or its tests")
    print(f"{killed} killed, {len(outcomes) - killed - broken} survived")
    return int(killed < len(outcomes))


if __name__ == "__main__":
    sys.exit(main())

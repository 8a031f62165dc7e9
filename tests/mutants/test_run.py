"""The committed defects still apply, and their runner tells a kill from a survivor and from a broken patch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.run import BROKEN, KILLED, SURVIVED, BadPatch, judge, read

HEADER = "# invariant: 0 numbers are one\n# kills: {kills}\n"
DIFF = "--- a/lib.py\n+++ b/lib.py\n@@ -1 +1 @@\n-ONE = 1\n+ONE = {value}\n"
TESTS = "import lib\ndef test_one(): assert lib.ONE == 1\ndef test_nothing(): pass\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / "lib.py").write_text("ONE = 1\n")
    (folder / "test_lib.py").write_text(TESTS)
    return folder


@pytest.mark.parametrize(
    ("kills", "value", "result"),
    [
        ("test_lib.py::test_one", "2", KILLED),
        ("test_lib.py::test_nothing", "2", SURVIVED),
        ("test_lib.py::test_gone", "2", BROKEN),
        ("test_lib.py::test_one", "nonesuch", BROKEN),
        ("test_lib.py::test_one", "(", BROKEN),
    ],
    ids=["killed", "survived", "no such test", "cannot be collected", "no Python"],
)
@pytest.mark.slow
def test_a_defect_is_judged(tree: Path, tmp_path: Path, kills: str, value: str, result: str) -> None:
    patch = tmp_path / "defect.patch"
    patch.write_text(HEADER.format(kills=kills) + DIFF.format(value=value))
    assert judge(read(patch), tree).result == result
    assert (tree / "lib.py").read_text() == "ONE = 1\n"


def test_a_patch_without_a_header_is_refused(tmp_path: Path) -> None:
    patch = tmp_path / "bare.patch"
    patch.write_text(DIFF.format(value=2))
    with pytest.raises(BadPatch, match=r"bare\.patch needs the lines"):
        read(patch)


def test_the_committed_patches_apply(root: Path) -> None:
    command = [sys.executable, "tests/mutants/run.py", "--check"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr

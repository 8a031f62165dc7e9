"""The kernel takes the clock and chance as arguments: it names neither, and nor does any layer."""

import subprocess
import sys
from pathlib import Path

import pytest

LINT = [
    str(Path(sys.executable).parent / "ruff"),
    "check",
    "--no-cache",
    "--select",
    "TID251,DTZ005,DTZ011,NPY002,S311",
]


def linted(root: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LINT, *paths], cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "folder", ["shardlake/core", "shardlake/adapters", "shardlake/packs", "streams", "batch", "serving"]
)
def test_clock_and_chance_are_arguments(root: Path, folder: str) -> None:
    ran = linted(root, folder)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    "line",
    [
        "import time\nX = time.time()",
        "from time import monotonic\nX = monotonic()",
        "import datetime\nX = datetime.datetime.now(datetime.UTC)",
        "import random\nX = random.random()",
        "import uuid\nX = uuid.uuid4()",
        "import secrets\nX = secrets.token_hex()",
    ],
)
def test_a_clock_or_chance_in_the_kernel_is_noticed(root: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "pyproject.toml").write_text((root / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "shardlake/core").mkdir(parents=True)
    (tmp_path / "shardlake/core/times.py").write_text(line + "\n", encoding="utf-8")
    assert "TID251" in linted(tmp_path, "shardlake/core").stdout

"""What is shipped is what was built: the wheel, installed alone, without the tree and its development tools."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

PACKAGES = ("shardlake", "streams", "batch", "serving")
UV = Path(sys.executable).parent / "uv"

pytestmark = pytest.mark.slow


def _run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    chosen = {name: value for name, value in kept.items() if name not in ("UV_PYTHON", "UV_PROJECT_ENVIRONMENT")}
    return subprocess.run(command, cwd=folder, env=chosen, capture_output=True, text=True, check=False)


def _uv(arguments: Sequence[str | Path], folder: Path) -> str:
    """Run uv from its cache, which the set-up has filled, and with the network only where that does not do."""
    ran = _run([UV, *arguments, "--offline"], folder)
    if ran.returncode:
        ran = _run([UV, *arguments], folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _uv(["build", "--wheel", "--python", sys.executable, "--out-dir", folder, root], root)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_four_packages_and_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_packages(root: Path, names: set[str]) -> None:
    """Views are SQL files, and tables of numbers are data: what is not Python is easily left behind."""
    there = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert there == {name for name in names if ".dist-info/" not in name}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_types_are_shipped(names: set[str], package: str) -> None:
    assert f"{package}/py.typed" in names


def test_the_wheel_works_alone(root: Path, wheel: Path, tmp_path: Path) -> None:
    locked = ["export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--quiet"]
    (tmp_path / "locked.txt").write_text(_uv([*locked, "--python", sys.executable], root))
    _uv(["venv", "--python", sys.executable, "clean"], tmp_path)
    python = tmp_path / "clean" / "bin" / "python"
    _uv(["pip", "install", "--python", python, "--requirement", "locked.txt", wheel], tmp_path)
    ran = _run([tmp_path / "clean" / "bin" / "shardlake", "--help"], tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Usage: shardlake" in ran.stdout
    where = _run([python, "-c", f"import {', '.join(PACKAGES)}; print(shardlake.__file__)"], tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(tmp_path), where.stderr

"""The arrows hold, and what must be light is light: static contracts, and what really gets imported.

The contracts between packages are in `pyproject.toml`; here they are run. A static contract does not see what
a library brings along, so a new process imports each light path and tells what it loaded.
"""

import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

LAYERS = ("streams", "batch", "serving")
KERNEL = {"adapters", "app", "core", "packs", "testing"}

# name: (packages whose modules are all imported, modules besides, modules left out, what must stay unloaded)
LIGHT_PATHS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "a consumer": (
        ("streams", "shardlake.core"),
        (),
        ("shardlake.core.compiler",),
        ("pandas", "pyiceberg", "polars", "sqlalchemy", "hypothesis"),
    ),
    "a query": (
        ("serving",),
        ("shardlake.app.main",),
        ("serving.frame",),
        ("pandas", "pyiceberg", "pyarrow", "sqlglot", "boto3", "botocore", "sqlalchemy", "hypothesis"),
    ),
    "the kernel": (
        ("shardlake.core",),
        (),
        ("shardlake.core.compiler",),
        ("pandas", "pyiceberg", "pyarrow", "duckdb", "sqlglot", "boto3", "botocore", "sqlite3"),
    ),
}

_IMPORT_ALL = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def _within(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _modules_of(root: Path, package: str) -> list[str]:
    folder = root / package.replace(".", "/")
    found = pkgutil.walk_packages([str(folder)], f"{package}.", onerror=lambda _: None)
    return [package, *(module.name for module in found)]


def _loaded_by(root: Path, modules: list[str]) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, json.dumps(modules)], cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout))


@pytest.mark.parametrize("path", LIGHT_PATHS)
def test_a_light_path_stays_light(root: Path, path: str) -> None:
    packages, besides, left_out, heavy = LIGHT_PATHS[path]
    modules = [module for package in packages for module in _modules_of(root, package)]
    chosen = [module for module in [*modules, *besides] if not _within(module, left_out)]
    loaded = _loaded_by(root, chosen) & set(heavy)
    assert not loaded, f"{path} must not load them: python -X importtime tells who does"


def test_the_contracts_hold(root: Path) -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ran = subprocess.run([*command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_package_has_a_place_in_the_arrows(root: Path) -> None:
    inside = {folder.name for folder in (root / "shardlake").iterdir() if (folder / "__init__.py").is_file()}
    assert inside == KERNEL, "a new package of shardlake wants a line in the layers contract of pyproject.toml"
    assert all((root / layer / "__init__.py").is_file() for layer in LAYERS)


def test_modules_of_the_kernel_package_itself_are_few(root: Path) -> None:
    """A file beside the packages would stand outside the arrows."""
    assert {file.name for file in (root / "shardlake").glob("*.py")} == {"__init__.py", "__main__.py"}

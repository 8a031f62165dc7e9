"""Every notebook runs from top to bottom, offline, on a copy of its folder, and fails if an answer is wrong."""

import ast
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets import default

NOTEBOOKS = (
    "bandwidth-by-edge",
    "late-data-and-the-seam",
    "top-viewers-and-how-exact-is-exact",
    "who-are-the-bots",
)
CELL_TIMEOUT_S = 180
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# The kernel, and every process that it starts, can speak to this machine alone.
OFFLINE = """
import socket

def refuse(self, address, _connect=socket.socket.connect):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a notebook must not reach {address}")
    return _connect(self, address)

socket.socket.connect = refuse
"""

OWN = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "TMPDIR")

# Longitude and latitude, off the lines of the graticule.
LAND = ((-98, 39), (-62, -5), (-42, 72), (10, 22), (13, 52), (88, 33), (100, 62), (134, -24))
SEA = ((-140, 5), (-35, 33), (3, 56), (18, 35), (51, 41), (80, -25))
MAP = """
import matplotlib.pyplot as plt
import numpy as np
import look

look.use()
figure, axes = plt.subplots()
look.world(axes)
figure.canvas.draw()
pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, :3]
plt.close(figure)

def colours(places):
    return {tuple(pixels[int(y), int(x)].tolist()) for x, y in axes.transData.transform(places)}
"""

Read = Callable[[str], NotebookNode]
Execute = Callable[[NotebookNode], None]


class ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs the tests, whatever else is installed under the name python3."""

    @default("kernel_spec_manager")
    def _only_ipykernels(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


@pytest.fixture
def read(root: Path) -> Read:
    def found(name: str) -> NotebookNode:
        text = (root / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        assert isinstance(notebook, NotebookNode)
        return notebook

    return found


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(root / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("__pycache__"))
    )


@pytest.fixture
def execute(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Execute]:
    """Run the cells in a kernel of this very Python; what Jupyter and matplotlib write goes to a folder of the test."""
    site, own = tmp_path / "site", tmp_path / "own"
    site.mkdir()
    (site / "sitecustomize.py").write_text(OFFLINE)
    for name in OWN:
        (own / name.lower()).mkdir(parents=True)
        monkeypatch.setenv(name, str(own / name.lower()))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def run(notebook: NotebookNode) -> None:
        NotebookClient(
            notebook,
            kernel_name="python3",
            kernel_manager_class=ThisPython,
            timeout=CELL_TIMEOUT_S,
            resources={"metadata": {"path": str(folder)}},
        ).execute()

    before = _listed(folder)
    yield run
    assert _listed(folder) == before, "a notebook leaves nothing beside itself"
    assert not _listed(own / "tmpdir"), "a notebook's sample vanishes with its kernel"


def _listed(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _changed(notebook: NotebookNode, old: str, new: str) -> NotebookNode:
    found = [cell for cell in _code(notebook) if old in cell.source]
    assert len(found) == 1, f"{old!r} is in {len(found)} cells"
    found[0].source = found[0].source.replace(old, new, 1)
    return notebook


def test_each_notebook_is_known_here(root: Path) -> None:
    assert {path.stem for path in (root / "notebooks").glob("*.ipynb")} == set(NOTEBOOKS)


def test_the_folder_of_the_notebooks_holds_no_data(root: Path) -> None:
    kept = [path for path in (root / "notebooks").iterdir() if path.name not in ("__pycache__", ".ipynb_checkpoints")]
    assert {path.suffix for path in kept} == {".ipynb", ".md", ".py"}


@pytest.mark.slow
def test_a_kernel_is_this_python_and_cannot_leave_this_machine(execute: Execute) -> None:
    reach = "import socket, sys\nprint(sys.executable)\nsocket.create_connection(('192.0.2.1', 80), timeout=1)"
    cell = nbformat.v4.new_code_cell(reach)  # type: ignore[no-untyped-call]
    with pytest.raises(CellExecutionError, match="a notebook must not reach"):
        execute(nbformat.v4.new_notebook(cells=[cell]))  # type: ignore[no-untyped-call]
    assert cell.outputs[0].text.strip() == sys.executable


@pytest.mark.slow
def test_the_map_shows_land_and_sea_where_they_are_and_fetches_nothing(execute: Execute) -> None:
    cell = nbformat.v4.new_code_cell(f"{MAP}\nprint(colours({LAND}), colours({SEA}))")  # type: ignore[no-untyped-call]
    execute(nbformat.v4.new_notebook(cells=[cell]))  # type: ignore[no-untyped-call]
    assert [output.get("text") for output in cell.outputs] == ["{(228, 228, 224)} {(255, 255, 255)}\n"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_to_its_end_and_shows_plots(name: str, read: Read, execute: Execute) -> None:
    notebook = read(name)
    execute(notebook)
    shown = [output.get("data", {}) for cell in _code(notebook) for output in cell.outputs]
    assert sum("image/png" in data for data in shown) >= 3
    assert any("<details>" in data.get("text/html", "") for data in shown), "an answer is shown with its certificate"


# One makes an answer wrong by one request a viewer, the other makes the truth count what was delivered twice.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            "top-viewers-and-how-exact-is-exact",
            "sum(requests)::BIGINT AS requests",
            "sum(requests)::BIGINT + 1 AS requests",
        ),
        ("late-data-and-the-seam", '.drop_duplicates("x-edge-request-id")', ""),
    ],
)
def test_a_wrong_answer_fails_a_notebook(name: str, old: str, new: str, read: Read, execute: Execute) -> None:
    with pytest.raises(CellExecutionError, match="AssertionError"):
        execute(_changed(read(name), old, new))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs_and_noise(name: str, read: Read) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    assert all(not cell.metadata for cell in notebook.cells)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in _code(notebook))
    assert [cell.id for cell in notebook.cells] == [f"cell-{n:02d}" for n in range(1, len(notebook.cells) + 1)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_begins_with_what_it_teaches_and_asserts_what_it_says(name: str, read: Read) -> None:
    notebook = read(name)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ") and "your own root" in first.source
    nodes = [node for cell in _code(notebook) for node in ast.walk(ast.parse(cell.source))]
    assert sum(isinstance(node, ast.Assert) for node in nodes) >= 3

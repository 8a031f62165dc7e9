"""What is made sure of before a command runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from shardlake.app.guard import check_packages
from shardlake.core.errors import ConfigError

USES_ARROW = """
import sys, pyarrow as pa, pyarrow.compute as pc
{guard}
table = pa.table({{"n": pa.array([1, 2, None])}})
assert table.filter(pc.equal(table["n"], 2)).num_rows == 1
loaded = "pandas" in sys.modules
assert table.to_pandas()["n"].sum() == 3
import pandas
assert not any(type(finder).__name__ == "_NoPandas" for finder in sys.meta_path)
print(loaded)
"""
GUARD = "from shardlake.app.guard import arrow_without_pandas; arrow_without_pandas()"


@pytest.mark.parametrize(("guard", "loaded"), [(GUARD, "False"), ("", "True")])
def test_arrow_does_not_bring_pandas_along_and_pandas_still_works(root: Path, guard: str, loaded: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", USES_ARROW.format(guard=guard)], cwd=root, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.returncode) == (loaded, 0), ran.stderr


def test_the_layers_stand_beside_the_package(root: Path) -> None:
    check_packages()
    check_packages(root)


def test_a_foreign_package_of_a_layer_s_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the package streams is at .* another distribution"):
        check_packages(tmp_path)

"""What is made sure of before a command runs: no other distribution's packages, and no pandas by accident."""

import sys
from collections.abc import Sequence
from importlib import util
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

from shardlake.core.errors import ConfigError

LAYERS: Final = ("streams", "batch", "serving")


def check_packages(home: Path | None = None) -> None:
    """See that the layers stand beside this package: their names are common, and another distribution may have them.

    Raises: ConfigError naming the package and where it was found instead.
    """
    beside = home or Path(__file__).resolve().parents[2]
    for name in LAYERS:
        spec = util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != beside / name:
            raise ConfigError(
                f"the package {name} is {'at ' + str(found) if found else 'missing'} and not Shardlake's (at "
                f"{beside / name}): another distribution has a package of that name; install Shardlake into an "
                "environment of its own"
            )


class _NoPandas(MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse pandas; leave everything else to the other finders."""
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)
        return None


def arrow_without_pandas() -> None:
    """Import pyarrow so that it does not import pandas by itself, which costs 0.9 s of CPU.

    pyarrow looks for pandas at the first conversion of a Python value, and remembers if there is none. `to_pandas()`
    looks again, so it works later all the same. For a process of ours only, never for a user's notebook.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)

"""The file `shardlake.toml`: where it is found, and what stands in it."""

import tomllib
from pathlib import Path
from typing import Any, Final

from shardlake.adapters.disk import translated
from shardlake.core.errors import ConfigError

FILE: Final = "shardlake.toml"
ROOT: Final = ".shardlake"  # where everything is stored if nobody says otherwise


def find(folder: Path) -> Path | None:
    """Find the file in a folder or the nearest of its parents."""
    here = folder.absolute()
    return next((path for at in (here, *here.parents) if (path := at / FILE).is_file()), None)


def read(path: Path) -> dict[str, Any]:
    """Read the file. Raises: ConfigError if it is not there, or is not TOML."""
    try:
        with translated(f"read {path}"):
            text = path.read_bytes().decode()
        return tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}: check the path, or make one with `shardlake init`") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder: name the file in it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error

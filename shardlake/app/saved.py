"""Saved queries: SQL that is kept under a name, in the pack or in your own folder, and asked for with @NAME."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shardlake.adapters.disk import translated
from shardlake.app.settings import Config
from shardlake.app.viewset import compiled_views, load_pack, own_views
from shardlake.core.errors import ConfigError

MARK: Final = "@"
_HEADER: Final = re.compile(r"--\s*(description|views)\s*:\s*(.*?)\s*")


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved query, with what its header says; `origin` is the pack or the file that it stands in."""

    name: str
    sql: str
    origin: str
    description: str = ""
    views: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The origin in few letters: a file as seen from here."""
        return min(self.origin, os.path.relpath(self.origin), key=len) if "/" in self.origin else self.origin


def find(config: Config, name: str) -> Saved:
    """Find a saved query and see that its views are in use; your own goes before the pack's of the same name.

    Raises: ConfigError.
    """
    path = next((path for path in _own(config) if path.stem == name), None)
    if path is None:  # only then the pack is imported
        known = every(config)
        if name not in known:
            raise ConfigError(f"there is no saved query {name}{_hint(name, known)}")
        found = known[name]
    else:
        found = _read(path)
    _check(config, found)
    return found


def every(config: Config) -> Mapping[str, Saved]:
    """All saved queries by name: the pack's, and your own in their place or beside them. Raises: ConfigError."""
    queries: Mapping[str, str] = getattr(load_pack(config), "queries", {})
    origin = f"pack {config.source.pack}"
    packed = {name: _parsed(name, sql, origin) for name, sql in queries.items()}
    return dict(sorted({**packed, **{path.stem: _read(path) for path in _own(config)}}.items()))


def _own(config: Config) -> list[Path]:
    found = sorted(Path(config.query.folder).glob("*.sql"))
    return [path for path in found if not path.name.startswith(".") and path.is_file()]


def _read(path: Path) -> Saved:
    try:
        with translated(f"read the query {path}"):
            return _parsed(path.stem, path.read_text("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"the query {path} is not UTF-8: write it again, or move it out of the folder") from error


def _parsed(name: str, sql: str, origin: str) -> Saved:
    header = dict(_header(sql))
    views = tuple(view for view in re.split(r"[\s,]+", header.get("views", "")) if view)
    return Saved(name, sql, origin, header.get("description", ""), views)


def _header(sql: str) -> Iterator[tuple[str, str]]:
    """Read the comments that the text begins with."""
    for line in sql.splitlines():
        if not line.strip():
            continue
        if not line.startswith("--"):
            return
        if found := _HEADER.fullmatch(line):
            yield found[1], found[2]


def _check(config: Config, query: Saved) -> None:
    if not query.views:
        return
    in_use = {name.lower() for name in compiled_views(config)}
    missing = [view for view in query.views if view.lower() not in in_use]
    if not missing:
        return
    known = {name.lower() for name in (*load_pack(config).views, *own_views(config))}
    unknown = [view for view in missing if view.lower() not in known]
    if unknown:
        raise ConfigError(
            f"{MARK}{query.name} ({query.origin}) needs the view {unknown[0]}, which neither the pack"
            f" {config.source.pack} nor {config.views.folder} has: `shardlake views list` names those that there are"
        )
    raise ConfigError(
        f"{MARK}{query.name} needs {_named(missing)} not in use: add {', '.join(missing)} to views.use, and run"
        " `shardlake stream run` or `shardlake batch run`"
    )


def _named(views: Sequence[str]) -> str:
    return f"the view {views[0]}, which is" if len(views) == 1 else f"the views {', '.join(views)}, which are"


def _hint(name: str, known: Mapping[str, Saved]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {MARK}{near[0]}?"
    return f"; `shardlake query {MARK}` lists them"

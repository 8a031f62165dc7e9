"""Which views there are: the pack's and those of your folder, compiled once for everyone who uses the root."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shardlake import core, packs
from shardlake.adapters import active_views
from shardlake.adapters.disk import translated
from shardlake.app.settings import ALL_VIEWS, Config
from shardlake.core.errors import ConfigError, Transient
from shardlake.core.view import VIEW_FORMAT, CompiledView

if TYPE_CHECKING:
    from shardlake.packs.pack import Pack

_CORE: Final = Path(core.__file__ or "").parent
_PACKS: Final = Path(packs.__file__ or "").parent


def compiled_views(config: Config) -> Mapping[str, CompiledView]:
    """The views in use, from the root's file if nothing changed, else compiled and stored there.

    Raises: ViewRefused, ConfigError.
    """
    key = _key(config)
    found = active_views.find(config.root, key)
    if found is None:
        found = compile_all(config)
        with suppress(ConfigError, Transient):  # a reader who may not write goes without
            active_views.save(config.root, key, found)
    return found


def named_views(config: Config, names: Sequence[str]) -> list[CompiledView]:
    """The views of these names, all of them if there is none. Raises: as `compiled_views`; ConfigError."""
    views = compiled_views(config)
    by_name = {name.lower(): view for name, view in views.items()}
    unknown = [name for name in names if name.lower() not in by_name]
    if unknown:
        raise ConfigError(f"there is no view {unknown[0]}; views are: {', '.join(views)}")
    return [by_name[name.lower()] for name in names] or list(views.values())


def compile_all(config: Config) -> Mapping[str, CompiledView]:
    """Compile the views in use. Raises: ViewRefused, ConfigError."""
    from shardlake.app.trial import Trial
    from shardlake.core.compiler import compile_view

    pack = load_pack(config)
    chosen = _chosen(config, _joined(config, pack.views), pack.optional)
    trial = Trial(pack.schema)
    return {name: trial.passed(compile_view(name, sql, pack.schema)) for name, sql in sorted(chosen.items())}


def load_pack(config: Config) -> "Pack":
    """Make the pack of the source, with the lookups that are joined to it.

    Raises: ConfigError for a name that there is none of, or a lookup that does not fit.
    """
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.packs.lookups import with_lookups
    from shardlake.packs.registry import load

    return with_lookups(load(config.source.pack), config.lookups.folder)


def own_views(config: Config) -> Mapping[str, str]:
    """The SQL of the views in your folder, by name. Raises: ConfigError."""
    return {path.stem: _text(path) for path in _own(config)}


def _own(config: Config) -> list[Path]:
    """The files in the views folder that are views: plain ones, and not those that editors and systems hide."""
    found = sorted(Path(config.views.folder).glob("*.sql"))
    return [path for path in found if not path.name.startswith(".") and path.is_file()]


def _text(path: Path) -> str:
    try:
        with translated(f"read the view {path}"):
            return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the view {path} is not UTF-8: write it again, or move it out of the folder") from error


def _joined(config: Config, packed: Mapping[str, str]) -> dict[str, str]:
    own = own_views(config)
    taken = {name.lower(): name for name in packed}
    for name in own:
        if name.lower() in taken:
            raise ConfigError(
                f"view {name} in {config.views.folder} has the name of a view of the pack {config.source.pack}: "
                "rename the file"
            )
        taken[name.lower()] = name
    return {**packed, **own}


def _chosen(config: Config, views: Mapping[str, str], optional: frozenset[str]) -> Mapping[str, str]:
    """The views that `views.use` names, where "all" stands for all but the optional ones. Raises: ConfigError."""
    named = [name for name in config.views.use if name != ALL_VIEWS]
    for name in named:
        if name not in views:
            accepted = ", ".join((ALL_VIEWS, *sorted(views)))
            raise ConfigError(f"views.use names {name}, which is no view; accepted: {accepted}")
    usual = [name for name in views if name not in optional] if ALL_VIEWS in config.views.use else []
    return {name: views[name] for name in (*usual, *named)}


def optional_views(config: Config) -> list[str]:
    """The pack's views that are kept only if `views.use` names them, and that it does not name. Raises: ConfigError."""
    return sorted(load_pack(config).optional - set(config.views.use))


def _key(config: Config) -> str:
    """Name everything that the compiled forms depend on, without importing any of it."""
    digest = hashlib.sha256(repr((VIEW_FORMAT, config.source.pack, sorted(config.views.use))).encode())
    for path in _ingredients(config):
        data = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _ingredients(config: Config) -> Iterator[Path]:
    """Our own views and lookups, and the sources of the pack, its schema and the compiler: some two hundred kB."""
    yield from _own(config)
    yield from sorted(path for path in Path(config.lookups.folder).glob("*.toml") if path.is_file())
    yield from _of_pack(config.source.pack)
    for folder in (_PACKS / "declared", _PACKS / "lookups", _CORE / "compiler", _CORE / "algebra"):
        yield from _sources(folder)
    yield from (_CORE / "view.py", _CORE / "schema.py")


def _of_pack(pack: str) -> Iterator[Path]:
    """The files that decide what a pack's schema and views are."""
    if "/" in pack:
        found = (Path(pack) / "pack.toml", *Path(pack).glob("views/*.sql"))
        yield from sorted(path for path in found if path.is_file())
        return
    ours = (folder for folder in sorted(_PACKS.iterdir(), reverse=True) if folder.is_dir())
    yield from _sources(next((folder for folder in ours if pack.startswith(folder.name)), _PACKS))


def _sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".sql", ".toml"})

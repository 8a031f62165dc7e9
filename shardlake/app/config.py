"""The configuration: flag > `SHARDLAKE_*` > `shardlake.toml` > default, and where each value came from."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from shardlake.adapters import settings_file
from shardlake.adapters.s3.place import is_s3
from shardlake.app.settings import ENV_PREFIX, Config, Setting, SourceSettings, sections, settings
from shardlake.core.errors import ConfigError

DEFAULT: Final = "default"
CONFIG_ENV: Final = "SHARDLAKE_CONFIG"
# Variables of tests, benchmarks and crash injection: they look like settings and are none.
NOT_SETTINGS: Final = (
    CONFIG_ENV,
    "SHARDLAKE_TEST_DATA",
    "SHARDLAKE_CRASH_AT",
    "SHARDLAKE_BOT_SOURCES",
    "SHARDLAKE_KINESIS_LOCAL",
)
FOLDERS: Final = ("views.folder", "lookups.folder", "query.folder")
PATHS: Final = ("root", "source.path", *FOLDERS)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Value:
    """A value, checked, and its origin: `default`, `FILE: key`, a variable's name, or a flag."""

    value: Any
    origin: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Resolved:
    """A configuration, the value and origin of each setting, and the file that was read, if any."""

    config: Config
    values: Mapping[str, Value]
    file: Path | None


def load(
    flags: Mapping[str, tuple[str, str]],
    environ: Mapping[str, str],
    folder: Path,
    file: Path | None = None,
) -> Resolved:
    """Put the layers together.

    `flags` are key -> (text, the flag's name), `folder` is the working directory, `file` the settings file (looked
    for in the folder and its parents if None). Raises: ConfigError naming the key, its origin and what is accepted.
    """
    path = file or _named(environ, folder) or settings_file.find(folder)
    base = path.absolute().parent if path else folder
    values = {key: Value(_located(setting, setting.default, base)) for key, setting in settings().items()}
    for key, value, origin in _from_file(path) if path else ():
        values[key] = Value(_located(settings()[key], _checked(key, value, origin), base), origin)
    for key, text, origin in (*_from_environment(environ, _key_names(values, environ, flags)), *_from_flags(flags)):
        values[key] = Value(_located(settings()[key], _parsed(key, text, origin), folder), origin)
    if values["source.name"].origin == DEFAULT:
        values["source.name"] = Value(_source_name(str(values["source.pack"].value)))
    for key in FOLDERS:
        _check_folder(key, values[key], _located(settings()[key], settings()[key].default, base))
    return Resolved(_config(values), values, path)


def _check_folder(key: str, found: Value, default: str) -> None:
    """See that a folder that somebody named is there; the default one need not be. Raises: ConfigError."""
    if found.value != default and not Path(str(found.value)).is_dir():
        raise ConfigError(
            f"{key} is {found.value} ({found.origin}), and there is no such folder: make it, or correct the setting"
        )


def _source_name(pack: str) -> str:
    """Call a source like its pack, unless it is told otherwise; both kinds of CloudFront logs have one name."""
    name = Path(pack).name.lower()
    return SourceSettings().name if name.startswith(SourceSettings().name) or not _NAME.fullmatch(name) else name


def _named(environ: Mapping[str, str], folder: Path) -> Path | None:
    name = environ.get(CONFIG_ENV)
    return folder / name if name else None


# ------------------------------------------------------------------------------------------------------ layers


def _from_file(path: Path) -> Iterator[tuple[str, Any, str]]:
    for key, value in _leaves(settings_file.read(path), "", path):
        yield key, value, f"{path}: {key}"


def _leaves(table: Mapping[str, Any], prefix: str, path: Path) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and not prefix and name in sections():
            yield from _leaves(value, f"{name}.", path)
        elif key in settings():
            yield key, value
        else:
            raise ConfigError(f"{path}: there is no setting {key}{_nearest(key, settings())}")


def _key_names(
    values: Mapping[str, Value], environ: Mapping[str, str], flags: Mapping[str, tuple[str, str]]
) -> tuple[str, ...]:
    """The variable that holds the key of the keyed hash, whichever layer names it: it may begin as settings do."""
    key = "protect.key_env"
    return (str(values[key].value), environ.get(settings()[key].env, ""), flags.get(key, ("", ""))[0])


def _from_environment(environ: Mapping[str, str], others: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    known = {setting.env: key for key, setting in settings().items()}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in (*NOT_SETTINGS, *others):
            continue
        if name not in known:
            raise ConfigError(f"{name} in the environment is no setting{_nearest(name, known)}")
        yield known[name], environ[name], name


def _from_flags(flags: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for key, (text, flag) in flags.items():
        if key not in settings():
            raise ConfigError(f"{flag} {key}: there is no such setting{_nearest(key, settings())}")
        yield key, text, flag


# ------------------------------------------------------------------------------------------------------ values


def _parsed(key: str, text: str, origin: str) -> Any:
    setting = settings()[key]
    value = [name.strip() for name in text.split(",") if name.strip()] if setting.is_list else text
    return _converted(setting, value, origin, strict=False)


def _checked(key: str, value: Any, origin: str) -> Any:
    setting = settings()[key]
    given = [value] if setting.is_list and isinstance(value, str) else value
    return _converted(setting, given, origin, strict=True)


def _converted(setting: Setting, value: Any, origin: str, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, setting.type, strict=strict)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{setting.key} is {value!r} ({origin}); accepted: {setting.accepted}") from error


def _located(setting: Setting, value: Any, base: Path) -> Any:
    """Make a path absolute: one in the file is relative to the file, any other to the working directory."""
    is_path = setting.key in PATHS or (setting.key == "source.pack" and "/" in value)
    if not is_path or not value or is_s3(str(value)):
        return value
    found = str(base.absolute() / Path(value).expanduser())
    return os.path.normpath(found) if setting.key == "source.pack" else found


def _config(values: Mapping[str, Value]) -> Config:
    tree: dict[str, Any] = {}
    for key, found in values.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = found.value
    return msgspec.convert(tree, Config)


def _nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    import difflib  # only an error needs it

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if not found:
        found = [key for key in known if key.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    return f"; did you mean {found[0]}?" if found else "; `shardlake config show` lists all"

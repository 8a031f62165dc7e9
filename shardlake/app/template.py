"""The text of a new `shardlake.toml`: every setting with its meaning, and its default commented out."""

from collections.abc import Iterator, Mapping
from typing import Any

from shardlake.app.settings import Setting, sections, settings

_HEAD = """\
# The settings of Shardlake. What is commented out shows the default.
# A flag (--set source.path=logs) wins over the environment (SHARDLAKE_SOURCE_PATH), that over this file.
# Relative paths are relative to this file. `shardlake config show` lists all values and where they came from.
"""


def render(given: Mapping[str, Any]) -> str:
    """Write the file with some settings given, and all others commented out."""
    return "\n".join(_lines(given)) + "\n"


def _lines(given: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    yield from _of("", given)
    for section, about in sections().items():
        yield f"\n[{section}]  # {about}"
        yield from _of(section, given)


def _of(section: str, given: Mapping[str, Any]) -> Iterator[str]:
    for setting in settings().values():
        if setting.section == section:
            yield from _one(setting, given)


def _one(setting: Setting, given: Mapping[str, Any]) -> Iterator[str]:
    name = setting.key.rpartition(".")[2]
    accepted = "" if setting.accepted in ("text", "a list of names") else f" ({setting.accepted})"
    yield f"# {setting.about}{accepted}"
    value = given.get(setting.key, setting.default)
    yield f"{'' if setting.key in given else '# '}{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + "".join(_escaped(c) for c in value) + '"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"

"""User agents that others have labelled, for judging: the test fixtures of two projects that detect devices.

They are read from the folder that the environment variable SHARDLAKE_BOT_SOURCES names, which holds clones of both.
Nothing of them is part of this project, and no rule was written from a single one of their texts: each text belongs to
one of two halves, by a hash of itself. One half was looked at while the rules were written, for the kinds of errors.
Figures are those of the other half.
"""

import hashlib
import importlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

FOLDER_ENV: Final = "SHARDLAKE_BOT_SOURCES"
HOW: Final = f"""Accuracy is judged on the test fixtures of two other projects. To have them:
  mkdir bot-sources && cd bot-sources
  git clone --depth 1 https://github.com/matomo-org/device-detector
  git clone --depth 1 https://github.com/ua-parser/uap-core
and set {FOLDER_ENV} to that folder."""
MATOMO: Final = "device-detector"
UAP: Final = "uap-core"

# bot: named as a bot. tool: named as a library. person: named as a browser, or on a device that somebody holds or
# watches. program: anything else on a desktop or nowhere (players, mail, updaters, feed readers). old: a list of 2005.
Label = Literal["bot", "tool", "person", "program", "old"]
_STRONGEST: Final[tuple[Label, ...]] = ("bot", "tool", "person", "program", "old")


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled user agent; `purpose` is the source's own word for what a bot is there for."""

    text: str
    label: Label
    source: str
    purpose: str = ""

    @property
    def held_out(self) -> bool:
        """Whether it is in the half that was not looked at."""
        return bool(hashlib.sha256(self.text.encode("utf-8", "replace")).digest()[0] & 1)


class Sources:
    """The samples of both projects, each text once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_environment(cls) -> "Sources | None":
        """Open the folder that the environment names, or None if it names none."""
        named = os.environ.get(FOLDER_ENV)
        return cls(Path(named)) if named else None

    @cached_property
    def samples(self) -> list[Sample]:
        """Give all samples; a text with two labels has the first of them, from bot to old."""
        found: dict[str, Sample] = {}
        for sample in (*self._matomo(), *self._uap()):
            known = found.get(sample.text)
            if known is None or _STRONGEST.index(sample.label) < _STRONGEST.index(known.label):
                found[sample.text] = sample
        return list(found.values())

    def commit(self, project: str) -> str:
        """Name the commit that is judged on."""
        return _git(self._folder / project, "log", "-1", "--format=%h of %cs").strip()

    def _matomo(self) -> Iterator[Sample]:
        for path in _listed(self._folder / MATOMO, "Tests"):
            # These hold parts of user agents, or hold them without saying what the client is.
            if "fixtures" in path and path.endswith(".yml") and not path.startswith("Tests/Parser/fixtures/"):
                for entry in _loaded(self._folder / MATOMO, path):
                    if isinstance(entry.get("user_agent"), str):
                        yield _from_matomo(entry)

    def _uap(self) -> Iterator[Sample]:
        for entry in _loaded(self._folder / UAP, "tests/test_device.yaml")["test_cases"]:
            if entry["family"] != "Other":
                yield Sample(entry["user_agent_string"], "bot" if entry["family"] == "Spider" else "person", UAP)
        for name in ("firefox", "opera_mini"):
            for entry in _loaded(self._folder / UAP, f"test_resources/{name}_user_agent_strings.yaml")["test_cases"]:
                yield Sample(entry["user_agent_string"], "person", UAP)
        for entry in _loaded(self._folder / UAP, "test_resources/pgts_browser_list.yaml")["test_cases"]:
            yield Sample(entry["user_agent_string"], "old", UAP)


def _from_matomo(entry: dict[str, Any]) -> Sample:
    text = entry["user_agent"]
    if "bot" in entry:
        bot = entry["bot"]
        return Sample(text, "bot", MATOMO, (bot.get("category") or "") if isinstance(bot, dict) else "")
    client, device = entry.get("client"), entry.get("device")
    kind = client.get("type") if isinstance(client, dict) else None
    held = device.get("type") if isinstance(device, dict) else None
    # A browser that a program steers is a tool, although it is a browser.
    if kind == "library" or "Headless" in str(client.get("name") if isinstance(client, dict) else ""):
        return Sample(text, "tool", MATOMO)
    return Sample(text, "person" if kind == "browser" or held not in (None, "", "desktop") else "program", MATOMO)


def _loaded(project: Path, path: str) -> Any:
    if (project / path).is_file():
        content = (project / path).read_bytes().decode()
    else:
        content = _git(project, "show", f"HEAD:{path}")
    yaml: Any = importlib.import_module("yaml")  # it ships no types
    # libyaml's parser, where it is there, takes a tenth of the time.
    return yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _listed(project: Path, folder: str) -> list[str]:
    if (project / folder).is_dir():
        return sorted(str(path.relative_to(project)) for path in (project / folder).rglob("*") if path.is_file())
    return _git(project, "ls-tree", "-r", "--name-only", "HEAD", folder).split()


def _git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise RuntimeError(f"{project} is no clone that can be read ({said}).\n{HOW}")
    return done.stdout.decode()

"""Tells what happens in a demo, and reads what its workers say of themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape

from shardlake.adapters.clock import SystemClock
from shardlake.app.counted import counted
from shardlake.core.errors import Terminal

Facts = Mapping[str, Any]


@dataclass(slots=True)
class Story:
    """Tells what happens, with the seconds since the start."""

    console: Console
    clock: SystemClock
    began_s: float

    def tell(self, text: str) -> None:
        """Print one line."""
        since = f"{self.clock.monotonic_s() - self.began_s:6.1f} s"
        self.console.print(f"[bright_black]{since}[/]  {escape(text)}", highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Tail:
    """What was added to a log of JSON lines since it was last read."""

    log: Path
    _read: int = 0

    def fresh(self) -> Iterator[Facts]:
        """Read the whole lines that are new; what is no object of a log is passed over."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                facts = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(facts, dict) and "event" in facts:
                yield facts


def retold(facts: Facts) -> str | None:
    """Say in words what a worker wrote into its log; None if it is not worth a line.

    Raises: Terminal if a shard stands still, for which nobody would wait.
    """
    if facts["event"] == "shard_stopped":
        raise Terminal(f"a shard stands still: {facts.get('error')}")
    wording = _WORDINGS.get(facts["event"])
    return wording(facts) if wording else None


def _taken(facts: Facts) -> str:
    lane, shards = facts["lane"], facts["shards"]
    if facts.get("from_worker"):
        return f"takes lane {lane} over from the dead, with {counted(shards, 'shard')}"
    return f"takes lane {lane}, with {counted(shards, 'shard')}" if shards else f"takes lane {lane}"


def _moved(facts: Facts) -> str:
    told = []
    if facts["adopted"]:
        told.append(f"adopts {counted(facts['adopted'], 'shard')}")
    if facts["released"]:
        told.append(f"releases {counted(facts['released'], 'shard')}")
    return " and ".join(told)


def _found(facts: Facts) -> str:
    return f"finds {counted(facts['shards'], 'new shard')}"


def _again(facts: Facts) -> str:
    return f"tries again: {facts.get('error')}"


def _stopped(facts: Facts) -> str:
    return f"has stopped: {counted(facts['rows'], 'row')} in {counted(facts['entries'], 'commit')}"


_WORDINGS: Final = {
    "lane_taken": _taken,
    "shards_moved": _moved,
    "shards_found": _found,
    "trying_again": _again,
    "stopped": _stopped,
}

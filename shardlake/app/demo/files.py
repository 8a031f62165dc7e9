"""The demo of files: logs keep arriving, one stream process reads them, is killed, and goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import serving
from shardlake.adapters.local_objects import LocalObjects
from shardlake.adapters.sqlite_journal import SqliteJournal
from shardlake.adapters.stored import JOURNAL, OBJECTS
from shardlake.app.demo.check import lacking, miscounted
from shardlake.app.demo.generator import Produced, ProducedFile, write_logs
from shardlake.app.demo.lines import Classify
from shardlake.app.demo.oracle import Covered, Cut, Expected, Oracle, reached
from shardlake.app.demo.processes import Running
from shardlake.app.demo.stage import LOOK_EVERY_S, LOOKS_MIN, PATIENCE_S, SEED, Stage, killed
from shardlake.core.errors import Terminal
from shardlake.core.journal import reading
from shardlake.core.positions import Position
from streams.lane import read_state
from streams.sources import pages

ARRIVAL_S: Final = 14.0  # the generated files arrive over so many seconds
FILES_ABOUT: Final = 104  # how many these are, give or take a few: it paces them, and nothing is counted by it
KILL_AT, BATCH_AT = 0.4, (0.25, 0.7)


class FileTruth:
    """The plain count over a folder of logs; what was discovered tells which file a position means."""

    def __init__(self, root: Path, folder: Path, classify: Classify) -> None:
        self._root, self._oracle = root, Oracle(folder, classify)

    def at(self, positions: Mapping[str, str]) -> Expected:
        """Count what lies at or below the position of each shard."""
        return self._oracle.at(self.cut(positions))

    def cut(self, positions: Mapping[str, str]) -> Cut:
        """Which lines of which files lie at or below some positions."""
        names = self._names()
        cut: dict[str, tuple[Covered, ...]] = {}
        for shard, text in positions.items():
            if text != "-":
                at = Position.decode(text)
                cut[shard] = reached(names.get(shard, []), at.sequence, at.sub)
        return cut

    def _names(self) -> dict[str, list[str]]:
        journal, store = SqliteJournal(self._root / JOURNAL, read_only=True), LocalObjects(self._root / OBJECTS)
        try:
            head = reading.read_head(journal, 0)
        finally:
            journal.close()
        names: dict[str, list[str]] = {}
        for ref in read_state(store, head).pages:
            for row in pages.decode(store.get(ref)).rows:
                names.setdefault(f"{head.source}/{row.bucket:04d}", []).append(row.key)
        return names


@dataclass(slots=True)
class FilesPlay:
    """The demo of a folder: of generated logs if `requests` are to be made, else of logs that are there."""

    stage: Stage
    truth: FileTruth
    folder: Path
    requests: int | None
    produced: Produced | None = None
    _stream: list[Running] = field(default_factory=list)
    _is_killed: bool = False

    def run(self) -> None:
        """Let logs arrive, read them, and stop. Raises: Terminal."""
        self._stream.append(self.stage.commands.start("stream", "run"))
        self.stage.story.tell(f"stream process {self._stream[-1].pid} reads {self.folder}")
        if self.requests is not None:
            self.produced = self._arriving(self.requests)
        self._catch_up()
        self._stream[-1].stop()
        self.stage.story.tell("stream process stopped with SIGTERM")
        for batch in self.stage.batches:
            batch.wait()

    def problems(self, last: "serving.Answer") -> tuple[str, ...]:
        """Say what the last answer lacks of what was produced; nothing of logs that others have made."""
        if self.produced is None:
            return ()
        positions = last.certificate.positions
        return *lacking(self.produced, self.truth.cut(positions)), *miscounted(self.produced, self.truth.at(positions))

    def close(self) -> None:
        """Kill what still runs."""
        killed(*self._stream, *self.stage.batches)

    def _arriving(self, requests: int) -> Produced:
        """Let the generated files arrive over time, with everything that happens meanwhile."""
        files: list[ProducedFile] = []
        clock = self.stage.clock
        started, next_look = clock.monotonic_s(), LOOK_EVERY_S
        for file in write_logs(self.folder, requests, SEED):
            files.append(file)
            due = ARRIVAL_S * len(files) / FILES_ABOUT
            while (now := clock.monotonic_s() - started) < due:
                clock.sleep_s(min(0.05, due - now))
            if now >= next_look and self._look() is not None:
                next_look = clock.monotonic_s() - started + LOOK_EVERY_S
            self._advance(len(files) / FILES_ABOUT)
        self.stage.story.tell(
            f"all {len(files)} files are there: {requests:,} requests, some late, some twice, some lines broken"
        )
        return Produced(tuple(files), requests)

    def _look(self) -> int | None:
        """Look, if there is something to be asked; return how many events there are."""
        _ = self._stream[-1].is_over
        return self.stage.look() if self.stage.has_begun() else None

    def _advance(self, part: float) -> None:
        """Do what is due when a part of the files has arrived."""
        stage = self.stage
        done = len(stage.batches)
        if done < len(BATCH_AT) and part >= BATCH_AT[done] and stage.can_batch():
            stage.batch()
        if not self._is_killed and part >= KILL_AT and stage.events:
            old = self._stream[-1]
            old.kill()
            stage.story.tell(f"stream process {old.pid} killed with SIGKILL; another one starts")
            self._stream.append(stage.commands.start("stream", "run"))
            self._is_killed = True

    def _catch_up(self) -> None:
        """Look on until two looks see the same, everything due was done, and there are enough answers."""
        stage, with_events, before = self.stage, 0, -1
        until = stage.clock.monotonic_s() + PATIENCE_S
        while stage.clock.monotonic_s() < until:
            stage.clock.sleep_s(LOOK_EVERY_S)
            events = self._look()
            if events is None:
                continue
            with_events += events > 0
            self._advance(1.0 if self.produced is not None else min(with_events / 4, 1.0))
            everything = self.produced is None or not lacking(self.produced, self.truth.cut(stage.positions))
            is_played = self._is_killed and len(stage.batches) == len(BATCH_AT) and stage.can_batch()
            if events == before and everything and is_played and stage.looks >= LOOKS_MIN:
                return
            before = events
        raise Terminal(
            f"the stream process did not read everything within {PATIENCE_S:.0f} s: {self._stream[-1].last_line()}"
        )

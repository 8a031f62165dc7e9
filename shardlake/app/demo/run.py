"""The demo: events keep arriving, processes read them and are killed, batch runs, and every answer is compared."""

import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec
from rich.console import Console

from shardlake.adapters.clock import SystemClock
from shardlake.adapters.disk import translated, write_file
from shardlake.adapters.settings_file import FILE
from shardlake.app.demo.checker import VIEWS, Checker, classifying
from shardlake.app.demo.processes import Commands, apart_from_aws
from shardlake.app.demo.report import Verdict, show
from shardlake.app.demo.stage import Play, Stage
from shardlake.app.demo.story import Story
from shardlake.app.demo.summary import asked
from shardlake.app.settings import SourceSettings
from shardlake.app.template import render
from shardlake.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to play: `files` in place of a stream, of `logs` that are there or else of `requests` generated ones."""

    requests: int
    files: bool = False
    logs: Path | None = None
    keep: Path | None = None
    as_json: bool = False


def run_demo(wanted: Wanted) -> bool:
    """Run the demo and print its report; return whether every answer was exact. Raises: ConfigError, Terminal."""
    console, clock = Console(quiet=wanted.as_json), SystemClock()
    story = Story(console, clock, clock.monotonic_s())
    with _folder(wanted.keep) as folder, apart_from_aws():
        play = _play(wanted, folder, story, clock)
        try:
            play.run()
            verdict = _verdict(play)
        finally:
            play.close()
        root = play.stage.commands.root
        if wanted.keep is not None:
            _write_settings(folder, root, play.stage.commands.settings)
        if wanted.as_json:
            keys = ("views", "answers", "compared", "differ")
            click.echo(msgspec.json.encode({key: getattr(verdict, key) for key in keys}))
        else:
            show(console, asked(root), verdict)
            if wanted.keep is not None:
                told = f"Everything is in {folder}. Next: cd {shlex.quote(str(wanted.keep))} && shardlake status"
                console.print(told, highlight=False, markup=False, soft_wrap=True)
    return verdict.line.startswith("exact: yes")


def _write_settings(folder: Path, root: Path, settings: Mapping[str, str]) -> None:
    """Leave a settings file with which every command finds what was stored, and what it was read from."""
    own = {key: value for key, value in settings.items() if key.startswith("source.")}
    path = Path(own.get("source.path", ""))
    if path.is_relative_to(folder):
        own["source.path"] = str(path.relative_to(folder))
    given = {"root": str(root.relative_to(folder)), "source.pack": SourceSettings().pack, **own}
    with translated(f"write {folder / FILE}"):
        write_file(folder / FILE, render(given).encode())


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise ConfigError(f"{keep} is not empty: give --keep a new folder")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="shardlake-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _play(wanted: Wanted, folder: Path, story: Story, clock: SystemClock) -> Play:
    if not wanted.files and wanted.logs is None:
        from shardlake.app.demo.kinesis import stream_play

        return stream_play(folder, story, clock, wanted.requests)
    from shardlake.app.demo.files import FilesPlay, FileTruth

    source = folder / "logs" if wanted.logs is None else wanted.logs.absolute()
    if wanted.logs is None:
        source.mkdir(exist_ok=True)
    elif not source.is_dir():
        raise ConfigError(f"{wanted.logs} is not a folder of log files")
    commands = Commands(folder / "store", folder / "said", {"source.path": str(source)})
    truth = FileTruth(commands.root, source, classifying())
    stage = Stage(clock, story, commands, Checker(commands.root, truth))
    return FilesPlay(stage, truth, source, wanted.requests if wanted.logs is None else None)


def _verdict(play: Play) -> Verdict:
    """Take the last answers, which must hold everything, and sum up."""
    found = play.stage.checker
    last = found.look()
    play.stage.story.tell(f"{last.certificate.events:>9,} events in the end; {found.answers} answers compared")
    found.add(play.problems(last))
    return Verdict(len(VIEWS), found.answers, found.compared, found.differ, found.examples)

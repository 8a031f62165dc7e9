"""`shardlake init`: a settings file with comments, to begin with."""

from pathlib import Path

import click

from shardlake.adapters.disk import translated, write_file
from shardlake.adapters.settings_file import FILE
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.template import render
from shardlake.core.errors import ConfigError


@click.command(cls=Command, short_help="Write a settings file with comments.")
@click.option(
    "--path", type=click.Path(path_type=Path), default=Path(FILE), show_default=True, help="Where to write the file."
)
@click.option(
    "--logs", metavar="PATH", default="logs", show_default=True, help="Your log files: a folder or a glob pattern."
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@pass_invocation
def init(invocation: Invocation, path: Path, logs: str, force: bool) -> None:
    """Write a settings file, in which everything is explained."""
    target = path / FILE if path.is_dir() else path
    if target.exists() and not force:
        raise ConfigError(f"{target} exists: give --force to overwrite it, or --path to write another file")
    stored = str(invocation.flags["root"][0]) if "root" in invocation.flags else ".shardlake"
    try:
        with translated(f"write {target}"):
            write_file(target, render({"root": stored, "source.path": logs}).encode())
    except FileNotFoundError as error:
        raise ConfigError(f"there is no folder {target.parent}: make it first") from error
    text = f"Wrote {target}. It reads logs from {logs} and stores in {stored}. Next: shardlake stream run"
    invocation.output.line(text, {"file": str(target), "logs": logs, "root": stored})

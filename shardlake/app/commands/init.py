"""`shardlake init`: a settings file with comments, to begin with; of a sample of lines, a pack for them too."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from shardlake.adapters.disk import make_folder, translated, write_file
from shardlake.adapters.settings_file import FILE
from shardlake.app.cli import Command, Invocation, pass_invocation
from shardlake.app.template import render
from shardlake.core.errors import ConfigError

if TYPE_CHECKING:
    from shardlake.app.proposal.propose import Checked, Proposal
    from shardlake.app.proposal.sample import Sample

_ROWS_SHOWN: Final = 5
_LINES_NAMED: Final = 5


@click.command(cls=Command, short_help="Write a settings file with comments; of a sample, a pack too.")
@click.option(
    "--path", type=click.Path(path_type=Path), default=Path(FILE), show_default=True, help="Where to write the file."
)
@click.option("--logs", metavar="PATH", help="Your CloudFront log files: a folder or a glob pattern.  [default: logs]")
@click.option(
    "--from",
    "sample",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A sample of lines of your own: JSON, CSV or TSV, plain or gzip. A pack is proposed for them.",
)
@click.option("--name", default=None, metavar="NAME", help="Name of that pack and its folder.  [default: the sample's]")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@pass_invocation
def init(
    invocation: Invocation, path: Path, logs: str | None, sample: Path | None, name: str | None, force: bool
) -> None:
    """Write a settings file, in which everything is explained.

    With --from, look at a sample of lines, propose the folder of a pack that reads them, and try it on the sample.
    """
    if sample is not None and logs is not None:
        raise click.UsageError("--logs is for CloudFront logs: leave it out beside --from")
    if sample is None and name is not None:
        raise click.UsageError("--name is for the pack that --from proposes")
    target = path / FILE if path.is_dir() else path
    if target.exists() and not force:
        raise ConfigError(f"{target} exists: give --force to overwrite it, or --path to write another file")
    stored = str(invocation.flags["root"][0]) if "root" in invocation.flags else ".shardlake"
    if sample is not None:
        _of_sample(invocation, target, sample, name, stored, force)
        return
    logs = "logs" if logs is None else logs
    _write({target: render({"root": stored, "source.path": logs})})
    text = f"Wrote {target}. It reads logs from {logs} and stores in {stored}. Next: shardlake stream run"
    invocation.output.line(text, {"file": str(target), "logs": logs, "root": stored})


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        try:
            with translated(f"write {path}"):
                write_file(path, text.encode())
        except FileNotFoundError as error:
            raise ConfigError(f"there is no folder {path.parent}: make it first") from error


# ------------------------------------------------------------------------------------------------------ a sample


def _of_sample(invocation: Invocation, target: Path, path: Path, name: str | None, stored: str, force: bool) -> None:
    from shardlake.app.guard import arrow_without_pandas

    arrow_without_pandas()
    from shardlake.app.proposal.propose import check, propose
    from shardlake.app.proposal.sample import read_sample

    sample = read_sample(path)
    proposed = propose(sample, _named(name, sample))
    folder = target.parent / proposed.name
    _refuse_to_overwrite(folder, force)
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}: make it first")
    checked = check(proposed, sample)
    source = _source(path, target.parent)
    with translated(f"make {folder}"):
        make_folder(folder / "views")
    given = {"root": stored, "source.name": proposed.name, "source.pack": f"./{proposed.name}", "source.path": source}
    hint = f'# stream = "{proposed.name}"  # in place of path, which is to be left out then'
    _write({folder / place: text for place, text in proposed.files.items()})
    _write({target: render(given).replace('\n# stream = ""', "\n" + hint, 1)})
    _tell(invocation, target, folder, proposed, checked, sample)


def _named(name: str | None, sample: "Sample") -> str:
    """Name the pack as it was asked for, or like the sample. Raises: ConfigError."""
    from shardlake.app.proposal.names import pack_name
    from shardlake.packs.registry import FOLDERS, PACKS

    found = name if name is not None else pack_name(sample.name) or "events"
    if not re.fullmatch("[a-z][a-z0-9_]{0,31}", found):
        raise ConfigError(f"--name is {found!r}; accepted: small letters, digits and _, a letter first, 32 at most")
    if found in PACKS or found in FOLDERS:
        raise ConfigError(f"{found} is the name of a pack of Shardlake's own: choose another one with --name")
    return found


def _refuse_to_overwrite(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and the pack needs a folder of that name: choose another with --name")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder} exists: give --force to overwrite its files, or choose another name with --name")


def _source(path: Path, base: Path) -> str:
    """Say where lines like the sample's are: its folder, if it is one of its own for files of one kind, or the file."""
    whole, base = path.absolute(), base.absolute()
    folder = whole.parent
    is_own = folder != base and folder not in base.parents
    others = [p for p in folder.iterdir() if not p.name.startswith(".")] if is_own else []
    chosen = folder if is_own and all(p.is_file() and p.suffixes == whole.suffixes for p in others) else whole
    found = os.path.relpath(chosen, base) if chosen.is_relative_to(base) else str(chosen)
    try:
        found.encode()
    except UnicodeEncodeError as error:
        raise ConfigError("the path of the sample is not UTF-8, which settings are: rename it") from error
    return found


def _tell(
    invocation: Invocation, target: Path, folder: Path, proposed: "Proposal", checked: "Checked", sample: "Sample"
) -> None:
    from shardlake.app.text import printable

    output = invocation.output
    written = [*(str(folder / place) for place in proposed.files), str(target)]
    rows = checked.rows.slice(0, _ROWS_SHOWN).to_pylist()
    letters = [{"line": x.index + 1, "reason": str(x.reason), "detail": x.detail} for x in checked.letters]
    told: dict[str, Any] = {"files": written, "pack": str(folder)}
    told |= {"lines": checked.lines, "rows": checked.rows.num_rows}
    if invocation.json:
        output.json(told | {"letters": letters, "first": rows})
        return
    click.echo(f"Wrote {printable(', '.join(written))}.")
    click.echo(_counted(checked, sample))
    output.table(checked.rows.column_names, [tuple(row.values()) for row in rows], None)
    click.echo("Next:")
    flag = (
        ""
        if target.name == FILE and target.parent.absolute() == Path.cwd()
        else f" --config {printable(shlex.quote(str(target)))}"
    )
    click.echo(f"  shardlake{flag} stream run --once")
    click.echo(f'  shardlake{flag} query "SELECT * FROM {proposed.views[0]} ORDER BY 1 DESC LIMIT 10"')


def _counted(checked: "Checked", sample: "Sample") -> str:
    """Say how many lines the proposal reads, and which it does not."""
    of = "" if sample.is_whole else ", the first of the file"
    text = f"Read {checked.rows.num_rows:,} of {checked.lines:,} lines{of}"
    if not checked.letters:
        return f"{text}."
    by_reason = Counter(str(letter.reason) for letter in checked.letters)
    reasons = ", ".join(f"{count:,} {reason}" if len(by_reason) > 1 else reason for reason, count in by_reason.items())
    lines = ", ".join(f"{letter.index + 1:,}" for letter in checked.letters[:_LINES_NAMED])
    more = f" and {len(checked.letters) - _LINES_NAMED:,} more" if len(checked.letters) > _LINES_NAMED else ""
    word = "line" if len(checked.letters) == 1 else "lines"
    return f"{text}; {len(checked.letters):,} could not be read ({reasons}): {word} {lines}{more}."

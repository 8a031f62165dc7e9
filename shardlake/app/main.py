"""The one command: `shardlake`. Its sub-commands are imported when they are called."""

import shutil
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final

import click
import msgspec

from shardlake.app import exits
from shardlake.app.cli import Group, Invocation
from shardlake.app.guard import check_packages
from shardlake.app.text import complaint
from shardlake.core.errors import ShardlakeError

COMMANDS: Final = {
    "demo": "shardlake.app.commands.demo:demo",
    "init": "shardlake.app.commands.init:init",
    "config": "shardlake.app.commands.config:config",
    "stream": "shardlake.app.commands.stream:stream",
    "batch": "shardlake.app.commands.batch:batch",
    "query": "shardlake.app.commands.query:query",
    "views": "shardlake.app.commands.views:views",
    "status": "shardlake.app.commands.status:status",
    "doctor": "shardlake.app.commands.doctor:doctor",
    "dlq": "shardlake.app.commands.dlq:dlq",
    "put": "shardlake.app.commands.put:put",
    "lease": "shardlake.app.commands.lease:lease",
    "replicate": "shardlake.app.commands.replicate:replicate",
    "verify": "shardlake.app.commands.verify:verify",
}
HINT_TRACEBACK: Final = "run it again with -vv to see where"

ORIENTATION: Final = """\
Shardlake keeps views of your logs: SQL that is written once, kept a second old by a
stream process, recomputed by batch runs, and answered exactly, with a certificate.

Begin with one of these:

  shardlake demo                  see the whole of it on generated logs, in a minute or two
  shardlake init --logs DIR       write shardlake.toml for your own CloudFront logs
  shardlake stream run            read them, and go on as new files arrive

Then ask:

  shardlake query "SELECT viewer, sum(requests) AS n FROM viewers GROUP BY viewer ORDER BY n DESC LIMIT 50"

`shardlake --help` lists all commands, `shardlake COMMAND --help` explains one.
"""
EPILOG: Final = "\b\nExit codes:\n" + "\n".join(f"  {code:<5} {meaning}" for code, meaning in exits.MEANING.items())


@click.group(
    "shardlake",
    cls=Group,
    lazy=COMMANDS,
    invoke_without_command=True,
    epilog=EPILOG,
    help=(
        "Exact answers over streams of logs: views written once in SQL, kept current by a stream process, recomputed by"
        " batch runs, added up at an exact seam."
    ),
)
@click.version_option(package_name="shardlake", prog_name="shardlake")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Print an orientation if no command was named."""
    if ctx.invoked_subcommand is None:
        click.echo(ORIENTATION, nl=False)


def main(args: Sequence[str] | None = None) -> None:
    """Run the program, and exit with a code that means something."""
    invocation = Invocation(alone=True)
    sys.excepthook = _excepthook(invocation)
    sys.exit(run(list(sys.argv[1:] if args is None else args), invocation))


def run(args: list[str], invocation: Invocation) -> int:
    """Run one command line; return its exit code. Errors of ours become one line."""
    try:
        check_packages()
        code = cli.main(args, prog_name="shardlake", standalone_mode=False, obj=invocation)
    except click.Abort:
        return exits.INTERRUPTED
    except RuntimeError as error:
        if str(error) != exits.DUCKDB_INTERRUPTED or invocation.verbose > 1:
            raise
        return exits.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ShardlakeError as error:
        if invocation.verbose > 1:
            raise
        code = exits.exit_code(error)
        if invocation.json:
            told = {"error": type(error).__name__, "message": str(error), "exit_code": code}
            click.echo(msgspec.json.encode(told), err=True)
        else:
            _complain(str(error))
        return code
    return code if isinstance(code, int) else exits.OK


def _complain(text: str) -> None:
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    click.echo(f"{click.style('error:', fg='red', bold=True)} {complaint(text, width)}", err=True)


class _excepthook:  # noqa: N801 - it is called like a function
    """Prints one line for an error that nobody expected, unless -vv asked for all of it."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if self._invocation.verbose > 1:
            sys.__excepthook__(kind, error, trace)
        else:
            lines = str(error).splitlines()
            _complain(f"{kind.__name__}: {lines[0] if lines else ''} (this is a fault of Shardlake; {HINT_TRACEBACK})")


if __name__ == "__main__":
    main()

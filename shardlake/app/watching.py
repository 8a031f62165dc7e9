"""Showing something again and again until Ctrl-C: drawn anew on a terminal, one below the other elsewhere."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from shardlake.app.exits import DUCKDB_INTERRUPTED, OK, TRY_AGAIN, exit_code
from shardlake.app.text import plain, printable
from shardlake.core.errors import ShardlakeError
from shardlake.core.ports import Clock

EVERY_S: Final = 2.0

Lines = Sequence[str]


class Seconds(click.FloatRange):
    """Seconds that somebody can wait for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what is no number of seconds."""
        found = super().convert(value, param, ctx)
        return found if math.isfinite(found) else self.fail(f"{value} is no number of seconds", param, ctx)


def watch(look: Callable[[], Lines], show: Callable[[Lines], None], every_s: float, clock: Clock) -> int:
    """Show what is seen, again and again; what fails in passing is told below what was seen before it.

    Gives the exit code. Raises: as `look`, but for what passes.
    """
    seen: Lines = []

    def once() -> None:
        nonlocal seen
        seen = look()
        show(seen)

    def failed(error: ShardlakeError) -> None:
        before = seen if sys.stdout.isatty() else []
        show([*before, f"{printable(str(error))}; asking again"])

    return _until_interrupted(once, failed, every_s, clock)


def watch_lines(look: Callable[[], Any], every_s: float, clock: Clock) -> int:
    """Write what is seen as lines of JSON; what fails in passing has `error` and `message` instead.

    Gives the exit code. Raises: as `watch`.
    """
    import msgspec

    def write(data: Any) -> None:
        click.echo(msgspec.json.encode(plain(data)))

    def failed(error: ShardlakeError) -> None:
        write({"error": type(error).__name__, "message": str(error)})

    return _until_interrupted(lambda: write(look()), failed, every_s, clock)


def _until_interrupted(
    once: Callable[[], None], failed: Callable[[ShardlakeError], None], every_s: float, clock: Clock
) -> int:
    try:
        while True:
            try:
                once()
            except ShardlakeError as error:
                if exit_code(error) != TRY_AGAIN:
                    raise
                failed(error)
            clock.sleep_s(every_s)
    except KeyboardInterrupt:
        return OK
    except RuntimeError as error:
        if str(error) != DUCKDB_INTERRUPTED:
            raise
        return OK
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


@contextmanager
def screen() -> Iterator[Callable[[Lines], None]]:
    """Give what shows lines: in place of the last ones on a terminal, else below them, and an empty line."""
    if not sys.stdout.isatty():
        yield lambda lines: click.echo("\n".join([*lines, ""]))
        return
    from rich.live import Live
    from rich.text import Text

    # stdout stays what it is: a plot asks it for its encoding.
    with Live(auto_refresh=False, vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False) as live:
        yield lambda lines: live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)

"""How far long work is: a moving line on a terminal, log lines for a process that is looked after by others."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shardlake.app.cli import Invocation


@contextmanager
def shown(invocation: "Invocation") -> Iterator[Callable[[str], None]]:
    """Give a function that is told each step."""
    if sys.stderr.isatty() and not invocation.json:
        with _status() as told:
            yield told
        return
    from shardlake.app.logs import make_log

    log = make_log(verbose=invocation.verbose, as_json=True)
    yield lambda step: log.info("progress", step=step)


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status("working") as status:
        yield lambda step: status.update(Text(step))

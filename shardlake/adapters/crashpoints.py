"""Named steps of the commits, at which tests kill a process to see what is left.

`reach` does nothing unless the process was started with SHARDLAKE_CRASH_AT=NAME or NAME:K: then the process
kills itself with SIGKILL when it reaches that step for the K-th time. A test fails if a name has no case.
A simulation, whose processes are no processes of the system, has every step told to it by `watched`.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

POINTS: Final = (
    "stream:after-read",
    "stream:after-files",
    "stream:after-manifest",
    "stream:after-transaction",
    "batch:after-master-files",
    "batch:after-master-commit",
    "batch:after-view-files",
    "batch:after-view-commit",
    "rebuild:after-table",
    "rebuild:before-pointer",
)

_WANTED: Final = os.environ.get("SHARDLAKE_CRASH_AT", "")
_reached: Final[Counter[str]] = Counter()
_watchers: Final[list[Callable[[str], None]]] = []


def reach(point: str) -> None:
    """Pass a named step, or die there."""
    for told in _watchers:
        told(point)
    if not _WANTED:
        return
    name, _, times = _WANTED.rpartition(":") if _WANTED.count(":") == 2 else (_WANTED, "", "1")
    _reached[point] += 1
    if point == name and _reached[point] == int(times):
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def watched(told: Callable[[str], None]) -> Iterator[None]:
    """Call `told` at every named step, as long as the block runs; what it raises comes out of that step."""
    _watchers.append(told)
    try:
        yield
    finally:
        _watchers.remove(told)

"""Many schedules, in one process or several: what failed, and in how many of them each kind of fault met a call.

Nothing ends it: an error that no rule foresees is a schedule that failed.
"""

import gc
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from shardlake.testing.simulation.drawing import draw
from shardlake.testing.simulation.running import run
from shardlake.testing.simulation.schedule import Mode

AT_ONCE: Final = 100


@dataclass(slots=True)
class Tally:
    """What came of some schedules.

    `schedules_with` counts those in which a kind of fault fired at least once, `worlds` those with a kind of source or
    journal, and `rules` those that broke a rule.
    """

    schedules: int = 0
    records: int = 0
    calls: int = 0
    schedules_with: Counter[str] = field(default_factory=Counter)
    worlds: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def plus(self, other: "Tally") -> "Tally":
        """Add another one."""
        return Tally(
            self.schedules + other.schedules,
            self.records + other.records,
            self.calls + other.calls,
            self.schedules_with + other.schedules_with,
            self.worlds + other.worlds,
            self.rules + other.rules,
            self.failed | other.failed,
        )


def count(seeds: Sequence[int], mode: Mode = "multiset", *, stop_at_first: bool = False) -> Tally:
    """Play the schedules of some seeds."""
    tally = Tally()
    with _rare_collections():
        for seed in seeds:
            _play(tally, seed, mode)
            if stop_at_first and tally.failed:
                break
    return tally


def _play(tally: Tally, seed: int, mode: Mode) -> None:
    schedule = draw(seed, mode)
    tally.schedules += 1
    tally.worlds.update([f"source {schedule.setup.source}", f"journal {schedule.setup.journal}"])
    try:
        outcome = run(schedule)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other schedules are to be played
        tally.failed[seed] = f"{type(error).__name__}: {error}"
        tally.rules["nothing else goes wrong"] += 1
        return
    tally.records += outcome.records
    tally.calls += outcome.calls
    tally.schedules_with.update(outcome.fired.keys())
    if outcome.violation is not None:
        tally.failed[seed] = str(outcome.violation)
        tally.rules[outcome.violation.rule] += 1


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the collector of cycles come seldom, and pass over what is there already: a tenth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def counted(
    seeds: Sequence[int],
    mode: Mode = "multiset",
    *,
    processes: int = 1,
    stop_at_first: bool = False,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Play the schedules of many seeds in several processes; `progress` is told now and then how far it is."""
    total = Tally()
    for part in _parts(seeds, mode, processes, stop_at_first=stop_at_first):
        total = total.plus(part)
        progress(total)
        if stop_at_first and total.failed:
            break
    return total


def _parts(seeds: Sequence[int], mode: Mode, processes: int, *, stop_at_first: bool) -> Iterator[Tally]:
    parts = [seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE)]
    if processes == 1:
        yield from (count(part, mode, stop_at_first=stop_at_first) for part in parts)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(count, part, mode, stop_at_first=stop_at_first) for part in parts]
        try:
            yield from (future.result() for future in waiting)
        finally:
            pool.shutdown(cancel_futures=True)

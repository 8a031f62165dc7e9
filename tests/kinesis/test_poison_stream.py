"""Records on which the pack fails, in a stream that workers share: what waits, what goes on, and what a crash loses."""

import random
from pathlib import Path
from typing import Any, Final

import pytest

from shardlake.adapters.engine import Engine
from shardlake.adapters.readers import read_manifests
from shardlake.core.compiler import compile_view
from shardlake.core.errors import Transient
from shardlake.core.journal import reading
from shardlake.core.limits import Limits
from shardlake.core.positions import Position
from shardlake.core.seam import NOTHING
from shardlake.packs.pack import Decoded
from shardlake.testing import fleet as fleets
from shardlake.testing.clicks import ClickLines, Clicks
from shardlake.testing.fleet import STREAM, Fleet, Member
from shardlake.testing.plain import VIEWS, Click, differences
from shardlake.testing.world import SCHEMA
from streams.poison import ShardBlocked, Told, Waiting

ENGINE: Final = Engine()
PAGES: Final = {"pages": compile_view("pages", VIEWS["pages"].sql, SCHEMA)}
BAD: Final = "/poison"


class Fragile(Clicks):
    """A pack that fails on a page while it is `broken`, and once at its n-th call."""

    broken = True
    calls = 0
    crash_at = -1

    def open(self, *given: Any, **named: Any) -> "FragileLines":
        return FragileLines(super().open(*given, **named))


class FragileLines(ClickLines):
    def __init__(self, _: ClickLines) -> None:
        super().__init__()

    def decode(self, block: bytes) -> Decoded:
        Fragile.calls += 1
        if Fragile.calls == Fragile.crash_at:
            raise Transient("the machine went away")
        if Fragile.broken and BAD.encode() in block:
            raise ValueError("what it holds is secret")
        return super().decode(block)


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "Clicks", Fragile)
    Fragile.broken, Fragile.calls, Fragile.crash_at = True, 0, -1


def limits(**given: Any) -> Limits:
    return Limits(retry_first_s=0.1, commit_retries_max=3, chunk_age_s=0.3, fetch_threads_max=2, **given)


def fleet_of(folder: Path, **given: Any) -> Fleet:
    return Fleet(folder, ENGINE, PAGES, shards=2, limits=limits(**given))


def clicks(count: int, bad: set[int], first: int = 0) -> list[Click | None]:
    return [
        Click(n, None, BAD if n - first in bad else f"/{n % 3}", n, None, str(n)) for n in range(first, first + count)
    ]


def put(fleet: Fleet, count: int, bad: set[int], together: int = 1, first: int = 0) -> None:
    for at, key in enumerate("ab"):  # a shard each
        fleet.put(key, clicks(count, {n for n in bad if n % 2 == at}, 1000 * at + first), together=together)


def listened(fleet: Fleet) -> tuple[Member, list[Told]]:
    """A worker with a lane, and what it will tell."""
    member, told = fleet.spawn(), list[Told]()
    fleet.step(member)
    assert member.loop is not None
    member.loop.told = told.append
    return member, told


def letters(fleet: Fleet) -> int:
    found = read_manifests(fleet.store, reading.read_beyond(fleet.inner, NOTHING).after(NOTHING))
    return sum(manifest.counts.letters for manifest in found)


def differing(fleet: Fleet, *, with_bad: bool) -> list[str]:
    wanted = [r.click for r in fleet.log if r.click is not None and (with_bad or r.click.page != BAD)]
    return differences(VIEWS["pages"], wanted, fleet.answers(fleet.plan())["pages"])


def bad_puts(fleet: Fleet) -> int:
    return sum(r.click is not None and r.click.page == BAD for r in fleet.log)


@pytest.mark.parametrize("together", [1, 3])
def test_each_bad_line_is_a_letter_and_all_others_are_counted(tmp_path: Path, together: int) -> None:
    fleet = fleet_of(tmp_path)
    put(fleet, 60, {0, 17, 31, 59}, together)
    fleet.catch_up()
    assert letters(fleet) == bad_puts(fleet) > 0
    assert differing(fleet, with_bad=False) == []


@pytest.mark.parametrize("crash_at", range(1, 24, 2))
def test_a_crash_amidst_a_search_loses_nothing_and_counts_nothing_twice(tmp_path: Path, crash_at: int) -> None:
    Fragile.crash_at = crash_at
    fleet = fleet_of(tmp_path)
    put(fleet, 60, {0, 17, 30, 59})
    fleet.catch_up()
    assert Fragile.calls > crash_at
    assert letters(fleet) == bad_puts(fleet)
    assert differing(fleet, with_bad=False) == []


def test_what_fails_twice_and_then_passes_is_no_letter(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=2)
    member, told = listened(fleet)
    put(fleet, 20, {17})
    for _ in range(200):
        fleet.step(member)
        fleet.clock.advance(0.02)
        Fragile.broken = len(told) < 2
        if not fleet.lacking():
            break
    assert [(one.tries, one.is_blocked) for one in told if isinstance(one, Waiting)] == [(1, False), (2, False)]
    assert letters(fleet) == 0
    assert differing(fleet, with_bad=True) == []


def blocked(fleet: Fleet, rounds: int = 200) -> None:
    """Let time pass with a record that is tried for ever."""
    member = fleet.members[0] if fleet.members else fleet.spawn()
    for _ in range(rounds):
        if not fleet.step(member) and member.loop is not None:
            member.loop.rest()
        fleet.clock.advance(0.05)


def test_a_shard_waits_for_ever_at_a_record_and_the_other_goes_on(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1)
    _, heard = listened(fleet)
    put(fleet, 40, {17}, together=3)
    blocked(fleet)
    told = [one for one in heard if isinstance(one, Waiting)]
    assert len({one.range.after for one in told}) == 1 and all(one.is_blocked for one in told)
    assert [one.in_s for one in told[:4]] == [0.1, 0.2, 0.4, 0.8] and told[-1].in_s == 5.0
    [bad] = [r for r in fleet.log if r.click is not None and r.click.page == BAD]
    before = {r.number for r in fleet.log if r.shard == bad.shard and r.number < bad.number}
    assert told[0].range.after == Position(max(before), 2)  # all before the record, and nothing of it
    assert fleet.lacking() == sum(r.shard == bad.shard and r.number >= bad.number for r in fleet.log)
    assert letters(fleet) == 0
    fleet.kill(fleet.members[0])  # it reads again from there
    fleet.put("a", clicks(5, set(), 500))
    blocked(fleet, 80)
    Fragile.broken = False
    fleet.catch_up()
    assert letters(fleet) == 0
    assert differing(fleet, with_bad=True) == []


def test_nothing_says_that_a_shard_was_read_that_waits(tmp_path: Path) -> None:
    """Gaps are told by up to when a shard was read: what waits in memory is not read."""
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1, idle_mark_s=1.0)
    listened(fleet)
    blocked(fleet, 20)
    fleet.clock.advance(60.0)
    put_us = fleet.clock.now_us()
    put(fleet, 20, {17})
    blocked(fleet, 400)
    [bad] = [r for r in fleet.log if r.click is not None and r.click.page == BAD]
    loop = fleet.members[0].loop
    assert loop is not None
    seen = {shard: held.seen.us for shard, held in loop.committer.lane.state.shards.items() if held.seen is not None}
    assert seen.get(bad.shard, 0) < put_us
    assert all(us > put_us for shard, us in seen.items() if shard != bad.shard) and len(seen) == 2


def test_a_shard_that_waits_can_be_released_and_read_by_another(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1, worker_expiry_s=2.0)
    put(fleet, 40, {16, 17})
    blocked(fleet, 30)
    fleet.spawn()
    rng = random.Random(1)
    for _ in range(200):
        fleet.step(rng.choice(fleet.members))
        fleet.clock.advance(0.1)
    assert len(set(fleet.held().values())) == 2
    Fragile.broken = False
    fleet.catch_up()
    assert letters(fleet) == 0
    assert differing(fleet, with_bad=True) == []


def test_the_end_of_a_shard_waits_behind_its_last_record(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1)
    put(fleet, 20, {18, 19})
    fleet.split(0)
    fleet.split(1)
    put(fleet, 10, set(), first=100)
    blocked(fleet, 120)
    ended = [row for row in reading.read_shards(fleet.inner).values() if row.place == "end"]
    assert not ended and fleet.lacking() > 20
    Fragile.broken = False
    fleet.catch_up()
    assert differing(fleet, with_bad=True) == []


def test_reading_once_ends_at_what_waits_for_ever_and_says_so(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1)
    put(fleet, 20, {17})
    member, _ = listened(fleet)
    assert member.loop is not None
    with pytest.raises(ShardBlocked, match=r"cannot be decoded \(ValueError\).*maximum_retry_attempts") as caught:
        member.loop.run(once=True)
    assert "secret" not in str(caught.value) and caught.value.range.shard.startswith(STREAM)
    assert fleet.lacking() == 20 - 17


def test_a_record_that_grows_too_old_becomes_a_letter(tmp_path: Path) -> None:
    fleet = fleet_of(tmp_path, maximum_retry_attempts=-1, maximum_record_age_in_seconds=30)
    put(fleet, 20, {17})
    blocked(fleet, 60)
    assert fleet.lacking() and not letters(fleet)
    fleet.clock.advance(30.0)
    blocked(fleet, 120)
    assert (fleet.lacking(), letters(fleet)) == (0, 1)
    assert differing(fleet, with_bad=False) == []

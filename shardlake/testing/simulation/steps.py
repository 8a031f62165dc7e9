"""What each step of a schedule does to a world."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shardlake.core.journal import reading
from shardlake.testing.simulation.schedule import Step

if TYPE_CHECKING:
    from shardlake.testing.simulation.world import World

HOSTS: Final = 3
MEMBERS_MAX: Final = 5
SHARDS_MAX: Final = 8


def _work(world: "World", step: Step) -> None:
    for _ in range(step.count):
        member = world.idle_member(step.who)
        if member is None:
            return
        world.round(member)
        world.clock.advance(step.seconds)


def _everybody(world: "World", step: Step) -> None:
    for _ in range(step.count):
        for member in tuple(world.members):
            if member in world.members and member.process not in world.faults.running:
                world.round(member)
        world.clock.advance(step.seconds)


def _others(world: "World", step: Step) -> None:
    """Let all but one go on; if there is nobody else, somebody is started."""
    left_out = world.idle_member(step.who)
    if len(world.members) < 2:
        world.start()
    for _ in range(step.count):
        for member in tuple(world.members):
            idle = member in world.members and member.process not in world.faults.running
            if member is not left_out and idle:
                world.round(member)
        world.clock.advance(step.seconds)


def _start(world: "World", step: Step) -> None:
    del step
    if len(world.members) < MEMBERS_MAX:
        world.start()
        world.faults.count("a worker starts")


def _kill(world: "World", step: Step) -> None:
    if world.members:
        world.kill(world.members[step.who % len(world.members)])
        world.faults.count("a worker is killed between two rounds")


def _stop(world: "World", step: Step) -> None:
    member = world.idle_member(step.who)
    if member is not None:
        world.stop(member)
        world.faults.count("a worker is stopped in order")


def _split(world: "World", step: Step) -> None:
    if world.stream.shards < SHARDS_MAX:
        world.stream.split(step.who)


def _jump(world: "World", step: Step) -> None:
    world.hosts[step.who % HOSTS].off_us = round(step.seconds * 1_000_000)
    world.faults.count(f"a wall clock jumps {'back' if step.seconds < 0 else 'forth'}")


def _rebuild(world: "World", step: Step) -> None:
    names = sorted(world.rows.views)
    if "master" in reading.read_pointers(world.journal):
        world.batch(anew=names[step.who % len(names)])


STEPS: Final[dict[str, Callable[["World", Step], object]]] = {
    "put": lambda world, step: world.stream.put(step.who, step.count, max(1, round(step.seconds))),
    "work": _work,
    "everybody": _everybody,
    "others": _others,
    "wait": lambda world, step: world.clock.advance(step.seconds),
    "jump": _jump,
    "split": _split,
    "merge": lambda world, step: world.stream.merge(step.who),
    "start": _start,
    "kill": _kill,
    "stop": _stop,
    "land": lambda world, step: world.flights.land(step.who),
    "batch": lambda world, _: world.batch(),
    "rebuild": _rebuild,
    "look": lambda world, _: world.look(),
    "nothing": lambda _, __: None,
}

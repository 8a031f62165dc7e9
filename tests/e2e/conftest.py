"""What the runs are judged by: a plain count at the very cut of each answer, and work done without a process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batch.run import run as run_batch
from shardlake.adapters.engine import Engine
from shardlake.app import compose, config
from shardlake.app.demo.oracle import Cut, Expected, Oracle, compare, reached
from shardlake.app.logs import make_log
from shardlake.app.settings import Config
from shardlake.app.streaming import stream
from shardlake.app.verify import verify
from shardlake.app.viewset import compiled_views
from shardlake.core.positions import Position
from shardlake.packs.bots.classify import Classifier
from shardlake.testing.runs import Program

KEYS = {"bandwidth": 3, "bots": 4, "viewers": 2}


def cut_of(files: dict[str, list[str]], positions: dict[str, str]) -> Cut:
    """What a certificate's positions cover: shard -> its files, whole or up to a line."""
    places = {shard: Position.decode(text) for shard, text in positions.items()}
    return {shard: reached(files[shard], at.sequence, at.sub) for shard, at in places.items()}


@pytest.fixture(scope="session")
def classify() -> Callable[[str | None], tuple[bool | None, str | None, str | None]]:
    """Tell what kind of client a user agent is: the one thing that a plain count takes from the pack."""
    classifier = Classifier()

    def told(agent: str | None) -> tuple[bool | None, str | None, str | None]:
        verdict = classifier.verdict(agent)
        return verdict.is_bot, verdict.category, verdict.name

    return told


@pytest.fixture
def exact(
    classify: Callable[[str | None], tuple[bool | None, str | None, str | None]],
) -> Callable[[Program], Expected]:
    """Ask the three views, and hold each answer against the plain count at the answer's own cut."""
    oracles: dict[Path, Oracle] = {}

    def hold(program: Program) -> Expected:
        oracle = oracles.setdefault(program.logs, Oracle(program.logs, classify))
        expected = oracle.at({})
        for view, keys in KEYS.items():
            answer = program.ask(view)
            certificate = answer.certificate
            expected = oracle.at(cut_of(program.files(), dict(certificate.positions)))
            found = compare(expected.views[view], answer.rows, keys)
            assert found.total == 0, (view, found)
            assert certificate.events - certificate.duplicates == expected.events
            assert certificate.duplicates == expected.duplicates
            assert certificate.letters == expected.broken
        return expected

    return hold


@pytest.fixture
def verified() -> Callable[[Program], None]:
    """Recompute all views from the stored rows, as `shardlake verify` does, and see that nothing differs."""

    def hold(program: Program) -> None:
        chosen = settings_of(program)
        engine = Engine(threads=1)
        with compose.opened_journal(chosen) as journal:
            views = list(compiled_views(chosen).values())
            found = verify(journal, compose.objects(chosen), compose.tables(chosen), views, engine)
        engine.close()
        assert [(view.view, view.differing) for view in found] == [(view, 0) for view in KEYS]

    return hold


def settings_of(program: Program) -> Config:
    """Read the program's settings as a process of its own would."""
    return config.load({}, program.environ, program.root.parent).config


@pytest.fixture
def configured() -> Callable[[Program], Config]:
    """Read the program's settings as a process of its own would."""
    return settings_of


@pytest.fixture
def streamed() -> Callable[[Program], int]:
    """Read what is there, in this process, and give the number of rows that were committed."""
    log = make_log(verbose=0, as_json=True)

    def work(program: Program) -> int:
        return stream(settings_of(program), {}, log, lambda: False, once=True).rows

    return work


@pytest.fixture
def batched() -> Callable[[Program], None]:
    """Run the batch layer, in this process."""

    def work(program: Program) -> None:
        chosen = settings_of(program)
        with compose.batch_context(chosen, lambda _: None) as context:
            run_batch(context, list(compiled_views(chosen).values()))

    return work

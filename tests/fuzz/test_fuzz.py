"""The targets of the fuzzers, with inputs that Hypothesis makes of good ones: nothing crashes, and nothing is lost."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import run
from tests.fuzz.decoders import DECODERS, forget
from tests.fuzz.framed import FRAMED
from tests.fuzz.target import Target
from tests.fuzz.wires import WIRES

TARGETS = (*DECODERS, *WIRES, *FRAMED)
# Those whose lines go through the SQL engine take tens of milliseconds for each input.
EXAMPLES: Mapping[str, int] = {"fields": 25, "json": 20, "changes": 25, "cutting": 120, "cloudfront": 100}
EXAMPLES_ELSE = 120


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget()


@st.composite
def inputs(draw: st.DrawFn, target: Target) -> bytes:
    """A seed in which some bytes are changed, left out, doubled or put in; now and then any bytes at all."""
    data = draw(st.sampled_from(target.seeds))
    for _ in range(draw(st.integers(0, 5))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        change = draw(st.sampled_from(("flip", "word", "word", "cut", "double", "line", "bytes")))
        if change == "flip":
            data = data[:at] + bytes([byte ^ 1 << size % 8 for byte in data[at : at + 1]]) + data[at + 1 :]
        elif change == "cut":
            data = data[:at] + data[at + size :]
        elif change == "double":
            data = data[:at] + data[max(at - size, 0) : at] + data[at:]
        else:
            given = {"line": st.just(b"\n"), "word": st.sampled_from(target.words), "bytes": st.binary(max_size=size)}
            data = data[:at] + draw(given[change]) + data[at:]
    return data if draw(st.integers(0, 19)) else draw(st.binary(max_size=80))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_crashes_and_none_is_lost(target: Target) -> None:
    examples = EXAMPLES.get(target.name, EXAMPLES_ELSE)

    @settings(max_examples=examples, derandomize=True, database=None)
    @given(inputs(target))
    def holds(data: bytes) -> None:
        target.check(data)

    holds()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_seeds_are_good_inputs(target: Target) -> None:
    for seed in target.seeds:
        target.check(seed)


def test_the_names_of_the_runner_are_those_of_the_targets() -> None:
    assert tuple(run.targets()) == run.NAMES

"""Fixtures for pytest: `embedded_kinesis` is a running service, and the AWS SDKs in the process find it.

A test that wants other limits overrides `embedded_kinesis_behaviour`:

    @pytest.fixture
    def embedded_kinesis_behaviour():
        return Behaviour.unlimited()
"""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.testing import dynamodb
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Server, serve

if TYPE_CHECKING:
    from shardlake.testing.simulation import Outcome, Rows, Schedule


class Simulation(Protocol):
    """What the fixture `simulation` is."""

    def __call__(self, schedule: "Schedule | int", rows: "Rows | None" = None) -> "Outcome":
        """Play a schedule or a seed, with rows of your own if you have some."""


@pytest.fixture
def embedded_kinesis_behaviour() -> Behaviour:
    """Give the limits of AWS; override it for others."""
    return Behaviour()


@pytest.fixture
def embedded_kinesis(
    embedded_kinesis_behaviour: Behaviour,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """Serve an embedded Kinesis for one test.

    `.url` is its endpoint, `.ask` calls an action, `.kinesis` is the model, with `inject` for what shall go wrong.
    The environment is set, so that `boto3.client("kinesis")` needs no arguments and reaches no account.
    """
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(0), embedded_kinesis_behaviour)
    with serve(kinesis) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", server.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", embedded_kinesis_behaviour.region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "embedded")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "embedded")
        monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", raising=False)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield server


@pytest.fixture
def simulation() -> Simulation:
    """Play a simulated schedule, or the one that is drawn from a seed; a rule that is broken fails the test.

    The failure tells the rule, the seed and the last calls. `rows` are your own pack and views; they are closed with
    their run, and a seed draws a stream of Kinesis for them. See docs/simulation.md.
    """
    from shardlake.testing.simulation import draw, run  # noqa: PLC0415 - every session of pytest loads this file

    def play(schedule: "Schedule | int", rows: "Rows | None" = None) -> "Outcome":
        if isinstance(schedule, int):  # a table's changes are images, not lines of `rows`
            schedule = draw(schedule, "multiset" if rows is None else "duckdb")
        outcome = run(schedule, rows)
        if outcome.violation is not None:
            pytest.fail(outcome.told(), pytrace=False)
        return outcome

    return play


@pytest.fixture
def embedded_dynamo_behaviour() -> dynamodb.Behaviour:
    """Give the limits of AWS; override it for others."""
    return dynamodb.Behaviour()


@pytest.fixture
def embedded_dynamo(
    embedded_dynamo_behaviour: dynamodb.Behaviour,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dynamodb.Server]:
    """Serve an embedded DynamoDB and its Streams for one test, as `embedded_kinesis` does Kinesis.

    `.url` is the endpoint of both, `.ask` calls an action, `.dynamo` is the model.
    """
    dynamo = dynamodb.EmbeddedDynamo(SystemClock(), random.Random(0), embedded_dynamo_behaviour)
    with dynamodb.serve(dynamo) as server:
        for service in ("DYNAMODB", "DYNAMODB_STREAMS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", embedded_dynamo_behaviour.region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "embedded")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "embedded")
        monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", raising=False)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        yield server

"""Fixtures for pytest: `embedded_kinesis` is a running service, and the AWS SDKs in the process find it.

A test that wants other limits overrides `embedded_kinesis_behaviour`:

    @pytest.fixture
    def embedded_kinesis_behaviour():
        return Behaviour.unlimited()
"""

import random
from collections.abc import Iterator

import pytest

from shardlake.adapters.clock import SystemClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Server, serve


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

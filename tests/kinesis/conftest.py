"""Endpoints that speak Kinesis: the embedded one, and kinesis-local where node and the package are found."""

import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from shardlake.adapters.clock import SystemClock
from shardlake.testing.clock import ManualClock
from shardlake.testing.kinesis import Behaviour, EmbeddedKinesis, Server, serve

# The folder in which `npm install kinesis-local` was run.
_FOLDER = os.environ.get("SHARDLAKE_KINESIS_LOCAL")
_NODE = shutil.which("node")
_MAIN = Path(_FOLDER or "") / "node_modules" / "kinesis-local" / "main.js"
_ENDPOINTS = ["embedded", "kinesis-local"] if _FOLDER and _NODE and _MAIN.is_file() else ["embedded"]
_DELAYS = ("CREATE_STREAM", "DELETE_STREAM", "SPLIT_SHARD", "MERGE_SHARDS", "UPDATE_SHARD_COUNT")


def _client(url: str) -> Any:
    return boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def make_client() -> Callable[[str], Any]:
    """Give what makes a boto3 client of an endpoint that never tries twice."""
    return _client


@pytest.fixture
def served() -> Iterator[Server]:
    """Serve without limits per second."""
    with serve(EmbeddedKinesis(SystemClock(), random.Random(0), Behaviour.unlimited())) as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kinesis(clock: ManualClock) -> EmbeddedKinesis:
    """Give a service with the limits of AWS, and a stream `s` of two shards."""
    made = EmbeddedKinesis(clock, random.Random(7), Behaviour())
    made.ask("CreateStream", StreamName="s", ShardCount=2)
    clock.advance(1)
    return made


@pytest.fixture(scope="session", params=_ENDPOINTS)
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "embedded":
        with serve(EmbeddedKinesis(SystemClock(), random.Random(0), Behaviour.unlimited())) as server:
            yield server.url
        return
    assert _NODE is not None
    port, tls_port = _free_port(), _free_port()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "KINESIS_MOCK_CERT_PATH": str(_MAIN.parent / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(tls_port),
        "LOG_LEVEL": "ERROR",
        "SHARD_LIMIT": "500",
        **{f"{name}_DURATION": "1ms" for name in _DELAYS},
    }
    loopback = Path(__file__).with_name("loopback.js")
    process = subprocess.Popen([_NODE, "-r", str(loopback), str(_MAIN)], env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # it takes no notice of SIGTERM
        process.wait(10)


@pytest.fixture(scope="session")
def client(endpoint: str) -> Iterator[Any]:
    made = _client(endpoint)
    yield made
    made.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        assert process.poll() is None, "kinesis-local ended before it answered"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("kinesis-local did not answer within 10 seconds")


@pytest.fixture
def endpoints() -> list[str]:
    """Name the endpoints that were found."""
    return _ENDPOINTS

"""The fixtures, as a test of somebody else's project uses them."""

import subprocess
import sys
from pathlib import Path

THEIRS = """
import boto3
import pytest
from shardlake.testing.kinesis import Behaviour, Fault


@pytest.fixture
def embedded_kinesis_behaviour():
    return Behaviour(put_records_max=3)


def test_boto3_finds_it(embedded_kinesis):
    client = boto3.client("kinesis")
    client.create_stream(StreamName="clicks", ShardCount=1)
    answer = client.put_records(StreamName="clicks", Records=[{"Data": b"x", "PartitionKey": "k"}] * 3)
    assert answer["FailedRecordCount"] == 0
    with pytest.raises(client.exceptions.ClientError):
        client.put_records(StreamName="clicks", Records=[{"Data": b"x", "PartitionKey": "k"}] * 4)
    assert client.meta.endpoint_url == embedded_kinesis.url
    client.close()


def test_each_test_has_its_own(embedded_kinesis):
    assert embedded_kinesis.ask("ListStreams")["StreamNames"] == []
"""


def test_a_test_elsewhere_gets_a_service_that_boto3_finds(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:shardlake"]
    ran = subprocess.run(
        [*command, "-p", "shardlake.testing.plugin", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout

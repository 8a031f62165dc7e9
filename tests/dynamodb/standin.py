"""DynamoDB as moto has it, behind one lock and the gate of the stand-in for S3, which loses and delays requests.

moto's server serves all services at one address. Faults of a POST are those of DynamoDB's calls.
"""

from dataclasses import dataclass
from functools import cache

import pytest

from shardlake.adapters.aws import AwsSettings
from shardlake.adapters.dynamodb.client import DynamoClient
from shardlake.adapters.dynamodb.tables import creation
from tests.s3.standin import STALL_S, StandIn, _running

__all__ = ["STALL_S", "Dynamo", "dynamo"]
_TABLES: list[str] = []


@dataclass(frozen=True, slots=True)
class Dynamo:
    """The running server, and its clients."""

    server: StandIn

    @property
    def settings(self) -> AwsSettings:
        return AwsSettings("us-east-1", self.server.settings.endpoint, section="journal")

    @property
    def hasty(self) -> AwsSettings:
        """For those who wait for less than a stall."""
        return AwsSettings("us-east-1", self.server.settings.endpoint, read_s=STALL_S / 3, section="journal")

    def client(self) -> DynamoClient:
        """The one client of this process: to make one takes a third of a second."""
        return _client(self.settings)

    def new_table(self) -> str:
        """Make a table for a journal, and forget requests and faults."""
        _TABLES.append(f"journal-{len(_TABLES)}")
        self.client().call("CreateTable", creation(_TABLES[-1]))
        self.server.forget()
        return _TABLES[-1]


@cache
def _client(settings: AwsSettings) -> DynamoClient:
    return DynamoClient(settings)


@pytest.fixture
def dynamo() -> Dynamo:
    return Dynamo(_running())

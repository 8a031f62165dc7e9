"""Endpoints that speak DynamoDB, and what tests of both ask of them through boto3."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from shardlake.adapters.clock import SystemClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo, Server, serve
from tests.s3.standin import _running

__all__ = ["client", "code", "embedded", "get", "key", "put", "refused", "streams", "table", "update", "url"]
_NUMBERS = count()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Server]:
    with serve(EmbeddedDynamo(SystemClock(), random.Random(0), Behaviour.unlimited())) as server:
        yield server


@cache
def _client(service: str, url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", config=config)


@pytest.fixture(params=["embedded", "moto"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        server: Server = request.getfixturevalue("embedded")
        return server.url
    return str(_running().settings.endpoint)


@pytest.fixture
def client(url: str) -> Any:
    return _client("dynamodb", url)


@pytest.fixture
def streams(url: str) -> Any:
    return _client("dynamodbstreams", url)


@pytest.fixture
def table(client: Any) -> str:
    """Make a table with a key of two texts, and a stream."""
    name = f"conforming-{next(_NUMBERS)}"
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": part, "AttributeType": "S"} for part in ("p", "s")],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return name


def key(s: str = "1", p: str = "a") -> dict[str, Any]:
    return {"p": {"S": p}, "s": {"S": s}}


def put(client: Any, table: str, s: str = "1", **more: Any) -> None:
    client.put_item(TableName=table, Item=key(s) | more)


def get(client: Any, table: str, s: str = "1") -> Any:
    return client.get_item(TableName=table, Key=key(s), ConsistentRead=True).get("Item")


def refused(call: Any, **request: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    response: dict[str, Any] = caught.value.response
    return response


def code(response: dict[str, Any]) -> str:
    return str(response["Error"]["Code"])


def update(client: Any, table: str, text: str, returned: str = "ALL_NEW", **values: Any) -> Any:
    given = {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}
    request = {"TableName": table, "Key": key(), "UpdateExpression": text, "ReturnValues": returned, **given}
    return client.update_item(**request).get("Attributes")

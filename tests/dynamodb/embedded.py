"""Embedded services in simulated time: one with a table, one with a table and its stream."""

import random
from typing import Any

import pytest

from shardlake.testing.clock import ManualClock
from shardlake.testing.dynamodb import Behaviour, EmbeddedDynamo, ServiceError

Row = dict[str, Any]
HOUR_S = 3_600
QUIET = Behaviour.unlimited().changed(roll_s=None)  # shards live until they are rolled by hand


def key(s: int = 1, p: str = "a") -> Row:
    return {"p": {"S": p}, "s": {"N": str(s)}}


def put_of(s: int = 1, **more: Any) -> Row:
    return {"Put": {"TableName": "tab", "Item": key(s)} | more}


class Tabled:
    """A service with a table `t` whose key is a text `p` and a number `s`."""

    def __init__(self, behaviour: Behaviour | None = None, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(seed), behaviour or Behaviour())
        self.ask = self.dynamo.ask
        self.make("tab")

    def make(self, name: str, **more: Any) -> None:
        keys = [("p", "HASH", "S"), ("s", "RANGE", "N")]
        self.ask(
            "CreateTable",
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind, _ in keys],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": type_} for key, _, type_ in keys],
            BillingMode="PAY_PER_REQUEST",
            **more,
        )

    def put(self, s: int = 1, p: str = "a", **more: Any) -> Row:
        return self.ask("PutItem", TableName="tab", Item=key(s, p) | more, ReturnConsumedCapacity="TOTAL")

    def get(self, s: int = 1, p: str = "a", **more: Any) -> Row:
        return self.ask("GetItem", TableName="tab", Key=key(s, p), **({"ConsistentRead": True} | more))

    def refusal(self, action: str, **request: Any) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            self.ask(action, **request)
        return caught.value

    def transact(self, *writes: Row, **more: Any) -> Row:
        return self.ask("TransactWriteItems", TransactItems=list(writes), **more)


class Streamed:
    """A service with a table `tab` whose key is a text, and its stream."""

    def __init__(self, behaviour: Behaviour = QUIET, view: str = "NEW_AND_OLD_IMAGES", seed: int = 0) -> None:
        self.clock = ManualClock()
        self.dynamo = EmbeddedDynamo(self.clock, random.Random(seed), behaviour)
        self.ask = self.dynamo.ask
        self.ask(
            "CreateTable",
            TableName="tab",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )
        self.arn = self.ask("DescribeTable", TableName="tab")["Table"]["LatestStreamArn"]

    def put(self, k: str = "a", **more: Any) -> None:
        self.ask("PutItem", TableName="tab", Item={"k": {"S": k}} | more)

    def delete(self, k: str = "a") -> None:
        self.ask("DeleteItem", TableName="tab", Key={"k": {"S": k}})

    def describe(self, **more: Any) -> Row:
        description: Row = self.ask("DescribeStream", StreamArn=self.arn, **more)["StreamDescription"]
        return description

    def shards(self) -> list[Row]:
        """All shards, page by page."""
        found: list[Row] = []
        after: Row = {}
        while True:
            page = self.describe(**after)
            found += page["Shards"]
            if "LastEvaluatedShardId" not in page:
                return found
            after = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def iterator(self, shard_id: str, kind: str = "TRIM_HORIZON", **more: Any) -> str:
        where = {"StreamArn": self.arn, "ShardId": shard_id, "ShardIteratorType": kind}
        return str(self.ask("GetShardIterator", **where, **more)["ShardIterator"])

    def page(self, shard_id: str, kind: str = "TRIM_HORIZON", **more: Any) -> Row:
        return self.ask("GetRecords", ShardIterator=self.iterator(shard_id, kind, **more))

    def records(self) -> list[Row]:
        """What all shards hold, each to its end."""
        found = []
        for shard in self.shards():
            at: str | None = self.iterator(shard["ShardId"])
            while at is not None:
                page = self.ask("GetRecords", ShardIterator=at)
                found += page["Records"]
                at = page.get("NextShardIterator") if page["Records"] else None
        return found

    def refusal(self, action: str, **request: Any) -> str:
        with pytest.raises(ServiceError) as caught:
            self.ask(action, **request)
        return caught.value.code


def number(record: Row) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def is_open(shard: Row) -> bool:
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def one_shard(**changes: Any) -> tuple[Streamed, str]:
    world = Streamed(QUIET.changed(stream_shards=1, **changes))
    [shard] = world.shards()
    return world, shard["ShardId"]

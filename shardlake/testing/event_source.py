"""An event source mapping, as AWS Lambda has them: it reads a stream, and gives a function batches of its records.

    mapping = EventSource(kinesis, "clicks")
    event = mapping.next("shardId-000000000000")    # as the function gets it, or None
    mapping.answered("shardId-000000000000", function(event))

What was not reported as failed is not given again. Children are given after their parents. It may also do what some
settings of Lambda lead to: `skip` gives up on a batch, `interleave` gives the records of a batch to two at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shardlake.testing.dynamodb import EmbeddedDynamo
from shardlake.testing.kinesis.model import EmbeddedKinesis

FUNCTION: Final = "arn:aws:lambda:eu-west-1:123456789012:function:shardlake"
_PAGES_MAX: Final = 20  # empty ones, before nothing counts as there


def kinesis_event(stream: str, shard: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write an event of Kinesis; records are as GetRecords gives them, with their data as base64."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": record["Data"],
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"],
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard}:{record['SequenceNumber']}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/function",
                "awsRegion": "eu-west-1",
                "eventSourceARN": stream,
            }
            for record in records
        ]
    }


class EventSource:
    """A mapping of one stream of an embedded Kinesis."""

    def __init__(self, kinesis: EmbeddedKinesis | EmbeddedDynamo, stream: str, batch: int = 100) -> None:
        self._service, self._stream, self._batch = kinesis, stream, batch
        self.arn = self._arn()
        self._after: dict[str, str] = {}  # the last number that was taken for done
        self._given: dict[str, list[str]] = {}
        self._ended: set[str] = set()

    def shards(self) -> list[str]:
        """The shards whose parents were given to their ends, and that were not."""
        listed = self._listed()
        return [
            name for name, parents in listed.items() if name not in self._ended and parents & {*listed} <= self._ended
        ]

    def next(self, shard: str) -> dict[str, Any] | None:
        """Give the next batch of a shard; None if there is none now."""
        iterator: str | None = self._iterator(shard, self._after.get(shard))
        for _ in range(_PAGES_MAX):
            page = self._service.ask("GetRecords", ShardIterator=iterator, Limit=self._batch)
            if page["Records"]:
                self._given[shard] = [self._number(record) for record in page["Records"]]
                return self._event(shard, page["Records"])
            iterator = page.get("NextShardIterator")
            if iterator is None:
                self._ended.add(shard)
                return None
        return None

    def answered(self, shard: str, answer: Mapping[str, Any]) -> None:
        """Take a function's answer: what it reports, and all behind the lowest of that, is given again."""
        failed = [int(failure["itemIdentifier"]) for failure in answer.get("batchItemFailures", ())]
        lowest = min(failed, default=None)
        done = [number for number in self._given.pop(shard) if lowest is None or int(number) < lowest]
        if done:
            self._after[shard] = done[-1]

    def skip(self, shard: str) -> None:
        """Give up on the batch that was given last, as with few retries, or a maximum age of records."""
        self.answered(shard, {})

    def _arn(self) -> str:
        described = self._service.ask("DescribeStreamSummary", StreamName=self._stream)
        return str(described["StreamDescriptionSummary"]["StreamARN"])

    def _listed(self) -> dict[str, set[str]]:
        found = self._service.ask("ListShards", StreamName=self._stream)["Shards"]
        names = ("ParentShardId", "AdjacentParentShardId")
        return {shard["ShardId"]: {shard[name] for name in names if shard.get(name)} for shard in found}

    def _iterator(self, shard: str, after: str | None) -> str:
        asked = {"StreamName": self._stream, "ShardId": shard}
        return str(self._service.ask("GetShardIterator", **asked, **_from("Starting", after))["ShardIterator"])

    def _number(self, record: Mapping[str, Any]) -> str:
        return str(record["SequenceNumber"])

    def _event(self, shard: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return kinesis_event(self.arn, shard, records)


class ChangeSource(EventSource):
    """A mapping of a table's stream, named by its ARN, of an embedded DynamoDB. Its events name no shard."""

    def _arn(self) -> str:
        return self._stream

    def _listed(self) -> dict[str, set[str]]:
        asked: dict[str, Any] = {"StreamArn": self._stream}
        found: dict[str, set[str]] = {}
        while True:
            page = self._service.ask("DescribeStream", **asked)["StreamDescription"]
            for shard in page["Shards"]:
                found[shard["ShardId"]] = {shard["ParentShardId"]} if shard.get("ParentShardId") else set()
            if not page.get("LastEvaluatedShardId"):
                return found
            asked["ExclusiveStartShardId"] = page["LastEvaluatedShardId"]

    def _iterator(self, shard: str, after: str | None) -> str:
        asked = {"StreamArn": self._stream, "ShardId": shard}
        return str(self._service.ask("GetShardIterator", **asked, **_from("", after))["ShardIterator"])

    def _number(self, record: Mapping[str, Any]) -> str:
        return str(record["dynamodb"]["SequenceNumber"])

    def _event(self, shard: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        del shard
        return {"Records": [{**record, "eventSourceARN": self.arn} for record in records]}


def _from(word: str, after: str | None) -> dict[str, str]:
    if after is None:
        return {"ShardIteratorType": "TRIM_HORIZON"}
    return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", f"{word}SequenceNumber": after}


def interleaved(event: Mapping[str, Any], parts: int = 2) -> list[dict[str, Any]]:
    """Give every record of a batch to one of several calls, as a parallelization factor above 1 does."""
    records = event["Records"]
    return [{"Records": records[at::parts]} for at in range(parts) if records[at::parts]]

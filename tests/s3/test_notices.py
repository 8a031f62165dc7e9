"""Notices of new objects, from a queue: hints that shorten the wait, and never the truth."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from shardlake.adapters.s3.queue import Queue
from shardlake.core.errors import ConfigError
from shardlake.core.positions import ORIGIN
from streams.sources.files import FileSource
from streams.sources.s3_notices import keys_of
from tests.s3.logs import NOW_US, SHARD, Logs, keys, plainly


@dataclass
class Post:
    """A queue that the bucket tells of its new objects."""

    logs: Logs
    url: str

    def count(self) -> tuple[int, int]:
        """How many messages are there, and how many of them were received and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        waiting, received = (int(found[name]) for name in names)
        return waiting + received, received

    @property
    def client(self) -> Any:
        return self.logs.server.client("sqs")

    def lose(self) -> None:
        """Delete what is in the queue."""
        while messages := self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def send(self, body: str) -> None:
        self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def source(self, **given: Any) -> FileSource:
        """A source that has listed what is there."""
        made = self.logs.source("cf/", **given)
        made.discover(NOW_US)
        made.committed()
        self.logs.server.forget()
        return made

    def look(self, source: FileSource) -> list[str]:
        self.logs.clock.advance(1.0)
        return keys(source)


@pytest.fixture
def post(logs: Logs) -> Post:
    sqs = logs.server.client("sqs")
    url = sqs.create_queue(QueueName=logs.place.bucket, Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    told = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]
    logs.server.client().put_bucket_notification_configuration(
        Bucket=logs.place.bucket, NotificationConfiguration={"QueueConfigurations": told}
    )
    logs.queue = Queue.of(url, logs.server.settings)
    made = Post(logs, url)
    made.lose()  # S3 tests a new configuration with a message
    return made


def notice(bucket: str, key: str, event: str = "ObjectCreated:Put") -> str:
    return json.dumps({"Records": [{"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]})


def test_a_notice_shortens_the_wait_and_is_deleted_when_its_page_is_committed(post: Post) -> None:
    source = post.source()
    post.logs.put("cf/a b+%é.log", b"a\n")
    assert post.look(source) == ["cf/a b+%é.log"]
    assert post.logs.server.count("GET", "list-type=2") == 0
    assert post.count() == (1, 1)
    assert post.look(source) == []
    assert post.count() == (1, 1), "the page may still be lost"
    source.committed()
    assert post.count() == (0, 0)
    assert plainly(source.read(SHARD, ORIGIN))[0] == b"a\n"


def test_notices_that_tell_nothing_new_are_deleted_at_once(post: Post) -> None:
    source, bucket = post.source(), post.logs.place.bucket
    post.logs.put("elsewhere/y")
    told = [notice(bucket, "cf/gone.log"), notice(bucket, "elsewhere/x"), notice("other", "cf/x")]
    told += [
        notice(bucket, "cf/x", "ObjectRemoved:Delete"),
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}),
    ]
    for body in told:
        post.send(body)
    assert post.look(source) == []
    assert post.count() == (0, 0)


def test_messages_of_others_are_left_alone(post: Post) -> None:
    source = post.source()
    for body in ("not json", "{}", '{"Records": [{"eventName": 7}]}', '{"Message": "hello"}'):
        post.send(body)
    assert post.look(source) == []
    assert post.count() == (4, 4)


def test_a_notice_that_comes_twice_counts_once(post: Post) -> None:
    post.logs.put("cf/a.log")
    source = post.source()
    post.logs.put("cf/b.log")
    for key in ("cf/b.log", "cf/b.log", "cf/a.log"):
        post.send(notice(post.logs.place.bucket, key))
    assert post.look(source) == ["cf/b.log"]
    source.committed()
    post.send(notice(post.logs.place.bucket, "cf/b.log"))
    assert post.look(source) == []
    assert post.count() == (0, 0)


def test_lost_notices_are_made_up_for_by_the_listing(post: Post) -> None:
    source = post.source()
    post.logs.put("cf/a.log")
    post.lose()
    assert post.look(source) == []
    post.logs.clock.advance(30.0)
    assert post.look(source) == ["cf/a.log"]


def test_what_does_not_fit_into_a_page_keeps_its_notice(post: Post) -> None:
    source = post.source(discover_max=1)
    post.logs.put("cf/a.log")
    post.logs.put("cf/b.log")
    assert post.look(source) == ["cf/a.log"]
    source.committed()
    assert post.count() == (2, 2)
    assert keys(source) == ["cf/b.log"]
    source.committed()
    assert post.count() == (0, 0)


@pytest.mark.parametrize(("method", "holds"), [("POST", "/"), ("HEAD", "a.log")])
def test_a_queue_out_of_reach_does_not_stop_the_source(post: Post, method: str, holds: str) -> None:
    source = post.source()
    post.logs.put("cf/a.log")
    post.logs.server.fault("error", method, holds, times=4)
    assert post.look(source) == []
    post.logs.clock.advance(30.0)
    assert post.look(source) == ["cf/a.log"]
    post.logs.server.fault("error", "POST", times=4)
    source.committed()
    assert keys(source) == []


def test_a_queue_that_is_not_there_is_a_matter_of_configuration(post: Post) -> None:
    post.logs.queue = Queue.of(f"{post.url}-other", post.logs.server.settings)
    source = post.source()
    with pytest.raises(ConfigError, match="NonExistentQueue"):
        post.look(source)
    with pytest.raises(ConfigError, match="not the URL of a queue"):
        Queue.of("my-queue", post.logs.server.settings)


def test_a_queue_is_asked_only_so_often(post: Post) -> None:
    source = post.source()
    for _ in range(5):
        keys(source)
    assert post.logs.server.count("POST") <= 1


def test_notices_come_plain_through_sns_and_through_eventbridge() -> None:
    plain = notice("b", "cf/a+b%21.log", "s3:ObjectCreated:CompleteMultipartUpload")
    assert keys_of(plain) == [("b", "cf/a b!.log")]
    assert keys_of(json.dumps({"Type": "Notification", "Message": plain})) == [("b", "cf/a b!.log")]
    event = {"detail-type": "Object Created", "detail": {"bucket": {"name": "b"}, "object": {"key": "cf/a+b%21.log"}}}
    assert keys_of(json.dumps(event)) == [("b", "cf/a+b%21.log")]
    assert keys_of(json.dumps(event | {"detail-type": "Object Deleted"})) == []

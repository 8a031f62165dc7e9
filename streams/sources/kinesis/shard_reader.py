"""kinesis-python's ShardReader, in a process of its own, with what it drops, hides or dies of put right.

Its loop asks boto3 for a page and puts the whole response on a queue. Here it does so only when it is asked to, and the
queue is a pipe: at most one page of a shard is under way. What the library would not hand over is told by its client,
which is wrapped: the last page of a closed shard, and errors.

Nothing here is imported by the process that owns the shards, only by those that read them.
"""

import logging
import os
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.session
import numpy as np
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for it
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
from botocore.loaders import Loader, create_loader
from botocore.utils import parse_timestamp
from kinesis.consumer import ShardReader

from shardlake.adapters.kinesis.client import AwsSettings
from shardlake.adapters.kinesis.faults import Fault, error_of
from shardlake.adapters.kinesis.wire import Child, Page
from shardlake.core.errors import ConfigError, ShardlakeError, Terminal, Transient

LOOK_S: Final = 0.5  # a reader that is not asked for anything looks so often whether it was told to end
_AT_ONCE: Final = 1e-6  # the library sleeps after each round, 0.05 s if told 0; whoever asks has waited already
_PASSING: Final = (
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NOWHERE: Final = "us-east-1"
_NOBODY: Final = "local"


class Question(NamedTuple):
    """What is asked of a reader: a page of so many records at most. `stream` matters if it is an ARN."""

    iterator: str
    limit: int
    stream: str


def run(talk: Connection, settings: AwsSettings, shard: str) -> None:
    """Read a shard whenever asked to, until the other end of the pipe is closed, or on SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's whole group: whoever asks decides what it means
    library = logging.getLogger("kinesis")  # what it writes is told over the pipe
    library.addHandler(logging.NullHandler())
    library.propagate = False
    RepairedShardReader(talk, Session(settings), shard).run()


class RepairedShardReader(ShardReader):  # type: ignore[misc] # the library has no types
    """A ShardReader that answers each question with one `Page` or one error, and ends where its shard does."""

    client: Any

    def __init__(self, talk: Connection, session: boto3.Session, shard: str) -> None:
        self._talk, self._session = talk, session
        self.answers = _Answers(talk)
        super().__init__(shard, None, self.answers, self.answers, session, _AT_ONCE)

    def start(self) -> None:
        """Start no process: this object is made in the one that it is for.

        The library would start one here with a nested function, which works by forking alone: with whatever locks the
        threads of the forking process hold at that moment.
        """

    def begin(self) -> None:
        """Make the client."""
        try:
            super().begin()
        except (BotoCoreError, ValueError) as error:
            self.error_queue.put(ConfigError(f"Kinesis cannot be reached as configured: {error}"))
            self.alive = False
        else:
            self.client = TellingClient(self.client, self.answers, self._session.region_name or "")

    def loop(self) -> float | bool:
        """Wait for a question and let the library answer it; False ends the process."""
        question = self._next()
        if question is None:
            return False
        self.shard_iter, self.client.question = question.iterator, question
        try:
            super().loop()  # how long it wants to wait after an error does not matter: whoever asks waits longer
        except BotoCoreError as error:
            self.error_queue.put(lost(error))
        except OSError:  # nobody listens any more
            return False
        except Exception as error:  # noqa: BLE001 - the library's run() ends the process without a word
            self.error_queue.put(Transient(f"GetRecords of {self.shard_id} failed with {type(error).__name__}"))
        return False if self.client.is_closed else _AT_ONCE

    def _next(self) -> Question | None:
        try:
            while self.alive:
                if self._talk.poll(LOOK_S):
                    return Question(*self._talk.recv())
        except (EOFError, OSError):  # whoever asked has closed the pipe, or is dead
            return None
        return None


class _Answers:
    """The library's two queues at once: one end of a pipe."""

    def __init__(self, talk: Connection) -> None:
        self._talk = talk

    def put(self, item: tuple[str, Mapping[str, Any]] | ShardlakeError) -> None:
        """Send a page, or an error."""
        self._talk.send(item if isinstance(item, ShardlakeError) else page_of(item[1]))


class TellingClient:
    """A client of Kinesis for the library's loop. What that loop would keep to itself is put on the queue here.

    Its answers always have a NextShardIterator, which botocore leaves out at the end of a shard.
    """

    def __init__(self, client: Any, answers: _Answers, region: str) -> None:
        self._client, self._answers, self._region = client, answers, region
        self.question = Question("", 0, "")
        self.is_closed = False

    def get_records(self, ShardIterator: str) -> Mapping[str, Any]:  # noqa: N803 - boto3's name
        """Get a page. Raises: ClientError, BotoCoreError."""
        stream = self.question.stream
        target = {"StreamARN": stream} if stream.startswith("arn:") else {}
        params = {"ShardIterator": ShardIterator, "Limit": self.question.limit, **target}
        try:
            response: dict[str, Any] = self._client.get_records(**params)
        except ClientError as error:
            self._answers.put(refused(error, params, self._region))
            raise
        if "Records" not in response:  # a proxy's page, which botocore takes for an answer without fields
            self._answers.put(Transient("the answer to GetRecords cannot be read: it will be asked again"))
            return {"NextShardIterator": None}
        if not response.setdefault("NextShardIterator", None):
            self._answers.put(("", response))
            self.is_closed = True
        return response


# ------------------------------------------------------------------------------------------------------ values


def page_of(response: Mapping[str, Any]) -> Page:
    """Put what boto3 made of an answer into columns."""
    records = response["Records"]
    seconds = np.fromiter((r["ApproximateArrivalTimestamp"] for r in records), np.float64, len(records))
    data = [record["Data"] for record in records]
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return Page(
        sequences=[record["SequenceNumber"] for record in records],
        data=data,
        arrivals_us=np.rint(seconds * 1e6).astype(np.int64),
        keys=[record.get("PartitionKey") for record in records],
        next_iterator=response["NextShardIterator"] or None,
        behind_ms=response.get("MillisBehindLatest"),
        children=tuple(map(_child, response.get("ChildShards") or ())),
        size=int(headers.get("content-length") or sum(map(len, data))),
    )


def _child(child: Mapping[str, Any]) -> Child:
    keys = child["HashKeyRange"]
    start, end = int(keys["StartingHashKey"]), int(keys["EndingHashKey"])
    return Child(child["ShardId"], tuple(child["ParentShards"]), start, end)


def refused(error: ClientError, params: dict[str, Any], region: str) -> ShardlakeError:
    """Choose the error of a refusal."""
    told = error.response.get("Error", {})
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
    return error_of(
        Fault("GetRecords", params, str(told.get("Code", "")), str(told.get("Message", "")), status, region)
    )


def lost(error: BotoCoreError) -> ShardlakeError:
    """Choose the error of a call that had no answer."""
    if isinstance(error, _PASSING):
        return Transient(f"GetRecords: no whole answer ({error}): it will be asked again")
    if any(word in type(error).__name__ for word in ("Credential", "Token", "SSO", "Login", "Profile")):
        return ConfigError(f"the AWS credentials cannot be used ({error}): renew them, or correct AWS_PROFILE")
    return Terminal(f"GetRecords cannot be sent ({error}): correct source.endpoint and source.region")


# ----------------------------------------------------------------------------------------------- configuration


def _models() -> Loader:
    """Load what botocore knows of Kinesis. The fork server does, and its processes share it."""
    loader = create_loader()
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("kinesis", kind)
    for name in ("endpoints", "partitions"):
        loader.load_data_with_path(name)
    return loader


_MODELS: Final = _models()


class Session(boto3.Session):  # type: ignore[misc] # boto3 has no types
    """A session whose clients are made as `KinesisClient` makes them: its place, its time-outs, no tries of their own.

    Times are seconds, as they come: a datetime for each record would double what a page costs.
    """

    def __init__(self, settings: AwsSettings) -> None:
        core = botocore.session.Session(profile=settings.profile or None)
        core.register_component("data_loader", _MODELS)
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_seconds)
        self._is_local = urlsplit(settings.endpoint).hostname in _LOOPBACK if settings.endpoint else False
        if self._is_local and not settings.profile and not os.environ.get("AWS_ACCESS_KEY_ID"):
            core.set_credentials(_NOBODY, _NOBODY)
        region = settings.region or os.environ.get("AWS_REGION") or core.get_config_variable("region")
        self._settings = settings
        super().__init__(botocore_session=core, region_name=region or (_NOWHERE if settings.endpoint else None))

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """Make a client; the library gives no more than the service's name."""
        settings = self._settings
        config = Config(
            connect_timeout=settings.connect_s,
            read_timeout=settings.read_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
            proxies={} if self._is_local else None,
        )
        return super().client(
            service_name, *args, **({"endpoint_url": settings.endpoint or None, "config": config} | kwargs)
        )


def _seconds(value: Any) -> Any:
    """Leave Kinesis's times as they are; other services, which give credentials, write theirs as texts."""
    return float(value) if isinstance(value, int | float) else parse_timestamp(value)

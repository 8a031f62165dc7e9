"""An embedded DynamoDB with its Streams, behind the wire protocol of the AWS SDKs: for tests and simulations.

`EmbeddedDynamo` is both services as a function of a clock and a source of chance; `serve` puts them behind HTTP;
`EmbeddedCalls` answers the port to DynamoDB in process; `Behaviour` says which limits hold and what goes wrong.
"""

from shardlake.testing.dynamodb.behaviour import (
    CONFLICT,
    INTERNAL,
    LATE,
    LOST_AFTER,
    LOST_BEFORE,
    ONGOING,
    THROTTLES,
    Behaviour,
    Fault,
)
from shardlake.testing.dynamodb.calls import EmbeddedCalls, raw_call
from shardlake.testing.dynamodb.errors import ServiceError
from shardlake.testing.dynamodb.model import EmbeddedDynamo, Response
from shardlake.testing.dynamodb.server import Server, serve
from shardlake.testing.dynamodb.stream import Change

__all__ = [
    "CONFLICT",
    "INTERNAL",
    "LATE",
    "LOST_AFTER",
    "LOST_BEFORE",
    "ONGOING",
    "THROTTLES",
    "Behaviour",
    "Change",
    "EmbeddedCalls",
    "EmbeddedDynamo",
    "Fault",
    "Response",
    "Server",
    "ServiceError",
    "raw_call",
    "serve",
]

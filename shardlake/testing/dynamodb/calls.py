"""The embedded service as the port to DynamoDB has it, and as sources of streams do."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from shardlake.adapters.dynamodb.faults import error_of
from shardlake.core.errors import Transient
from shardlake.testing.dynamodb.model import EmbeddedDynamo

_encode = msgspec.json.Encoder().encode


class EmbeddedCalls:
    """`DynamoCalls` over an embedded DynamoDB: the requests, answers and errors of the real one, without HTTP."""

    def __init__(self, dynamo: EmbeddedDynamo) -> None:
        self.dynamo = dynamo

    def call(self, action: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request and give its answer. Raises: as `DynamoCalls.call` says."""
        response = self.dynamo.call(action, _encode(request))
        if response.status != 200:
            raise error_of(action, request, response.status, response.body)
        return response.fields()


def raw_call(dynamo: EmbeddedDynamo) -> Callable[[str, bytes], tuple[int, bytes]]:
    """Give the embedded service as sources take it: `call(action, JSON body) -> (HTTP status, JSON body)`.

    What is dropped raises Transient.
    """

    def call(action: str, body: bytes) -> tuple[int, bytes]:
        response = dynamo.call(action, body)
        if response.dropped:
            raise Transient(f"nothing was heard of {action}")
        return int(response.status), response.body

    return call

"""Both services over HTTP/1.1 on the loopback address: a thread a connection, one lock around the model."""

import contextlib
import itertools
import socket
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from shardlake.testing.dynamodb.errors import error_body
from shardlake.testing.dynamodb.model import EmbeddedDynamo, Response

HOST: Final = "127.0.0.1"
_TARGETS: Final = ("DynamoDB_20120810", "DynamoDBStreams_20120810")
# What the two services have actions of their own for; the others are DynamoDB's.
_OF_STREAMS: Final = ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
_BODY_BYTES_MAX: Final = 64 << 20
_JOIN_S: Final = 5.0
_POLL_S: Final = 0.05


class _Talk(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "_Listener"

    def setup(self) -> None:
        """Take note of the connection, so that it can be ended."""
        super().setup()
        self.server.talks.add(self.connection)

    def finish(self) -> None:
        """End the connection; one that has broken off is ended already."""
        self.server.talks.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        """Serve requests until the connection ends or breaks off."""
        with contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        """Tell that somebody is here."""
        self._send(Response(200, b"{}"))

    def do_POST(self) -> None:
        """Answer a request."""
        told = self.headers.get("content-length", "0")
        length = int(told) if told.isdecimal() else -1
        if not 0 <= length <= _BODY_BYTES_MAX:
            self.close_connection = True
            self._send(Response(400, error_body("SerializationException", "The body has no length, or is too long.")))
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        response = self._answer(body)
        if response.delay_s > 0:
            self.server.stopping.wait(response.delay_s)
        if response.dropped:
            self.close_connection = True
        else:
            self._send(response)

    def _answer(self, body: bytes) -> Response:
        service, _, action = self.headers.get("x-amz-target", "").partition(".")
        if service not in _TARGETS or (service == _TARGETS[1]) != (action in _OF_STREAMS):
            return Response(400, error_body("UnknownOperationException", f"These are {' and '.join(_TARGETS)}."))
        return self.server.call(action, body)

    def _send(self, response: Response) -> None:
        self.send_response_only(int(response.status))
        self.send_header("x-amzn-RequestId", f"{next(self.server.numbers):052d}")
        self.send_header("x-amz-crc32", str(zlib.crc32(response.body)))
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)


class _Listener(ThreadingHTTPServer):
    """Takes connections, each with a thread of its own."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, call: Callable[[str, bytes], Response]) -> None:
        super().__init__((HOST, port), _Talk)
        self.call = call
        self.stopping = threading.Event()
        self.numbers = itertools.count(1)
        self.talks: set[socket.socket] = set()


class Server:
    """A running service. As a context manager it stops at the end; `url` is what clients take as their endpoint."""

    def __init__(self, dynamo: EmbeddedDynamo, port: int = 0) -> None:
        self.dynamo = dynamo
        self._lock = threading.Lock()
        self._listener = _Listener(port, self.call)
        self.port: int = self._listener.server_address[1]
        self.url = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(_POLL_S,), name="dynamodb-accept", daemon=True
        )
        self._thread.start()

    def call(self, action: str, body: bytes) -> Response:
        """Call the model, while no request is in it."""
        with self._lock:
            return self.dynamo.call(action, body)

    def ask(self, action: str, **fields: object) -> dict[str, Any]:
        """Call an action with a request's fields and give its answer's. Raises: ServiceError if it is an error."""
        return self.call(action, msgspec.json.encode(fields)).fields()

    def close(self) -> None:
        """Stop: connections end, and so do replies that are held back."""
        if self._listener.stopping.is_set():
            return
        self._listener.stopping.set()
        self._listener.shutdown()
        self._thread.join(_JOIN_S)
        self._listener.server_close()
        for connection in list(self._listener.talks):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(dynamo: EmbeddedDynamo, port: int = 0) -> Server:
    """Serve a model on the loopback address; port 0 takes a free one. Raises: OSError if the port is taken."""
    return Server(dynamo, port)

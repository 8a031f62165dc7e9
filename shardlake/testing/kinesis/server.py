"""The service over HTTP/1.1 on the loopback address: a thread a connection, one lock around the model."""

import contextlib
import itertools
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from shardlake.testing.kinesis.errors import error_body
from shardlake.testing.kinesis.model import SUBSCRIBE, EmbeddedKinesis, Response
from shardlake.testing.kinesis.pushing import Push

HOST = "127.0.0.1"
_TARGET = "Kinesis_20131202"
_LINE_BYTES_MAX = 65_536
_HEADERS_MAX = 200
_BODY_BYTES_MAX = 64 << 20
# Up to here it is cheaper to copy a body behind its head than to send twice.
_COPIED_BYTES_MAX = 65_536
_JOIN_S = 5.0
# The clock of the model may be any: it is looked at so often for what time alone brings.
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class _Request:
    """A request as far as this service looks at it; its signature is not verified."""

    method: str
    headers: dict[str, str]
    body: bytes

    @property
    def stays(self) -> bool:
        """Whether the connection serves another request afterwards."""
        return self.headers.get("connection", "").lower() != "close"


class _BadRequest(Exception):
    """Bytes that are no request: they are answered with a status, and the connection ends."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Server:
    """A running service. As a context manager it stops at the end; `url` is what clients take as their endpoint."""

    def __init__(self, kinesis: EmbeddedKinesis, port: int = 0) -> None:
        self.kinesis = kinesis
        self._changed = threading.Condition()
        self._listener = socket.create_server((HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._stopping = threading.Event()
        self._talks: dict[socket.socket, threading.Thread] = {}
        self._numbers = itertools.count(1)
        self._acceptor = threading.Thread(target=self._accept, name="kinesis-accept", daemon=True)
        self._acceptor.start()

    def call(self, action: str, body: bytes) -> Response:
        """Call the model, while no request is in it."""
        with self._changed:
            try:
                return self.kinesis.call(action, body)
            finally:
                self._changed.notify_all()

    def ask(self, action: str, **fields: object) -> dict[str, Any]:
        """Call an action with a request's fields and give its answer's. Raises: ServiceError if it is an error."""
        return self.call(action, msgspec.json.encode(fields)).fields()

    def close(self) -> None:
        """Stop: connections end, and so do replies that are held back."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        # A blocked accept() wakes up for a connection on every system, and for a close only on some.
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=_JOIN_S):
            self._acceptor.join(_JOIN_S)
        self._listener.close()
        for connection, thread in list(self._talks.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(_JOIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                # Too many open files, for instance: others may close some.
                if self._stopping.wait(0.05):
                    return
                continue
            if self._stopping.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._talk, args=(connection,), name="kinesis-talk", daemon=True)
            self._talks[connection] = thread
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
                while self._serve_one(connection, stream):
                    pass
        finally:
            self._talks.pop(connection, None)

    def _serve_one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """Serve a request, and say whether another one may follow."""
        try:
            request = _read(connection, stream)
        except _BadRequest as error:
            self._send(connection, Response(error.status, error_body("SerializationException", str(error))))
            return False
        if request is None:
            return False
        response = self._answer(request)
        if isinstance(response, Push):
            return self._push(connection, response) and request.stays
        if response.delay_s > 0:
            self._stopping.wait(response.delay_s)
        if response.dropped:
            return False
        self._send(connection, response)
        return request.stays

    def _answer(self, request: _Request) -> Push | Response:
        if request.method != "POST":
            return Response(HTTPStatus.OK, b"{}")
        service, _, action = request.headers.get("x-amz-target", "").partition(".")
        if service != _TARGET:
            return Response(400, error_body("UnknownOperationException", f"This is {_TARGET}, and nothing else."))
        if "cbor" in request.headers.get("content-type", ""):
            return Response(400, error_body("SerializationException", "This service speaks JSON: switch CBOR off."))
        if action == SUBSCRIBE:
            with self._changed:
                return self.kinesis.subscribe(request.body)
        return self.call(action, request.body)

    def _push(self, connection: socket.socket, push: Push) -> bool:
        """Send the frames of a subscription as chunks until it is over, and say whether it ended as it should."""
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while (frame := self._frame(push)) is not None:
            connection.sendall(b"%x\r\n%b\r\n" % (len(frame), frame))
        if push.is_cut or self._stopping.is_set():
            return False
        connection.sendall(b"0\r\n\r\n")
        return True

    def _frame(self, push: Push) -> bytes | None:
        """Wait for the next frame; None if there are no more."""
        with self._changed:
            while (frame := push.next()) is None and not push.is_over and not self._stopping.is_set():
                self._changed.wait(_LOOK_S)
            return frame

    def _send(self, connection: socket.socket, response: Response) -> None:
        head = (
            f"HTTP/1.1 {int(response.status)} {HTTPStatus(response.status).phrase}\r\n"
            f"x-amzn-RequestId: 00000000-0000-0000-0000-{next(self._numbers):012d}\r\n"
            "Content-Type: application/x-amz-json-1.1\r\n"
            f"Content-Length: {len(response.body)}\r\n\r\n"
        ).encode()
        if len(response.body) <= _COPIED_BYTES_MAX:
            connection.sendall(head + response.body)
        else:
            connection.sendall(head)
            connection.sendall(response.body)


def _read(connection: socket.socket, stream: BinaryIO) -> _Request | None:
    """Read a request, or None where the connection has ended. Raises: _BadRequest."""
    line = stream.readline(_LINE_BYTES_MAX)
    if not line.strip():
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadRequest(HTTPStatus.BAD_REQUEST)
    headers = _read_headers(stream)
    if "transfer-encoding" in headers:
        raise _BadRequest(HTTPStatus.LENGTH_REQUIRED)
    told = headers.get("content-length", "0")
    length = int(told) if told.isdecimal() else -1
    if not 0 <= length <= _BODY_BYTES_MAX:
        raise _BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE if length > 0 else HTTPStatus.BAD_REQUEST)
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = stream.read(length) if length else b""
    return _Request(words[0], headers, body) if len(body) == length else None


def _read_headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_HEADERS_MAX):
        line = stream.readline(_LINE_BYTES_MAX).decode("latin-1")
        if line in {"\r\n", "\n"}:
            return headers
        name, colon, value = line.partition(":")
        if not colon:
            break
        headers[name.strip().lower()] = value.strip()
    raise _BadRequest(HTTPStatus.BAD_REQUEST)


def serve(kinesis: EmbeddedKinesis, port: int = 0) -> Server:
    """Serve a model on the loopback address; port 0 takes a free one. Raises: OSError if the port is taken."""
    return Server(kinesis, port)

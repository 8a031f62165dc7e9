"""A local S3 and SQS, behind a gate that loses, delays and refuses requests on demand.

The services are moto's, which is not safe for threads: one lock is around it. It takes a second to import, so that is
done when the first test asks for it.
"""

import atexit
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from shardlake.adapters.s3.place import Place

if TYPE_CHECKING:
    from shardlake.adapters.s3.client import S3Settings

Kind = Literal[
    "pass", "drop", "lose", "cut", "stall", "error", "slow_down", "busy", "denied", "archived", "old", "pause"
]
_ANSWERS = {
    "error": ("500 Internal Server Error", "InternalError"),
    "slow_down": ("503 Slow Down", "SlowDown"),
    "busy": ("409 Conflict", "ConditionalRequestConflict"),
    "denied": ("403 Forbidden", "AccessDenied"),
    "archived": ("403 Forbidden", "InvalidObjectState"),
    "old": ("403 Forbidden", "RequestTimeTooSkewed"),
}
CHAOS: tuple[Kind, ...] = ("drop", "lose", "cut", "error", "busy")
STALL_S = 0.6


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: method, path (of S3: `/bucket/key`) and query."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests of a method whose path and query hold a text.

    `pass` is no fault; `drop` never arrives; `lose` is done and not answered; `cut` is answered by half; `stall` is
    answered late, `pause` stops amidst its body.
    """

    kind: Kind
    method: str
    holds: str = ""
    times: int = 1

    def takes(self, request: Request) -> bool:
        if self.times and request.method == self.method and self.holds in f"{request.path}?{request.query}":
            self.times -= 1
            return True
        return False


class StandIn:
    """The running server. `requests` are those since the last reset, `faults` those to come.

    With `chaos` a share of all requests fails in ways that are drawn.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Silent(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *_: object) -> None:
                """Say nothing."""

        self._lock = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.chaos: tuple[Random, float] | None = None
        self._buckets = 0
        self._server = make_server("127.0.0.1", 0, self._gate, threaded=True, request_handler=Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def settings(self) -> "S3Settings":
        from shardlake.adapters.s3.client import S3Settings

        return S3Settings(f"http://127.0.0.1:{self._server.server_port}", "us-east-1", 2.0, 5.0, 4)

    @property
    def hasty(self) -> "S3Settings":
        """For those who wait for less than a stall."""
        return replace(self.settings, read_timeout_s=STALL_S / 3, attempts_max=3)

    def client(self, service: str = "s3") -> Any:
        from shardlake.adapters.s3.client import client

        return client(self.settings, service)

    def new_place(self, prefix: str = "") -> Place:
        """Make a bucket, and forget requests and faults."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        self.client().create_bucket(Bucket=name)
        self.forget()
        return Place.of(f"s3://{name}/{prefix}")

    def forget(self) -> None:
        self.requests.clear()
        self.faults.clear()
        self.chaos = None

    def fault(self, kind: Kind, method: str, holds: str = "", times: int = 1) -> None:
        self.faults.append(Fault(kind, method, holds, times))

    def count(self, method: str, holds: str = "") -> int:
        return sum(r.method == method and holds in f"{r.path}?{r.query}" for r in self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # ------------------------------------------------------------------------------------------ the gate

    def _gate(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key[:5] == "HTTP_"}
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], headers)
        self.requests.append(request)
        fault = next((fault.kind for fault in self.faults if fault.takes(request)), None)
        if self.chaos is not None and self.chaos[0].random() < self.chaos[1]:
            fault = self.chaos[0].choice(CHAOS)
        if fault == "stall":
            time.sleep(STALL_S)
        if fault in _ANSWERS:
            return _refusal(fault, start)
        if fault == "drop":
            return _hang_up(environ)
        with self._lock:
            body = b"".join(self._app(environ, start))
        if fault == "lose":
            return _hang_up(environ)
        if fault == "pause":
            return _pausing(body)
        return _half(environ, body) if fault == "cut" else [body]


def _refusal(kind: str, start: Callable[..., Any]) -> Iterable[bytes]:
    status, code = _ANSWERS[kind]
    body = f"<Error><Code>{code}</Code><Message>as a test asks for</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _hang_up(environ: dict[str, Any]) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(2)
    raise ConnectionResetError


def _half(environ: dict[str, Any], body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    _hang_up(environ)


def _pausing(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    time.sleep(STALL_S)
    yield body[len(body) // 2 :]


@cache
def _running() -> StandIn:
    """The one server of this process: folders of tests that ask for it share moto's state in any case."""
    running = StandIn()
    atexit.register(running.close)
    return running


@pytest.fixture
def s3() -> StandIn:
    return _running()

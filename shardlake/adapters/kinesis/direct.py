"""Kinesis over a plain function, without HTTP, signatures or retries: for simulations."""

from collections.abc import Callable
from typing import Any

from shardlake.adapters.kinesis import wire
from shardlake.adapters.kinesis.calls import KinesisCalls
from shardlake.adapters.kinesis.faults import error_of, fault_of
from shardlake.core.errors import Transient


class CallApi(KinesisCalls):
    """The calls over `call(action, JSON body) -> (HTTP status, JSON body)`.

    A status of 0 means that no answer came, whatever was done. What `call` raises, callers see as it is.
    """

    def __init__(self, call: Callable[[str, bytes], tuple[int, bytes]], region: str = "") -> None:
        self._call = call
        self._region = region

    def _send(self, action: str, params: dict[str, Any]) -> bytes:
        status, body = self._call(action, wire.encode(params))
        if status == 0:
            raise Transient(f"{action}: no answer: it will be asked again")
        if status >= 300:
            raise error_of(fault_of(action, params, status, body, self._region))
        return body

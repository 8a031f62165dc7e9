"""The demo's processes: the real commands, started, killed and waited for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from shardlake.adapters.clock import SystemClock
from shardlake.core.errors import Terminal

_FOREIGN: Final = ("SHARDLAKE_", "AWS_")
# A machine may have credentials and profiles, even broken ones: a demo that needs no AWS must not look at them.
_NO_AWS: Final = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
_PATIENCE_S: Final = 20.0
_STOP_S: Final = 30.0


@dataclass(slots=True)
class Commands:
    """Starts `shardlake` on one root. What it says goes to a file in the folder `said`, to be shown if it fails."""

    root: Path
    said: Path
    settings: Mapping[str, str]
    _logs: list[Path] = field(default_factory=list)

    def start(self, *words: str) -> "Running":
        """Start a command in a process of its own."""
        settings = [word for name, value in self.settings.items() for word in ("--set", f"{name}={value}")]
        arguments = ["shardlake", "--root", str(self.root), *settings, "--json", *words]
        return self.start_module("-".join(words[:2]), *arguments)

    def start_module(self, name: str, *arguments: str) -> "Running":
        """Start a module of Python in a process of its own."""
        log = self.said / f"{len(self._logs):02d}-{name}.log"
        self.said.mkdir(parents=True, exist_ok=True)
        self._logs.append(log)
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.said,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        return Running(process, log)


@dataclass(slots=True)
class Running:
    """A command that was started."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self.process.pid

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended; raises Terminal if it failed."""
        code = self.process.poll()
        if code not in (None, 0, -signal.SIGKILL):
            raise Terminal(f"{self.log.stem[3:]} ended with exit code {code}: {self.last_line()}")
        return code is not None

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM. Raises: Terminal if it has failed."""
        if not self.is_over:
            self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to stop, and wait. Raises: Terminal if it fails, or does not stop."""
        self.ask_to_stop()
        self.wait(_STOP_S)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it ends. Raises: Terminal if it fails, or has not ended after so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Terminal(f"{self.log.stem[3:]} did not end within {seconds:.0f} s: {self.last_line()}") from None
        _ = self.is_over

    def last_line(self) -> str:
        """The last line of what it said."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def serve_kinesis(commands: Commands, clock: SystemClock, stream: str, shards: int) -> tuple[Running, str]:
    """Start the embedded Kinesis with a stream; give its process and its endpoint. Raises: Terminal."""
    service = commands.start_module(
        "kinesis", "shardlake.testing.kinesis", "--unlimited", "--stream", f"{stream}:{shards}"
    )
    until = clock.monotonic_s() + _PATIENCE_S
    while clock.monotonic_s() < until and not service.is_over:
        if endpoint := told_endpoint(service.log.read_bytes()):
            return service, endpoint
        clock.sleep_s(0.02)
    service.kill()
    raise Terminal(f"the embedded Kinesis did not start: {service.last_line()}")


def told_endpoint(said: bytes) -> str | None:
    """Find the endpoint in what the service has said so far: in a whole line, wherever that stands."""
    *lines, _ = said.split(b"\n")
    told = next((line for line in lines if line.startswith(b'{"url":')), None)
    return str(msgspec.json.decode(told)["url"]) if told else None


@contextmanager
def apart_from_aws() -> Iterator[None]:
    """Hide this process's own AWS settings from it for a while."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    os.environ.update(_NO_AWS)
    try:
        yield
    finally:
        for name in _NO_AWS:
            del os.environ[name]
        os.environ.update(before)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)} | _NO_AWS

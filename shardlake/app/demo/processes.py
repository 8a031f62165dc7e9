"""The demo's processes: the real command, started, killed and waited for."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from shardlake.core.errors import Terminal


@dataclass(slots=True)
class Commands:
    """Starts `shardlake` on one root. What it says goes to a file in the folder `said`, to be shown if it fails."""

    root: Path
    source: Path
    said: Path
    _logs: list[Path] = field(default_factory=list)

    def start(self, *words: str) -> "Running":
        """Start a command in a process of its own."""
        log = self.said / f"{len(self._logs):02d}-{'-'.join(words[:2])}.log"
        self.said.mkdir(parents=True, exist_ok=True)
        self._logs.append(log)
        command = [
            sys.executable,
            "-m",
            "shardlake",
            "--root",
            str(self.root),
            "--set",
            f"source.path={self.source}",
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SHARDLAKE_")}
        with log.open("wb") as said:
            process = subprocess.Popen(
                [*command, "--json", *words],
                cwd=self.said,
                env=environment,
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
    def is_over(self) -> bool:
        """Tell whether it has ended; raises Terminal if it failed."""
        code = self.process.poll()
        if code not in (None, 0, -signal.SIGKILL):
            raise Terminal(f"{self.log.stem[3:]} ended with exit code {code}: {_end(self.log)}")
        return code is not None

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to stop, and wait. Raises: Terminal if it fails."""
        if not self.is_over:
            self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """Wait until it ends. Raises: Terminal if it fails."""
        self.process.wait()
        _ = self.is_over


def _end(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"

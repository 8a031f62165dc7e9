"""A process of a test that hangs is ended, and tells where it hung."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from shardlake.testing import runs
from shardlake.testing.runs import Running


@pytest.mark.parametrize("wait", [lambda running: running.until("committed"), Running.end], ids=["until", "end"])
def test_a_process_that_hangs_is_ended_with_its_stacks(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[[Running], object]
) -> None:
    monkeypatch.setattr(runs, "TIMEOUT_S", 1.0)
    hangs = "import sys, time\nprint('begun', file=sys.stderr, flush=True)\ntime.sleep(60)"
    command = [sys.executable, "-X", "faulthandler", "-c", hangs]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pytest.raises(AssertionError, match=r'(?s)begun.*most recent call first.*"<string>", line 3'):
        wait(Running(process))
    process.communicate()

"""The demo of a stream, small: what it tells, and that its answers are exact."""

import json
import re
import subprocess
import sys
from pathlib import Path

from shardlake.app.config import load

REQUESTS = 1_500


def test_every_answer_is_exact_while_a_worker_dies_and_shards_split_and_merge(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shardlake", "demo", "--requests", str(REQUESTS), "--keep", "kept"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=tmp_path,
    )
    told = done.stdout
    assert done.returncode == 0, (told, done.stderr)
    for happened in (
        r"worker 1 \(process \d+\) is killed with SIGKILL",
        r"worker 3 starts as process \d+",
        r"worker \d takes lane \d over from the dead, with \d shards?",
        r"shardId-000000000000 is split in two",
        r"shardId-000000000005 and shardId-000000000001 are merged",
        r"batch run 2 begins",
        r"all [\d,]+ records are acknowledged: 1,500 requests",
        r"worker 2 has stopped: ",
        r"shards +7, 3 of them read to their end",
    ):
        assert re.search(happened, told), (happened, told)
    found = re.search(r"^exact: yes \(3 views, (\d+) answers, ([\d,]+) rows compared, 0 differ\)$", told, re.MULTILINE)
    assert found is not None, told
    assert int(found[1]) >= 27
    assert (tmp_path / "kept" / "store" / "journal.db").exists()
    assert told.splitlines()[-1] == f"Everything is in {tmp_path / 'kept'}. Next: cd kept && shardlake status"
    unfolded = re.sub(r"[│\s]+", " ", told)
    assert re.search(r"rows of batch, \d+ (entry|entries) with rows of this view since", unfolded), told
    for extra in ((), ("--root", "store")):
        status = subprocess.run(
            [sys.executable, "-m", "shardlake", *extra, "--json", "status"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=tmp_path / "kept",
        )
        assert json.loads(status.stdout)["source"] == "cloudfront-logs"
    kept = load({}, {}, tmp_path / "kept").config
    assert (kept.root, kept.source.pack) == (str(tmp_path / "kept" / "store"), "cloudfront")
    assert kept.source.endpoint.startswith("http://127.0.0.1:")

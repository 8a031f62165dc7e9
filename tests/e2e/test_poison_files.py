"""A line of a file on which the pack fails: its bucket waits, with its header, and the other files are read."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shardlake.app import config, streaming
from shardlake.app.logs import make_log
from shardlake.app.opening import Progress
from shardlake.core.errors import Transient
from shardlake.packs.cloudfront.pack import CloudFront
from shardlake.testing.runs import Program
from streams.poison import ShardBlocked
from streams.protect import Protection

FIELDS = "date time x-edge-location sc-bytes c-ip x-edge-request-id"
BAD = "192.0.2.66"


class Fragile(CloudFront):
    """A pack that fails on an address while it is `broken`."""

    broken = True

    def enrich(self, rows: pa.Table) -> pa.Table:
        if self.broken and BAD in rows["c_ip"].to_pylist():
            raise RuntimeError(BAD)
        return super().enrich(rows)


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(streaming, "load_pack", lambda _: Fragile())
    yield
    Fragile.broken = True


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Program:
    """Eight files of 30 lines; the third has a bad line in its middle."""
    for number in range(8):
        lines = ["#Version: 1.0", f"#Fields: {FIELDS}"]
        for n in range(30):
            viewer = BAD if (number, n) == (2, 13) else f"10.0.{number}.{n}"
            lines.append(f"2026-11-03\t10:00:{n:02d}\tFRA56\t{n}\t{viewer}\tid-{number}-{n}")
        log = tmp_path / "logs" / f"E2EXAMPLE1234.2026-11-03-1{number}.aaaaaaa{number}.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text("\n".join(lines) + "\n")
        os.utime(log, (1_700_000_000, 1_700_000_000))
    return Program(
        tmp_path / "root", tmp_path / "logs", {"limits.maximum_retry_attempts": "-1", "views.use": "viewers"}
    )


def read_once(program: Program, **more: str) -> list[dict[str, Any]]:
    """Read all that there is, in this process, and give the log."""
    loaded = config.load({}, {**program.environ, **more}, program.root.parent).config
    with redirect_stderr(io.StringIO()) as told:
        progress = Progress(make_log(verbose=0, as_json=True))
        try:
            with streaming.opened(loaded, Protection(), lambda: False, progress) as loop:
                loop.run(once=True)
        finally:
            read = [json.loads(line) for line in told.getvalue().splitlines()]
    return read


def viewers(program: Program) -> set[str]:
    return {row[1] for row in program.ask("viewers").rows}


def test_a_bucket_waits_at_its_line_until_the_pack_is_mended(program: Program) -> None:
    with pytest.raises(ShardBlocked, match=r"\(RuntimeError\)") as caught:
        read_once(program)
    assert BAD not in str(caught.value)
    others = {f"10.0.{number}.{n}" for number in range(8) for n in range(30) if (number, n) != (2, 13)}
    behind = {f"10.0.2.{n}" for n in range(14, 30)}
    found = viewers(program)
    assert found >= {viewer for viewer in others if not viewer.startswith("10.0.2.")} - _same_bucket(program)
    assert {f"10.0.2.{n}" for n in range(13)} <= found and not behind & found
    Fragile.broken = False
    read_once(program)
    assert viewers(program) == others | {BAD}


def _same_bucket(program: Program) -> set[str]:
    """The viewers of files that stand behind the third one in its bucket."""
    shards = [keys for keys in program.files().values() if any("2026-11-03-12" in key for key in keys)]
    return {f"10.0.{key.split('-1')[-1][0]}.{n}" for key in shards[0] for n in range(30)}


def test_by_default_the_line_is_a_letter_and_the_log_names_its_place(program: Program) -> None:
    told = read_once(program, SHARDLAKE_LIMITS_MAXIMUM_RETRY_ATTEMPTS="0")
    [isolated] = [line for line in told if line["event"] == "poison_isolated"]
    assert (isolated["what"], isolated["dead_letters"], isolated["error"]) == ("decode", 1, "RuntimeError")
    assert isolated["first"].endswith(":16") and BAD not in json.dumps(told)
    assert len(viewers(program)) == 8 * 30 - 1


def test_a_pack_that_fails_over_nothing_is_no_lines_fault(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Any, rows: pa.Table) -> pa.Table:
        raise RuntimeError(rows.num_rows)

    monkeypatch.setattr(Fragile, "enrich", failing)
    with pytest.raises(Transient, match="over no line at all"):
        read_once(program)
    assert program.newest() is None or not viewers(program)

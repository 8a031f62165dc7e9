"""What a process that reads a source refuses before it begins, and what it says at its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shardlake.adapters.memory_journal import MemoryJournal
from shardlake.app import streaming
from shardlake.app.opening import Progress, fix_source
from shardlake.app.settings import Config, SourceSettings
from shardlake.core.errors import ConfigError
from shardlake.core.positions import ORIGIN, ShardId
from streams.protect import Protection
from streams.sources.port import SourceGap

WANTED = {"pack": "cloudfront", "stream": "arn:logs", "created": "1", "_pinned_us": "0"}


def named(name: str) -> Config:
    return Config(source=SourceSettings(name=name, stream="logs"))


def test_a_stream_is_read_under_one_name() -> None:
    journal = MemoryJournal()
    fix_source(journal, named("one"), WANTED)
    with pytest.raises(ConfigError, match="has read arn:logs as one"):
        fix_source(journal, named("two"), WANTED)
    fix_source(journal, named("two"), {**WANTED, "stream": "arn:clicks"})


def test_a_root_has_one_pack() -> None:
    journal = MemoryJournal()
    fix_source(journal, named("one"), WANTED)
    before = dict(journal.scan(""))
    with pytest.raises(ConfigError, match=r"this root reads cloudfront, not alb: set source\.pack back"):
        fix_source(journal, named("alb"), {**WANTED, "pack": "alb", "stream": "arn:clicks"})
    assert dict(journal.scan("")) == before


def test_a_root_in_a_folder_of_logs_that_is_not_there_yet_is_refused(tmp_path: Path) -> None:
    source = SourceSettings(path=str(tmp_path / "later"))
    with pytest.raises(ConfigError, match="lies among the log files"):
        streaming.file_settings(Config(root=str(tmp_path / "later" / "store"), source=source))
    streaming.file_settings(Config(root=str(tmp_path / "store"), source=source))


def test_what_was_fixed_stays_and_what_was_noted_is_given_back() -> None:
    journal = MemoryJournal()
    assert fix_source(journal, named("one"), {**WANTED, "_pinned_us": "7"})["_pinned_us"] == "7"
    assert fix_source(journal, named("one"), WANTED)["_pinned_us"] == "7"
    with pytest.raises(ConfigError, match=r"source\.created is 2, and was 1"):
        fix_source(journal, named("one"), {**WANTED, "created": "2"})


@pytest.mark.parametrize("once", [True, False])
def test_a_shard_that_stands_still_is_an_error_where_everything_was_to_be_read(
    once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, gap = Progress(Any), SourceGap("logs", ShardId("s/1"), ORIGIN)  # type: ignore[arg-type]

    @contextmanager
    def opened(*_: object) -> Iterator[None]:
        progress.stopped = gap
        yield None

    monkeypatch.setattr(streaming, "_opened", opened)
    if not once:
        streaming._keep_at_work(named("one"), Protection(), progress, lambda: True, once=False)
        return
    with pytest.raises(SourceGap):
        streaming._keep_at_work(named("one"), Protection(), progress, lambda: True, once=True)

"""The compiled views are made anew when anything changed that they depend on, and a view that cannot run is refused."""

from pathlib import Path

import pytest

from shardlake.app.config import load
from shardlake.app.settings import Config
from shardlake.app.viewset import _of_pack, compiled_views
from shardlake.core.errors import ViewRefused
from shardlake.packs.registry import FOLDERS, PACKS

PACK = """\
format = "json"
event_time = "time"
[columns]
time = "TIMESTAMP"
page = "VARCHAR"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "clicks" / "views").mkdir(parents=True)
    (tmp_path / "clicks" / "pack.toml").write_text(PACK)
    (tmp_path / "clicks" / "views" / "pages.sql").write_text("SELECT page, count(*) AS n FROM clicks GROUP BY page")
    (tmp_path / "shardlake.toml").write_text('source.pack = "./clicks"')
    return load({}, {}, tmp_path).config


def test_a_changed_folder_of_a_pack_is_compiled_anew(config: Config, tmp_path: Path) -> None:
    first = compiled_views(config)
    assert list(first) == ["pages"]
    (tmp_path / "clicks" / "views" / "more.sql").write_text("SELECT page, min(time) AS t FROM clicks GROUP BY page")
    assert list(compiled_views(config)) == ["more", "pages"]
    (tmp_path / "clicks" / "pack.toml").write_text(PACK.replace('page = "VARCHAR"', 'page = "BIGINT"'))
    assert compiled_views(config)["pages"].fingerprint != first["pages"].fingerprint


@pytest.mark.parametrize("name", [*PACKS, *FOLDERS])
def test_the_files_of_our_packs_are_among_what_is_looked_at(name: str) -> None:
    found = {path.suffix for path in _of_pack(name)}
    assert ".sql" in found and found & {".py", ".toml"}
    assert {path.parts[path.parts.index("packs") + 1] for path in _of_pack(name)} == {name.removesuffix("_realtime")}


def test_a_pattern_that_is_none_is_refused_before_it_is_used(config: Config, tmp_path: Path) -> None:
    bad = "SELECT page, count(*) AS n FROM clicks WHERE regexp_matches(page, '(') GROUP BY page"
    (tmp_path / "clicks" / "views" / "bad.sql").write_text(bad)
    with pytest.raises(ViewRefused, match=r"bad\.sql:1:1: .*missing \)"):
        compiled_views(config)

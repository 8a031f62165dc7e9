"""Saved queries: your own and the pack's, their headers, and what is said where one cannot be asked."""

from pathlib import Path

import pytest

from shardlake.app import saved
from shardlake.app.config import load
from shardlake.app.settings import Config
from shardlake.core.errors import ConfigError

HEADER = "-- description: what edges send\n\n--views: bandwidth , viewers\n-- a remark\n"
SQL = "SELECT edge FROM bandwidth -- views: none\n"


class Pack:
    """What of a pack is asked for here."""

    def __init__(self) -> None:
        self.views = {"bandwidth": "", "bots": "", "viewers": ""}
        self.queries = {"top": "-- description: the pack's\n-- views: bots\nSELECT 1", "other": "SELECT 2"}


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "load_pack", lambda _: Pack())
    monkeypatch.setattr(saved, "compiled_views", lambda _: {"bandwidth": None, "viewers": None})


def config(folder: Path) -> Config:
    (folder / "shardlake.toml").write_text("[query]\nfolder = 'mine'\n")
    (folder / "mine").mkdir(exist_ok=True)
    return load({}, {}, folder).config


def test_a_query_of_the_folder_is_found_with_its_header(tmp_path: Path) -> None:
    made = config(tmp_path)
    path = tmp_path / "mine" / "edges.sql"
    path.write_text(HEADER + SQL)
    found = saved.find(made, "edges")
    assert found == saved.Saved("edges", HEADER + SQL, str(path), "what edges send", ("bandwidth", "viewers"))


def test_your_own_goes_before_the_pack_s_and_needs_no_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path)
    (tmp_path / "mine" / "other.sql").write_text("SELECT 3")
    assert {name: one.sql for name, one in saved.every(made).items()} == {
        "other": "SELECT 3",
        "top": Pack().queries["top"],
    }
    monkeypatch.setattr(saved, "load_pack", None)
    assert saved.find(made, "other").sql == "SELECT 3"


def test_a_view_that_is_not_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"@top needs the view bots, .*add bots to views.use.*shardlake stream run"):
        saved.find(config(tmp_path), "top")


def test_a_view_that_there_is_none_of_is_told(tmp_path: Path) -> None:
    made = config(tmp_path)
    (tmp_path / "mine" / "lost.sql").write_text("-- views: nothing\nSELECT 1")
    with pytest.raises(ConfigError, match=r"needs the view nothing, which neither the pack cloudfront nor .* has"):
        saved.find(made, "lost")


def test_names_of_views_are_compared_as_sql_does(tmp_path: Path) -> None:
    made = config(tmp_path)
    (tmp_path / "mine" / "loud.sql").write_text("-- views: BANDWIDTH\nSELECT 1")
    assert saved.find(made, "loud").views == ("BANDWIDTH",)


@pytest.mark.parametrize(("name", "said"), [("tpo", "did you mean @top?"), ("zzz", "`shardlake query @` lists them")])
def test_an_unknown_name_is_told(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        saved.find(config(tmp_path), name)
    assert said in str(caught.value)


def test_names_never_leave_the_folder(tmp_path: Path) -> None:
    made = config(tmp_path)
    (tmp_path / "secret.sql").write_text("SELECT 1")
    with pytest.raises(ConfigError, match="there is no saved query"):
        saved.find(made, "../secret")


def test_what_is_no_text_or_hidden_is_no_query(tmp_path: Path) -> None:
    made = config(tmp_path)
    (tmp_path / "mine" / ".hidden.sql").write_text("SELECT 1")
    (tmp_path / "mine" / "folder.sql").mkdir()
    (tmp_path / "mine" / "marked.sql").write_text("\ufeff-- description: with a mark\nSELECT 1")
    assert sorted(saved.every(made)) == ["marked", "other", "top"]
    assert saved.every(made)["marked"].description == "with a mark"
    (tmp_path / "mine" / "broken.sql").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        saved.every(made)


def test_a_folder_that_is_not_there_has_no_queries(tmp_path: Path) -> None:
    assert sorted(saved.every(load({}, {}, tmp_path).config)) == ["other", "top"]

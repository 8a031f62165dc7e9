"""Settings: flag > environment > file > default, each with its origin, and errors that name what to do."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from shardlake.app.config import Resolved, load
from shardlake.app.settings import Config, settings
from shardlake.app.template import render
from shardlake.core.errors import ConfigError
from shardlake.core.limits import Limits

FILE = "shardlake.toml"


def loaded(
    folder: Path, *, toml: str = "", env: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> Resolved:
    if toml:
        (folder / FILE).write_text(toml)
    return load({key: (text, "--set") for key, text in (flags or {}).items()}, env or {}, folder)


def test_each_layer_wins_over_the_next_and_its_origin_is_told(tmp_path: Path) -> None:
    toml = "[source]\nbuckets = 4\n[limits]\nchunk_rows_max = 40\npages_max = 4\n"
    env = {"SHARDLAKE_LIMITS_CHUNK_ROWS_MAX": "30", "SHARDLAKE_LIMITS_PAGES_MAX": "3"}
    found = loaded(tmp_path, toml=toml, env=env, flags={"limits.pages_max": "2"})
    limits = found.config.limits
    assert (found.config.source.buckets, limits.chunk_rows_max, limits.pages_max) == (4, 30, 2)
    assert found.values["source.buckets"].origin == f"{tmp_path / FILE}: source.buckets"
    assert found.values["limits.chunk_rows_max"].origin == "SHARDLAKE_LIMITS_CHUNK_ROWS_MAX"
    assert found.values["limits.pages_max"].origin == "--set"
    assert found.values["limits.ids_max"].origin == "default"


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.file is None
    assert found.config.limits == Limits()
    assert {v.origin for v in found.values.values()} == {"default"}


def test_the_file_is_found_in_a_parent_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('root = "store"\n[source]\npath = "logs/*.gz"\n')
    below = tmp_path / "a" / "b"
    (below / "mine").mkdir(parents=True)
    found = load({}, {"SHARDLAKE_VIEWS_FOLDER": "mine"}, below)
    assert found.file == tmp_path / FILE
    assert found.config.root == str(tmp_path / "store")
    assert found.config.source.path == str(tmp_path / "logs/*.gz")
    assert found.config.views.folder == str(below / "mine")


@pytest.mark.parametrize("key", ["views.folder", "lookups.folder", "query.folder"])
def test_a_folder_that_somebody_named_is_there(tmp_path: Path, key: str) -> None:
    section, _, name = key.partition(".")
    said = f"{key} is {tmp_path / 'vv'} (--set), and there is no such folder"
    with pytest.raises(ConfigError, match=re.escape(said)):
        loaded(tmp_path, flags={key: "vv"})
    with pytest.raises(ConfigError, match="no such folder"):
        loaded(tmp_path, toml=f'[{section}]\n{name} = "vv"\n')
    (tmp_path / "vv").mkdir()
    assert loaded(tmp_path, flags={key: "vv"}).values[key].value == str(tmp_path / "vv")


def test_a_file_can_be_named_by_flag_or_environment(tmp_path: Path) -> None:
    for name, buckets in (("one.toml", 1), ("two.toml", 2)):
        (tmp_path / name).write_text(f"[source]\nbuckets = {buckets}\n")
    env = {"SHARDLAKE_CONFIG": "one.toml"}
    assert load({}, env, tmp_path).config.source.buckets == 1
    assert load({}, env, tmp_path, tmp_path / "two.toml").config.source.buckets == 2


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[source]\npth = 'x'", "source.pth; did you mean source.path?"),
        ("[sorce]\npath = 'x'", "sorce"),
        ("path = 'x'", "path; did you mean source.path?"),
        (
            "[source]\nbuckets = 0",
            "source.buckets is 0 (FILE: source.buckets); accepted: a whole number from 1 to 10,000",
        ),
        ("[source]\nbuckets = '4'", "accepted: a whole number from 1 to 10,000"),
        ("[source]\non_change = 'ask'", "source.on_change is 'ask' (FILE: source.on_change); accepted: fail, new, dlq"),
        ("[limits]\nchunk_age_s = -1", "accepted: a number from 0 to"),
        ("[limits]\nsettle_s = inf", "accepted: a number from 0 to"),
        ('[limits]\nquery_memory = "4GB\'; --"', "accepted: a size such as 500MB or 4GB"),
        ("[protect]\nmask = [1]", "accepted: a list of names"),
        ("source = 3", "there is no setting source"),
        ("root = ''", "root is ''"),
        ("[source", "is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, toml=toml)
    assert said.replace("FILE", str(tmp_path / FILE)) in str(caught.value)
    assert FILE in str(caught.value)


def given(folder: Path, way: str, key: str, text: str) -> Resolved:
    """Load one setting, as a user gives it in that way."""
    section, _, name = key.partition(".")
    if way == "file":
        return loaded(folder, toml=f"[{section}]\n{name} = {text}\n")
    if way == "--set":
        return loaded(folder, flags={key: text})
    return loaded(folder, env={settings()[key].env: text})


def refused(folder: Path, way: str, key: str, text: str) -> str:
    """Give what is said to be accepted when one setting is refused, by its key and where it was given."""
    origin = {"file": f"{folder / FILE}: {key}", "environment": settings()[key].env}.get(way, way)
    with pytest.raises(ConfigError, match=rf"^{re.escape(key)} is .* \({re.escape(origin)}\); accepted: ") as caught:
        given(folder, way, key, text)
    return str(caught.value).partition("; accepted: ")[2]


WAYS = ("file", "environment", "--set")
# What does here what Lambda's event source mapping does there, and beside it: name, from, to, and so that is said.
OF_LAMBDA = [
    ("maximum_retry_attempts", "-1", "10000", "a whole number from -1 to 10,000"),
    ("maximum_record_age_in_seconds", "-1", "604800", "a whole number from -1 to 604,800"),
    ("poison_rows_max", "0", "", "a whole number from 0 up"),
    ("chunk_rows_max", "1", "", "a whole number from 1 up"),
    ("chunk_bytes_max", "1", "", "a whole number from 1 up"),
    ("chunk_age_s", "0.0", "1000000000.0", "a number from 0 to 1,000,000,000"),
    ("retry_first_s", "0.0", "1000000000.0", "a number from 0 to 1,000,000,000"),
    ("retry_longest_s", "0.0", "1000000000.0", "a number from 0 to 1,000,000,000"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "low", "high", "accepted"), OF_LAMBDA)
def test_limits_named_as_lambda_s_are_taken_up_to_both_ends(
    tmp_path: Path, way: str, name: str, low: str, high: str, accepted: str
) -> None:
    key = f"limits.{name}"
    number = type(settings()[key].default)
    for text in (low, high or str(10**15)):
        assert getattr(given(tmp_path, way, key, text).config.limits, name) == number(text)
    beyond = [str(number(low) - 1), *([str(number(high) + 1)] if high else [])]
    for text in (*beyond, "'many'"):
        assert refused(tmp_path, way, key, text) == accepted


@pytest.mark.parametrize("way", WAYS)
def test_whether_lines_are_set_apart_is_yes_or_no(tmp_path: Path, way: str) -> None:
    key = "limits.bisect_batch_on_function_error"
    for text, is_on in (("true", True), ("false", False)):
        assert given(tmp_path, way, key, text).config.limits.bisect_batch_on_function_error is is_on
    for text in ("2", "-1"):
        assert refused(tmp_path, way, key, text) == "true, false"


def test_an_unknown_variable_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SHARDLAKE_SOURCE_PTH .*did you mean SHARDLAKE_SOURCE_PATH\?"):
        loaded(tmp_path, env={"SHARDLAKE_SOURCE_PTH": "x"})


def test_an_unknown_flag_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--set source.bucket: .*did you mean source.buckets\?"):
        loaded(tmp_path, flags={"source.bucket": "1"})


def test_variables_that_are_no_settings_are_passed_over(tmp_path: Path) -> None:
    env = {"SHARDLAKE_TEST_DATA": "x", "SHARDLAKE_CRASH_AT": "y", "SHARDLAKE_HASH": "secret", "OTHER": "z"}
    found = loaded(tmp_path, toml="[protect]\nkey_env = 'SHARDLAKE_HASH'", env=env)
    assert "secret" not in repr(found)
    assert loaded(tmp_path, toml="root = 'x'", env=env, flags={"protect.key_env": "SHARDLAKE_HASH"}).file
    with pytest.raises(ConfigError, match="SHARDLAKE_HASH"):
        loaded(tmp_path, toml="[protect]\nkey_env = 'OTHER'", env=env)


def test_values_out_of_text_have_the_setting_s_type(tmp_path: Path) -> None:
    env = {"SHARDLAKE_PROTECT_MASK": "c_ip, cs_cookie", "SHARDLAKE_LIMITS_CHUNK_AGE_S": "2.5"}
    config = loaded(tmp_path, env=env, flags={"views.use": "bots"}).config
    assert config.protect.mask == ("c_ip", "cs_cookie")
    assert config.limits.chunk_age_s == 2.5
    assert config.views.use == ("bots",)
    with pytest.raises(ConfigError, match=r"source.buckets is 'many' \(--set\)"):
        loaded(tmp_path, flags={"source.buckets": "many"})


def test_one_name_may_stand_without_brackets(tmp_path: Path) -> None:
    assert loaded(tmp_path, toml="[views]\nuse = 'all'").config.views.use == ("all",)


def test_every_setting_says_what_it_means_and_accepts_its_default(tmp_path: Path) -> None:
    for key, setting in settings().items():
        assert len(setting.about.split()) > 2, key
        assert setting.accepted, key
        assert msgspec.convert(setting.default, setting.type) == setting.default, key
    assert {f"limits.{name}" for name in Limits.__struct_fields__} <= set(settings())


def test_the_template_explains_every_setting_and_its_comments_are_the_defaults(tmp_path: Path) -> None:
    text = render({"root": ".shardlake", "source.path": 'a "b"\\c'})
    assert tomllib.loads(text)["source"] == {"path": 'a "b"\\c'}
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    assert all(setting.about in text for setting in settings().values())
    found = loaded(tmp_path, toml=uncommented)
    assert {v.origin.partition(": ")[0] for v in found.values.values()} == {str(tmp_path / FILE)}
    assert found.config.limits == Config().limits

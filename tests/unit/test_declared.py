"""Packs that are folders: what is declared, and what is refused with the place and what is accepted."""

from pathlib import Path

import pytest

from shardlake.core.errors import ConfigError
from shardlake.core.schema import Column
from shardlake.packs.declared import words
from shardlake.packs.declared.pack import DeclaredPack
from shardlake.packs.registry import load

CLICKS = """\
format = "json"
event_time = "time"
event_id = "id"

[columns]
time = { type = "TIMESTAMP", from = "ts" }
id = "VARCHAR"
user = { type = "VARCHAR", from = "user.id", about = "who" }
page = "VARCHAR"
section = { is = "split_part(page, '/', 2)" }
"""
LOG = """\
format = "log"
event_time = "time"
fields = ["[time]", '"request"', "status"]

[columns]
time = { type = "TIMESTAMP", time = "%d/%b/%Y:%H:%M:%S %z" }
request = "VARCHAR"
status = "BIGINT"
"""


def folder(tmp_path: Path, text: str = CLICKS, name: str = "clicks") -> Path:
    made = tmp_path / name
    (made / "views").mkdir(parents=True)
    (made / "pack.toml").write_text(text)
    return made


def pack(tmp_path: Path, text: str = CLICKS, name: str = "clicks") -> DeclaredPack:
    return DeclaredPack(folder(tmp_path, text, name), name)


def test_a_folder_is_a_pack(tmp_path: Path) -> None:
    made = folder(tmp_path)
    (made / "views" / "sales.sql").write_text("SELECT section, count(*) AS n FROM clicks GROUP BY section")
    (made / "views" / ".hidden.sql").write_text("x")
    loaded = load(str(made))
    assert loaded.name == loaded.schema.name == "clicks"
    assert [c.name for c in loaded.schema.columns] == ["time", "id", "user", "page", "section"]
    assert loaded.schema.column("user") == Column("user", "VARCHAR", "who")
    assert (loaded.schema.event_time, loaded.schema.event_id) == ("time", "id")
    assert list(loaded.views) == ["sales"] and loaded.sort_keys == ("time",)
    assert loaded.derived == {"section": ("page",)}


def test_a_pack_may_name_itself_but_not_like_one_of_ours(tmp_path: Path) -> None:
    assert load(str(folder(tmp_path, 'name = "other"\n' + CLICKS))).name == "other"
    with pytest.raises(ConfigError, match="cloudfront is the name of a pack of Shardlake's own"):
        load(str(folder(tmp_path, CLICKS, "cloudfront")))


def test_what_is_no_pack_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no pack 'click'; accepted: alb, cloudfront, .*such as \./click"):
        load("click")
    with pytest.raises(ConfigError, match=r"there is no .*pack\.toml that can be read: a pack is"):
        load(str(tmp_path / "nothing"))


REFUSED = {
    'format = "json"': ('format = "xml"', r"format is 'xml'; accepted: json, csv, tsv, log"),
    'event_time = "time"': ('event_time = "tim"', "event_time is 'tim', which is no column; there are: time, id"),
    'event_id = "id"': ('event_id = "time"', "event_id is 'time', which must be VARCHAR"),
    '"TIMESTAMP", from': ('"VARCHAR", from', "event_time is 'time', which is VARCHAR: make it a TIMESTAMP"),
    'id = "VARCHAR"': ('id = "TEXT"', "column id of clicks has type TEXT; accepted: BOOLEAN, INTEGER"),
    'page = "VARCHAR"': ('_shard = "VARCHAR"\npage = "VARCHAR"', "columns._shard is no name for a column"),
    'from = "user.id"': ('from = "user..id"', r"columns\.user\.from is 'user\.\.id'; accepted: keys with dots"),
    'about = "who"': ('abut = "who"', r"columns\.user: there is no key abut; did you mean about\?"),
    "split_part(page, '/', 2)": ("now()", r"columns\.section\.is: now is not in the portable core .*\(at 1\)"),
    "split_part(page,": ("split_part(pag,", r"columns\.section\.is: clicks has no column pag .*did you mean page"),
    '{ is = "split_part(page': ('{ type = "BIGINT", is = "split_part(page', "leave the other keys out"),
    "[columns]": ("header = true\n[columns]", "header is for lines of fields; a JSON line names its own"),
    '"TIMESTAMP",': ('"TIMESTAMP", time = "%H:%M",', "time is '%H:%M', which does not tell year, month and day"),
    '"TIMESTAMP", ': ('"TIMESTAMP", time = "sec", ', "time is 'sec'; accepted: iso, s, ms, us, ns, epoch, or a"),
    'id"': ("id", "is not TOML"),
    "event_id": ("fields_min = '1'\nevent_id", "fields_min: Expected a whole number, got a text"),
    "event_id =": ("zzz = 1\nevent_id =", "there is no key zzz; accepted: format, columns"),
    '"user.id"': ('"user\\u0000id"', "holds a character that cannot be seen"),
    "user.id": ("$.user.*", r"columns\.user\.from is '\$\.user\.\*'; accepted"),
}  # fmt: skip


@pytest.mark.parametrize("old", REFUSED)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, old: str) -> None:
    new, told = REFUSED[old]
    assert old in CLICKS
    with pytest.raises(ConfigError, match=told) as refused:
        pack(tmp_path, CLICKS.replace(old, new, 1))
    assert "pack.toml" in str(refused.value)


REFUSED_LOG = {
    '"status"]': ('"code"]', "fields does not name status, which a column reads"),
    '"[time]",': ('"[time]", "status",', "fields names status twice; a field to pass over is called -"),
    'format = "log"': ('format = "log"\ndelimiter = "||"', r"delimiter is '\|\|'; accepted: one ASCII character"),
    "[columns]": ("fields_min = 4\n[columns]", "fields_min is 4; accepted: up to the number of fields, 3"),
    """fields = ["[time]", '"request"', "status"]""": ("", "nothing names the fields: set header = true"),
    "event_time": ('user_agent = "status"\nevent_time', "user_agent is 'status'; accepted: a VARCHAR column"),
    "\nevent_time": ('\nbucket = "("\nevent_time', "bucket is no regular expression"),
    'request = "VARCHAR"': ('request = "VARCHAR"\nx = { type = "VARCHAR", from = "STATUS" }', "and another column"),
    "[columns]\n": ('sort = ["x"]\n[columns]\n', "sort names x, which is no column; there are: request, status, time"),
}


@pytest.mark.parametrize("old", REFUSED_LOG)
def test_what_is_wrong_with_fields_is_refused(tmp_path: Path, old: str) -> None:
    new, told = REFUSED_LOG[old]
    assert old in LOG
    with pytest.raises(ConfigError, match=told):
        pack(tmp_path, LOG.replace(old, new, 1))


def test_a_pattern_that_no_engine_takes_is_told_when_a_decoder_is_made(tmp_path: Path) -> None:
    made = pack(tmp_path, CLICKS.replace("split_part(page, '/', 2)", "regexp_extract(page, '(')"))
    with pytest.raises(ConfigError, match=r"columns\.section\.is cannot be computed"):
        made.open("")


WRONG = {
    'type = "TIMESTAMP", from': ('type = "TIMESTAMP", time = "%Y-%m-%d %Q", from', r"columns\.time\.time cannot be"),
    "user.id": ("user[9999999999]", r"columns\.user\.from is 'user\[9999999999\]'; accepted"),
    'page = "VARCHAR"': ('page = "VARCHAR"\nd = "DECIMAL(2,5)"', r"DECIMAL\(p,s\) with p from 1 to 38 and s up to p"),
}


@pytest.mark.parametrize("old", WRONG)
def test_what_no_engine_can_read_is_told_before_anything_is_read(tmp_path: Path, old: str) -> None:
    new, told = WRONG[old]
    assert old in CLICKS
    with pytest.raises(ConfigError, match=told):
        pack(tmp_path, CLICKS.replace(old, new, 1)).open("")


def test_the_fields_of_a_stream_are_checked(tmp_path: Path) -> None:
    log = pack(tmp_path, LOG, "log")
    assert log.stream_fields == ("[time]", '"request"', "status")
    with pytest.raises(ConfigError, match=r"log has no field 'x'; accepted: request, status, time, and - to"):
        log.open("", ("time", "x"))
    with pytest.raises(ConfigError, match=r"source\.fields lacks time"):
        log.open("", ("status", "-"))
    with pytest.raises(ConfigError, match=r"source\.fields is not set"):
        log.open("", ())
    with pytest.raises(ConfigError, match="JSON, which name their own"):
        pack(tmp_path, CLICKS).open("", ("time",))


def test_columns_of_one_field_or_of_a_part_of_it_protect_each_other(tmp_path: Path) -> None:
    more = (
        CLICKS + 'whole = { type = "VARCHAR", from = "user" }\nuserid = { type = "VARCHAR", from = "user.identity" }\n'
    )
    derived = pack(tmp_path, more).derived
    assert derived["user"] == ("whole",) and set(derived["whole"]) == {"user", "userid"}


def test_what_is_computed_repeats_whatever_its_origins_repeat(tmp_path: Path) -> None:
    more = CLICKS + 'same = { type = "VARCHAR", from = \'$."user".id\' }\nloud = { is = "upper(same)" }\n'
    made = pack(tmp_path, 'user_agent = "same"\n' + more)
    assert made.derived["user"] == ("same",)
    assert made.derived["loud"] == made.derived["user_agent"] == ("same", "user")


def test_the_bucket_of_an_object_is_what_the_groups_find(tmp_path: Path) -> None:
    log = pack(tmp_path, LOG.replace("[columns]", 'bucket = "(E[0-9]+)_(?:x)_(\\\\d+)"\n[columns]'), "log")
    assert log.bucket_key("logs/E12_x_2026.gz") == "E12.2026"
    assert log.bucket_key("logs/other.gz") is None


def test_a_declared_name_of_a_field_is_bare() -> None:
    assert list(map(words.bare, ["[a]", '"b"', "c", "[d", ""])) == ["a", "b", "c", "[d", ""]

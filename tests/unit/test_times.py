"""Times are shown in a zone, with their offset; what cannot be shown there stays UTC, and a wrong name is told."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from shardlake.app.text import cell
from shardlake.app.times import AS_STORED, shown, zone
from shardlake.core.errors import ConfigError

NOON = datetime(2026, 3, 1, 12)
SUMMER = datetime(2026, 7, 1, 12)


def cells(name: str, *values: Any) -> list[str]:
    return [cell(value) for value in shown([values], zone(name, ""))[0]]


def test_times_are_labelled_with_the_offset_of_their_day() -> None:
    assert cells("Europe/Berlin", NOON, SUMMER) == ["2026-03-01 13:00:00+01:00", "2026-07-01 14:00:00+02:00"]
    assert cells("America/St_Johns", NOON) == ["2026-03-01 08:30:00-03:30"]


@pytest.mark.parametrize(("name", "offset"), [("+05:30", "17:30:00+05:30"), ("-0300", "09:00:00-03:00")])
def test_an_offset_is_a_zone(name: str, offset: str) -> None:
    assert cells(name, NOON) == [f"2026-03-01 {offset}"]


@pytest.mark.parametrize("name", ["UTC", "utc", "Z", "+00:00"])
def test_utc_is_as_it_is_stored(name: str) -> None:
    assert zone(name, "") is AS_STORED
    assert cells(name, NOON) == ["2026-03-01 12:00:00"]


@pytest.mark.slow
def test_local_is_the_machine_s_zone() -> None:
    script = (
        "from datetime import datetime; from shardlake.app.times import zone\n"
        "local = zone('local', ''); summer = datetime(2026, 7, 1, 12)\n"
        "print(local.of(summer), local.seconds(summer), local.wall(local.seconds(summer)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env={"TZ": "America/New_York"}, capture_output=True, text=True, check=True
    )
    seconds = (SUMMER + timedelta(hours=4)).replace(tzinfo=UTC).timestamp()
    assert ran.stdout.strip() == f"2026-07-01 08:00:00-04:00 {seconds} 2026-07-01 12:00:00"


def test_only_times_are_converted_also_within_lists_and_structs() -> None:
    kept = (None, 1, "2026-03-01", date(2026, 3, 1), time(12), timedelta(1), b"x")
    berlin = zone("Europe/Berlin", "")
    assert shown([kept], berlin) == [kept]
    (row,) = shown([([NOON], {"at": NOON, "n": 1})], berlin)
    assert [str(row[0][0]), str(row[1]["at"]), row[1]["n"]] == ["2026-03-01 13:00:00+01:00"] * 2 + [1]


def test_a_time_that_has_a_zone_keeps_its_moment() -> None:
    assert cells("Europe/Berlin", NOON.replace(tzinfo=timezone(timedelta(hours=2)))) == ["2026-03-01 11:00:00+01:00"]


@pytest.mark.parametrize("name", ["Asia/Tokyo", "America/New_York", "local"])
def test_the_ends_of_the_calendar_are_shown(name: str) -> None:
    ends = (datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
    assert [text[:4] in ("0001", "9999") or text[:2] == "1-" for text in cells(name, *ends)] == [True, True]
    assert zone(name, "").text(10**18).endswith("us since 1970")


def test_a_time_of_a_certificate_is_told_in_the_zone() -> None:
    micros = int(NOON.replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert zone("Europe/Berlin", "").text(micros) == "2026-03-01 13:00:00+01:00"
    assert AS_STORED.text(micros) == "2026-03-01 12:00:00 UTC"
    assert zone("Europe/Berlin", "").text(None) == "-"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York?"),
        ("Mars/Base", "(--tz); accepted: UTC, local"),
        ("", "accepted: UTC, local, a name such as Europe/Berlin"),
        ("Europe", "accepted: UTC, local, a name such as Europe/Berlin"),
        ("../../etc/passwd", "accepted: UTC, local"),
        ("/etc/passwd", "accepted: UTC, local"),
        ("a\0b", "accepted: UTC, local"),
        ("+99:00", "or an offset such as +05:30"),
        ("+05:99", "or an offset such as +05:30"),
        ("Ünknown/Zöne", "accepted: UTC, local"),
    ],
)
def test_an_unknown_zone_is_told_with_some_that_are_accepted(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        zone(name, "--tz")
    assert near in str(caught.value)
    assert str(caught.value).startswith(f"query.timezone is {name!r} (--tz); ")


def test_a_machine_without_zones_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import zoneinfo

    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(ConfigError, match="install the package tzdata"):
        zone("Europe/Berlin", "--tz")

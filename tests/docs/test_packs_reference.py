"""The reference of `pack.toml` names every key there is, and its examples are accepted."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shardlake.core.schema import PLAIN_TYPES
from shardlake.packs import registry
from shardlake.packs.declared import declaration
from shardlake.packs.pack import Reason

_ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
# What is told of files that end or break, not of lines.
ELSEWHERE = {Reason.TRUNCATED_GZIP, Reason.POISON_DECODE, Reason.POISON_VIEW}  # docs/operations.md


@pytest.fixture(name="page", scope="module")
def _page() -> str:
    return (Path(__file__).resolve().parents[2] / "docs" / "packs" / "README.md").read_text("utf-8")


def section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "struct"), [("Keys of the file", declaration._File), ("Keys of a column", declaration._Column)]
)
def test_every_key_is_explained_with_its_default(page: str, title: str, struct: type[msgspec.Struct]) -> None:
    rows = {name: (accepted, default) for name, accepted, default, _ in _ROW.findall(section(page, title))}
    fields: dict[str, Any] = {f.encode_name: f for f in msgspec.structs.fields(struct)}
    assert list(rows) and set(rows) == set(fields)
    for name, field in fields.items():
        assert (rows[name][1] == "required") == field.required, name
        assert (rows[name][1] == "`false`") == (field.default is False), name


def test_formats_times_types_and_packs_are_those_that_are_accepted(page: str) -> None:
    rows = {name: accepted for name, accepted, _, _ in _ROW.findall(page)}
    assert set(_CODE.findall(rows["format"])) == set(declaration._DELIMITERS)
    assert set(_CODE.findall(rows["time"])) == set(declaration.TIMES)
    types = set(_CODE.findall(" ".join(re.findall(r"^\| (`[A-Z].*?`) \|", section(page, "Types"), re.MULTILINE))))
    assert types == {*PLAIN_TYPES, "DECIMAL(p,s)"}
    assert {*registry.PACKS, *registry.FOLDERS} <= set(_CODE.findall(page))


def test_every_reason_is_explained(page: str) -> None:
    told = set(_CODE.findall(section(page, "How lines are read")))
    assert {str(reason) for reason in set(Reason) - ELSEWHERE} <= told


def test_defaults_by_format_are_told(page: str) -> None:
    told = {name: text for name, _, _, text in _ROW.findall(page)}["nulls"]
    for kind, nulls in declaration._NULLS.items():
        listed = " and ".join(f'`"{null}"`' for null in nulls) or "nothing"
        assert f"{listed} for `{kind}`" in told


def test_the_examples_are_accepted(page: str) -> None:
    examples = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert examples
    for text in examples:
        assert declaration.parse(text, "clicks", "pack.toml").name == "clicks"

"""What a notebook shows of an answer and of a connection: readable, and harmless whatever stands in a log."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import Answer
from serving.certificate import Certificate, ViewCertificate
from serving.display import LETTERS_MAX, SHOWN, answer_html, connection_html, summary
from shardlake.core.compiler import compile_view
from shardlake.packs.cloudfront.schema import SCHEMA

VIEW = ViewCertificate("viewers", "be1327c5196047a5", "exact", {0: 9, 1: 4}, "77", 1234, 3, 0)
CERTIFICATE = Certificate(
    {1: 6, 0: 12}, {0: "aa", 1: "bb"}, (VIEW,), 1_773_748_799_000_000, 306_000, 6_000, 60, 1, {"s/0001": "0013.0010"}
)
ALLOWED = {"div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "b", "br", "span"}


class Page(HTMLParser):
    """The tags, attributes and text of some HTML, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _page(columns: Mapping[str, pa.Array], certificate: Certificate = CERTIFICATE) -> Page:
    return Page(answer_html(pa.table(dict(columns)), certificate))


def _assert_harmless(page: Page) -> None:
    assert page.tags <= ALLOWED
    assert {name for name, _ in page.attributes} <= {"style", "title", "class"}
    for name, value in page.attributes:
        assert name != "style" or not re.search(r"url|expression|color|background|#|\(", value), "themes choose colours"


# ---------------------------------------------------------------------------------------------------- harmless


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(document.cookie)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</td></table><iframe src=//example.com>",
        "&lt;b&gt;",
        "<!--",
    ],
)
def test_what_a_stranger_wrote_is_text_and_nothing_else(text: str) -> None:
    for column in (
        {"user_agent": pa.array([text])},
        {text: pa.array([1])},
        {"list": pa.array([[text]])},
        {"s": pa.array([{text: 1}])},
    ):
        page = _page(column)
        _assert_harmless(page)
        assert text in "".join(page.texts) or repr(text) in "".join(page.texts)


@given(st.text(), st.floats() | st.none(), st.binary(max_size=20))
def test_any_value_is_shown_and_harmless(text: str, number: float | None, data: bytes) -> None:
    usable = text.encode("utf-8", "replace").decode()
    page = _page({"a": pa.array([usable]), "n": pa.array([number], pa.float64()), "b": pa.array([data])})
    _assert_harmless(page)


def test_mathjax_leaves_dollars_alone() -> None:
    html = answer_html(pa.table({"agent": ["${jndi:ldap://x}", r"$\href{javascript:alert(1)}{x}$"]}), CERTIFICATE)
    assert html.startswith('<div class="tex2jax_ignore mathjax_ignore">')
    assert html.endswith("</div>")


def test_what_cannot_be_seen_is_written_out() -> None:
    page = _page({"a": pa.array(["evil\u202egpj.exe", "a\nb\x00", "größe 百度"])})
    assert {r"evil\u202egpj.exe", r"a\nb\x00", "größe 百度"} <= set(page.texts)


def test_a_long_value_is_cut() -> None:
    assert "x" * LETTERS_MAX + "…" in _page({"a": pa.array(["x" * 100_000])}).texts


# ---------------------------------------------------------------------------------------------------- readable


def _cell(value: Any, kind: pa.DataType | None = None) -> str:
    found = re.search(
        r"<td(?P<rest>[^>]*>)(?P<text>[^<]*)", answer_html(pa.table({"a": pa.array([value], kind)}), CERTIFICATE)
    )
    assert found
    side = "right" if "text-align:right" in found["rest"] else "left"
    return f"{side} {found['text']}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2026, "right 2026"),
        (1234567, "right 1,234,567"),
        (-10_000, "right -10,000"),
        (Decimal("123456789012345678901234.50"), "right 123,456,789,012,345,678,901,234.50"),
        (0.1 + 0.2, "right 0.3"),
        (1234567.25, "right 1,234,567"),
        (float("nan"), "right nan"),
        (1e300, "right 1e+300"),
        (True, "left true"),
        ("12345678", "left 12345678"),
        (datetime(2026, 3, 17, 9, 5), "left 2026-03-17 09:05:00"),
    ],
)
def test_a_value_is_shown_by_its_type(value: object, shown: str) -> None:
    assert _cell(value) == shown


def test_a_double_that_was_rounded_tells_all_of_it_on_demand() -> None:
    assert 'title="0.30000000000000004"' in answer_html(pa.table({"a": [0.1 + 0.2]}), CERTIFICATE)


def test_null_is_dim_and_is_not_the_word() -> None:
    null, word = (answer_html(pa.table({"a": pa.array([v], pa.string())}), CERTIFICATE) for v in (None, "NULL"))
    assert "font-style:italic" in null
    assert "font-style:italic" not in word


def test_the_first_rows_are_shown_with_how_many_there_are() -> None:
    many = _page({"a": pa.array([f"row {n}" for n in range(1234)])})
    assert sum(text.startswith("row ") for text in many.texts) == SHOWN
    assert f"the first {SHOWN} of 1,234 rows" in many.texts
    assert "1 row" in _page({"a": pa.array([1])}).texts
    assert "0 rows" in _page({"a": pa.array([], pa.int64())}).texts


# ------------------------------------------------------------------------------------------------- certificate


def test_the_certificate_is_a_line_that_unfolds_to_all_of_it() -> None:
    line = "cut 0:12 1:6 · seam 0:9 1:4 · newest event 2026-03-17 11:59:59 UTC · exact · 60 dead letters · 1 gap"
    assert summary(CERTIFICATE) == line
    texts = _page({"a": pa.array([1])}).texts
    assert line in texts
    everything = "\n".join(texts)
    told = ("entry 12 (aa)", "306,000 events", "6,000 of them", "a shard and its ancestors", "be1327c5196047a5")
    for fact in (*told, "snapshot 77", "1,234 rows of batch", "3 entries since", "of 1 shard,"):
        assert fact in everything


def test_nothing_and_another_age_have_certificates_too() -> None:
    empty = Certificate({}, {}, (ViewCertificate("v", "f", "sketch", {}, "", 0, 0, 0),), None, 0, 0, 0, 0, {})
    assert summary(empty) == "cut nothing · seam nothing · newest event none · sketch"
    assert "no batch table yet" in "\n".join(_page({"a": pa.array([1])}, empty).texts)
    ancient = Certificate({0: 1}, {0: "a"}, (VIEW,), 2**62, 1, 0, 0, 0, {})
    assert "µs after 1970" in summary(ancient)


def test_the_weakest_class_of_the_views_is_told_and_seams_that_differ() -> None:
    other = ViewCertificate("waits", "f", "bounded", {0: 3}, "1", 1, 0, 0)
    both = Certificate({0: 12}, {0: "a"}, (VIEW, other), None, 1, 0, 0, 0, {})
    assert summary(both) == "cut 0:12 · seam viewers 0:9 1:4, waits 0:3 · newest event none · bounded"


# -------------------------------------------------------------------------------------------------- connection


def test_a_connection_lists_its_views_with_columns_and_descriptions() -> None:
    sql = (
        "-- description: what <b> each viewer waits\n"
        "SELECT c_ip AS viewer, sum(time_taken_s) AS seconds, approx_count_distinct(cs_uri_stem) AS paths "
        "FROM cloudfront GROUP BY viewer"
    )
    page = Page(connection_html("/data/<root>", {"waits": compile_view("waits", sql, SCHEMA)}))
    _assert_harmless(page)
    text = "".join(page.texts)
    assert "/data/<root>" in text
    assert "what <b> each viewer waits" in text
    assert "viewer VARCHAR key, seconds DOUBLE bounded, paths BIGINT sketch" in text


def test_an_answer_shows_itself() -> None:
    table = pa.table({"n": [80]})
    assert Answer(table, CERTIFICATE)._repr_html_() == answer_html(table, CERTIFICATE)


def test_a_frame_has_integers_that_can_be_computed_with_where_they_fit() -> None:
    from decimal import Decimal

    from serving.frame import to_pandas

    kind = pa.decimal128(38, 0)
    table = pa.table({"sum": pa.array([Decimal(5), None], kind), "huge": pa.array([Decimal(10**30), None], kind)})
    frame = to_pandas(table)
    assert [str(one) for one in frame.dtypes] == ["int64[pyarrow]", "decimal128(38, 0)[pyarrow]"]
    assert int(frame["sum"][0]) == 5 and frame["huge"][0] == 10**30

"""Letters read once more: each by itself, by the fields that are configured, and only what is a whole line."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import pyarrow as pa
import pytest

from shardlake.adapters.arrow import binaries, strings
from shardlake.adapters.engine import Engine
from shardlake.core.limits import Limits
from shardlake.packs.cloudfront.pack import CloudFront, CloudFrontRealtime
from shardlake.packs.pack import Decoded, Decoder, Pack, Reason
from streams.again import LINES, NO_EVENT, Rereading, is_cut_sql
from streams.decode import told
from streams.protect import Protection
from streams.sources.port import Fault

FIELDS = ("date", "time", "x-edge-location", "sc-bytes", "c-ip", "cs(User-Agent)", "x-edge-request-id")
NAME = "{}.2026-03-01-10.abcdef01.gz"
ONE, TWO = NAME.format("E2EXAMPLE1234"), NAME.format("E2EXAMPLE5678")


def line(n: int) -> bytes:
    return b"2026-03-01\t10:00:%02d\tFRA56-P4\t%d\t10.0.0.%d\tcurl/8.0\tid%d" % (n % 60, 1000 + n, n, n)


def letters(*lines: bytes, origins: Sequence[str] = ()) -> pa.Table:
    named = list(origins) or [ONE] * len(lines)
    return pa.table({"origin": strings(named), "payload": binaries(list(lines))})


def rereading(
    fields: tuple[str, ...] | None = FIELDS, pack: Pack | None = None, protection: Protection | None = None
) -> Rereading:
    return Rereading(pack or CloudFront(), protection or Protection(), Limits(), fields)


def test_what_can_be_read_is_a_row_and_the_rest_says_why_not() -> None:
    again = rereading().read(letters(line(1), b"short", line(2), line(3).replace(b"1003", b"x"), line(4) + b"\xff"))
    assert again.rows["sc_bytes"].to_pylist() == [1001, 1002]
    assert again.letters.tolist() == [0, 2]
    assert [(one.index, one.reason) for one in again.failing] == [
        (1, "too_few_fields"),
        (3, "wrong_type"),
        (4, "invalid_utf8"),
    ]
    assert again.rows.schema == CloudFront().enrich(CloudFront().open("").decode(b"").rows).schema


def test_rows_are_enriched_protected_and_know_the_file_that_they_came_from() -> None:
    pack = CloudFront()
    protection = Protection.of(pack.schema, pack.derived, mask=["c_ip"])
    again = rereading(protection=protection).read(letters(line(1), line(2), line(3), origins=[ONE, TWO, ONE]))
    found = [again.rows[name].to_pylist() for name in ("distribution", "c_ip", "is_bot")]
    assert again.letters.tolist() == [0, 2, 1]
    assert found[0] == ["E2EXAMPLE1234", "E2EXAMPLE1234", "E2EXAMPLE5678"]
    assert found[1] == ["***"] * 3
    assert None not in found[2]


def test_a_line_that_needs_its_files_header_says_so() -> None:
    again = rereading(None).read(letters(line(1), line(2)))
    assert again.rows.num_rows == 0
    assert [one.reason for one in again.failing] == ["no_header"] * 2


HEADER = b"#Fields: " + b" ".join(field.encode() for field in FIELDS)


@pytest.mark.parametrize("order", list(permutations((HEADER, line(1), b"short", b" "))))
def test_no_letter_tells_how_to_read_another(order: tuple[bytes, ...]) -> None:
    again = rereading(None).read(letters(*order))
    assert again.rows.num_rows == 0
    assert {order[one.index]: one.reason for one in again.failing} == {
        HEADER: NO_EVENT,
        line(1): "no_header",
        b"short": "no_header",
        b" ": NO_EVENT,
    }


@dataclass
class HeadedDecoder:
    """A decoder to which any first line is a header."""

    inner: Decoder
    unknown_fields: tuple[str, ...] = ()

    def decode(self, block: bytes) -> Decoded:
        decoded = self.inner.decode(block.partition(b"\n")[2])
        return Decoded(decoded.rows, decoded.lines + 1, decoded.letters)

    def skip(self, block: bytes) -> None:
        raise AssertionError(block)


class Headed(CloudFront):
    """A pack whose files are read by the names in their first line."""

    def open(self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = 1 << 20) -> Decoder:
        assert fields is None
        return HeadedDecoder(super().open(origin, FIELDS, line_bytes_max=line_bytes_max))


def test_where_any_first_line_is_a_header_nothing_is_read_without_one() -> None:
    again = rereading(None, Headed()).read(letters(line(1), line(2), line(3)))
    assert again.rows.num_rows == 0
    assert [(one.index, one.reason) for one in again.failing] == [(n, Reason.NO_HEADER) for n in range(3)]


def test_a_real_time_line_is_read_by_more_fields_than_before() -> None:
    fields = ("timestamp", "c-ip", "sc-bytes", "x-edge-request-id")
    pack = CloudFrontRealtime()
    lines = letters(b"1767225600.123\t10.0.0.1\t5\tid1", b"1767225600.123\t10.0.0.1\t5", origins=["live", "live"])
    assert rereading(fields[:3], pack).read(lines).letters.tolist() == [1]
    assert rereading(fields, pack).read(lines).letters.tolist() == [0]


def test_what_is_more_than_a_line_moves_no_other() -> None:
    again = rereading().read(letters(line(1), line(2) + b"\n" + line(3), line(4)))
    assert (again.rows["sc_bytes"].to_pylist(), again.letters.tolist()) == ([1001, 1004], [0, 2])
    assert [(one.index, one.reason) for one in again.failing] == [(1, NO_EVENT)]


def test_nothing_is_read_of_nothing() -> None:
    again = rereading().read(letters())
    assert (again.rows.num_rows, again.letters.tolist(), again.failing) == (0, [], ())


def test_only_what_a_decoder_says_of_a_line_can_be_read_again() -> None:
    assert {reason.value for reason in Reason} - LINES == {"truncated_gzip"}
    assert not LINES & {"cut_line", "corrupt_gzip", "outside_shard", "object_changed", "records_trimmed"}


@pytest.mark.parametrize("length", [10, 11])
def test_a_letter_that_keeps_only_the_start_of_its_line_is_known_by_its_detail(length: int) -> None:
    detail = told(Fault(1, "line_too_long", "a line of 11 bytes", b"x" * length, length, "ab" * 32), 10)
    found = Engine().table(
        f"SELECT {is_cut_sql('detail')} AS cut FROM d", {"d": pa.table({"detail": strings([detail])})}
    )
    assert found["cut"].to_pylist() == [length > 10]

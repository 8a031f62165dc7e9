"""A line on which a pack fails is one dead letter, found in few attempts; every other line is read once, in order."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shardlake.adapters.arrow import strings
from shardlake.core.errors import ConfigError, MemoryExhausted, SqlFailed, Transient
from shardlake.core.limits import Limits
from shardlake.core.positions import END, ORIGIN, Position, ShardId, encode_number
from shardlake.packs.pack import LINE_BYTES_MAX, Decoded, Letter, Reason
from shardlake.testing.clicks import Clicks
from shardlake.testing.world import ARROW
from streams.chunk import Piece
from streams.decode import Decoding, Waits
from streams.poison import PROBES_MAX, Culprit, Part, Patience, Search, bound
from streams.protect import Protection
from streams.sources.port import Block, Fault, Records

POISON: Final = b"poison"
SHARD: Final = ShardId("s/one")
FIRST: Final = 10**30
PAGE: Final = 10_000
LIMITS: Final = Limits()

Fails = Callable[[list[bytes]], Exception | None]


def by_marker(lines: list[bytes]) -> Exception | None:
    return ValueError("it holds a secret") if any(POISON in line for line in lines) else None


@dataclass
class Fragile(Clicks):
    """A pack of numbers, one a line, that fails as it is told; its decoders count their calls."""

    fails: Fails = by_marker
    calls: list[int] = field(default_factory=list)

    def open(self, origin: str, fields: tuple[str, ...] | None = None, *, line_bytes_max: int = LINE_BYTES_MAX) -> Any:
        del origin, fields, line_bytes_max
        return FragileLines(self)


@dataclass
class FragileLines:
    """Reads numbers; a line that begins with # is a header, whose text is the page of those below."""

    pack: Fragile
    page: str | None = None
    unknown_fields: tuple[str, ...] = ()

    def decode(self, block: bytes) -> Decoded:
        lines = block.removesuffix(b"\n").split(b"\n") if block else []
        self.pack.calls.append(len(lines))
        if error := self.pack.fails(lines):
            self.page = "left behind by what failed"
            raise error
        numbers, at, letters = [], [], []
        for index, line in enumerate(lines):
            if line.startswith(b"#"):
                self.page = line[1:].decode()
            elif line.isdigit():
                numbers.append({"clicked": None, "page": self.page, "cost": int(line)})
                at.append(index)
            elif line:
                letters.append(Letter(index, Reason.WRONG_TYPE, "no number", line))
        return Decoded(pa.Table.from_pylist(numbers, ARROW), np.array(at, np.int64), tuple(letters))

    def skip(self, block: bytes) -> None:
        for line in block.split(b"\n"):
            if line.startswith(b"#"):
                if POISON in line:
                    raise ValueError("a header that cannot be read")
                self.page = line[1:].decode()


def decoding(pack: Fragile | None = None, limits: Limits = LIMITS) -> Decoding:
    return Decoding(pack or Fragile(), Protection(), limits)


def records(lines: Sequence[bytes], together: int = 1, **more: Any) -> Records:
    """Lines of records, so many together in each."""
    numbers = [FIRST + at // together for at in range(len(lines))]
    subs = np.array([at % together for at in range(len(lines))], np.int64)
    arrivals = np.array([1_000_000 * (at // together) for at in range(len(lines))], np.int64)
    upto = Position(numbers[-1], int(subs[-1])) if lines else Position(FIRST)
    sequences = strings([encode_number(number) for number in numbers])
    given = Records(SHARD, ORIGIN, upto, "stream", b"\n".join(lines), sequences, subs, arrivals)
    return replace(given, **more)


def numbered(count: int, bad: Sequence[int] = ()) -> list[bytes]:
    lines = [b"%d" % at for at in range(count)]
    for at in bad:
        lines[at] = b"%d %s" % (at, POISON)
    return lines


def read(piece: Piece | None) -> tuple[list[int], list[bytes]]:
    """The numbers that were read, and the payloads of letters."""
    assert piece is not None
    letters = piece.letters.to_pylist() if piece.letters is not None else []
    return piece.rows["cost"].to_pylist(), [letter["payload"] for letter in letters]


# ---------------------------------------------------------------------------------------------------- how many attempts


@pytest.mark.parametrize("at", [0, 1, 4_999, 5_000, 5_001, 8_191, 8_192, PAGE - 2, PAGE - 1, *range(17, PAGE, 611)])
def test_one_bad_record_in_ten_thousand_is_one_letter_and_fourteen_attempts_at_most(at: int) -> None:
    pack = Fragile()
    piece = decoding(pack).piece(records(numbered(PAGE, [at])))
    assert read(piece) == ([n for n in range(PAGE) if n != at], [b"%d %s" % (at, POISON)])
    failing, *more = pack.calls
    rest = [PAGE - at - 1] if at < PAGE - 1 else []
    assert failing == PAGE and more[len(more) - len(rest) :] == rest
    assert len(more) - len(rest) <= PROBES_MAX == 14
    assert piece is not None and piece.isolated[0].attempts == len(more)


def test_a_letter_has_its_payload_place_and_reason_and_tells_nothing_of_the_payload() -> None:
    piece = decoding().piece(records(numbered(30, [17]), together=3))
    assert piece is not None and piece.letters is not None
    [letter] = piece.letters.to_pylist()
    place = letter["_shard"], letter["_sequence"], letter["_sub"], letter["origin"]
    assert place == (SHARD, encode_number(FIRST + 5), 2, "stream")
    assert (letter["reason"], letter["payload"]) == ("poison_decode", b"17 " + POISON)
    assert letter["detail"] == "decoding it failed: ValueError"
    assert letter["_arrival"].second == 5
    [told] = piece.isolated
    assert (told.what, told.letters, told.kind, told.first) == ("decode", 1, "ValueError", f"{SHARD}:{FIRST + 5}:2")


@pytest.mark.parametrize("lines", [0, 1, 2, 3, PAGE - 1, PAGE, 2**14, 2**14 + 1, 100_000])
def test_the_bound_is_fourteen_for_a_page_and_grows_by_one_when_lines_double(lines: int) -> None:
    assert bound(lines) == (14 if lines <= 2**14 else len(bin(lines - 1)) - 2)


# ------------------------------------------------------------------------------------------- what is found, and how


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=5))))
@example((1, {0}))
@example((2, {0, 1}))
@example((300, {0, 149, 150, 298, 299}))
def test_exactly_the_bad_lines_are_letters_and_the_others_are_read_in_order(given_lines: tuple[int, set[int]]) -> None:
    count, bad = given_lines
    pack = Fragile()
    lines = numbered(count, sorted(bad))
    piece = decoding(pack).piece(records(lines))
    assert read(piece) == ([n for n in range(count) if n not in bad], [lines[at] for at in sorted(bad)])
    assert piece is not None and isinstance(piece.sequence, pa.Array) and piece.raw is not None
    assert piece.sequence.to_pylist() == [encode_number(FIRST + n) for n in range(count) if n not in bad]
    assert piece.raw.lines(range(count - len(bad))) == [line for line in lines if POISON not in line]
    assert len(pack.calls) <= 1 + max(1, len(bad)) * (bound(count) + 1)


@pytest.mark.parametrize("count", [1, 2, 9, 300])
def test_lines_of_which_all_fail_cost_two_attempts_each_and_a_few(count: int) -> None:
    pack = Fragile()
    piece = decoding(pack).piece(records(numbered(count, range(count))))
    assert (read(piece)[0], len(read(piece)[1])) == ([], count)
    assert len(pack.calls) <= 2 * count + 10 * bound(count)


@given(st.integers(0, 60), st.sets(st.integers(0, 59), max_size=8), st.randoms())
def test_a_search_tries_no_line_twice_in_vain_and_keeps_the_order(count: int, bad: set[int], rng: Any) -> None:
    """Parts and culprits tile the lines, whatever fails: lines alone, or some only together."""
    bad = {at for at in bad if at < count}
    pairs = {tuple(sorted(rng.sample(range(count), 2))) for _ in range(rng.randrange(3)) if count > 1}

    class Tried:
        def attempt(self, start: int, stop: int) -> list[int]:
            found = set(range(start, stop))
            if found & bad or any(set(pair) <= found for pair in pairs):
                raise ValueError
            return sorted(found)

        def pass_over(self, at: int) -> None:
            assert at in bad

    if not (bad or pairs):
        return
    found: list[int] = []
    for one in Search(count, Tried()).run(ValueError()):
        if isinstance(one, Part):
            assert one.start == len(found) or one.start == one.stop
            found += one.result
        elif isinstance(one, Culprit):
            assert one.at == len(found) and one.at in bad
            found.append(one.at)
    assert found == list(range(count))


def test_lines_that_fail_only_together_are_all_read() -> None:
    pack = Fragile(lambda lines: OverflowError() if b"3" in lines and b"40" in lines else None)
    assert read(decoding(pack).piece(records(numbered(64)))) == (list(range(64)), [])


def test_what_fails_over_nothing_at_all_is_no_records_fault() -> None:
    for count in (0, 1, 2, 40):
        pack = Fragile(lambda _: SqlFailed("the engine is gone"))
        with pytest.raises(Transient, match="over no line at all"):
            decoding(pack).piece(records(numbered(count)))
        assert len(pack.calls) <= PROBES_MAX + 1


def test_letters_of_the_pack_and_of_a_failure_stand_in_their_order() -> None:
    lines = numbered(20, [4, 11])
    lines[0] = lines[7] = lines[19] = b"no number"
    piece = decoding().piece(records(lines))
    assert piece is not None and piece.letters is not None
    found = [(row["_sequence"], row["reason"]) for row in piece.letters.to_pylist()]
    assert found == [
        (encode_number(FIRST + at), "poison_decode" if at in (4, 11) else "wrong_type") for at in (0, 4, 7, 11, 19)
    ]


def test_enriching_and_protecting_are_parts_of_an_attempt() -> None:
    class Enriching(Fragile):
        def enrich(self, rows: pa.Table) -> pa.Table:
            if 7 in rows["cost"].to_pylist():
                raise KeyError("seven")
            return rows

    assert read(decoding(Enriching(lambda _: None)).piece(records(numbered(12)))) == (
        [n for n in range(12) if n != 7],
        [b"7"],
    )


# ------------------------------------------------------------------------------------------------- what is no poison


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Transient("out of reach"), Transient),
        (OSError(28, "No space left on device"), Transient),
        (MemoryError(), Transient),
        (MemoryExhausted("the engine has too little"), Transient),
        (ConfigError("a setting is wrong"), ConfigError),
    ],
)
def test_what_no_record_is_to_blame_for_is_raised_and_never_bisected(error: Exception, raised: type[Exception]) -> None:
    pack = Fragile(lambda lines: error if any(POISON in line for line in lines) else None)
    with pytest.raises(raised):
        decoding(pack).piece(records(numbered(40, [3])))
    assert pack.calls == [40]


def test_a_passing_error_amidst_a_search_is_raised_too() -> None:
    failures = iter([ValueError(), ValueError(), Transient("out of reach")])
    pack = Fragile(lambda _: next(failures))
    with pytest.raises(Transient, match="out of reach"):
        decoding(pack).piece(records(numbered(40)))


# ------------------------------------------------------------------------------------------------------------ files


def block(lines: Sequence[bytes], first: int = 1, *, last: bool = False, **more: Any) -> Block:
    data = b"".join(line + b"\n" for line in lines)
    end = first + len(lines) - 1
    after = ORIGIN if first == 1 else Position(3, first - 1)
    upto = Position(4) if last else Position(3, end)
    given = Block(ShardId("f/0001"), after, upto, "file", 3, 77, first, len(lines), data, starts=first == 1)
    return replace(given, **more)


def test_lines_of_a_file_keep_their_numbers_and_their_header() -> None:
    work = decoding()
    first = work.piece(block([b"#a", b"1", b"2 poison", b"3"]))
    second = work.piece(block([b"4", b"#b", b"5 poison", b"6", b"7 poison", b"8"], 5, last=True))
    assert first is not None and second is not None
    assert [*first.sub.tolist(), *second.sub.tolist()] == [2, 4, 5, 8, 10]
    assert [*first.rows["page"].to_pylist(), *second.rows["page"].to_pylist()] == ["a", "a", "a", "b", "b"]
    letters = [row for one in (first, second) if one.letters is not None for row in one.letters.to_pylist()]
    assert [(row["_sub"], row["payload"]) for row in letters] == [
        (3, b"2 poison"),
        (7, b"5 poison"),
        (9, b"7 poison"),
    ]


def test_lines_below_a_header_that_fails_are_read_by_no_other_header() -> None:
    work = decoding()
    piece = work.piece(block([b"#a", b"1", b"#poison", b"2"]))
    assert piece is not None and piece.rows["page"].to_pylist() == ["a", None]
    resumed = decoding()
    assert resumed.piece(block([b"#a", b"1", b"#poison", b"2"], skip=True)) is None
    again = resumed.piece(block([b"3"], 5))
    assert again is not None and again.rows["page"].to_pylist() == [None]


def test_faults_of_the_source_stay_where_they_were() -> None:
    fault = Fault(9, "outside_shard", "far", b"x", 1, "", encode_number(FIRST + 9), 5)
    piece = decoding().piece(records(numbered(5, [2]), faults=(fault,)))
    assert piece is not None and piece.letters is not None
    assert [row["reason"] for row in piece.letters.to_pylist()] == ["poison_decode", "outside_shard"]


# --------------------------------------------------------------------------------------------------------- settings


def test_a_failing_attempt_is_repeated_before_anything_is_searched() -> None:
    limits = Limits(maximum_retry_attempts=2)
    pack = Fragile()
    given_block = records(numbered(40, [3]))
    for tries in (0, 1):
        with pytest.raises(Waits) as caught:
            decoding(pack, limits).piece(given_block, Patience(tries))
        assert (caught.value.done, caught.value.rest) == (None, given_block)
    assert pack.calls == [40, 40]
    assert read(decoding(pack, limits).piece(given_block, Patience(2)))[1] == [b"3 poison"]


def test_records_that_are_too_old_are_not_tried_again() -> None:
    limits = Limits(maximum_retry_attempts=5, maximum_record_age_in_seconds=60)
    newest_us = 39 * 1_000_000
    with pytest.raises(Waits):
        decoding(limits=limits).piece(records(numbered(40, [3])), Patience(0, newest_us + 60_000_000))
    late = Patience(0, newest_us + 60_000_001)
    assert read(decoding(limits=limits).piece(records(numbered(40, [3])), late))[1] == [b"3 poison"]


def test_for_ever_means_that_all_before_the_record_is_read_and_nothing_of_it() -> None:
    limits = Limits(maximum_retry_attempts=-1)
    whole = records(numbered(30, [16, 25]), together=3, upto=END, children={SHARD: ()}, reaches_tip=True)
    with pytest.raises(Waits) as caught:
        decoding(limits=limits).piece(whole)
    done, rest = caught.value.done, caught.value.rest
    assert done is not None and isinstance(rest, Records)
    assert (read(done), done.range.upto, rest.after) == (
        (list(range(15)), []),
        Position(FIRST + 4, 2),
        Position(FIRST + 4, 2),
    )
    assert (rest.data, rest.subs.tolist()) == (b"\n".join(numbered(30, [16, 25])[15:]), [0, 1, 2] * 5)
    assert (rest.upto, rest.children, rest.reaches_tip) == (END, {SHARD: ()}, True)
    with pytest.raises(Waits) as again:
        decoding(limits=limits).piece(rest)
    assert (again.value.done, again.value.rest) == (None, rest)
    mended = decoding(Fragile(lambda _: None), limits).piece(rest)
    assert mended is not None and mended.range.upto == END


def test_for_ever_ends_when_a_record_is_too_old() -> None:
    limits = Limits(maximum_retry_attempts=-1, maximum_record_age_in_seconds=60)
    whole = records(numbered(30, [16, 25]))
    with pytest.raises(Waits) as caught:
        decoding(limits=limits).piece(whole, Patience(9, 80_000_000))
    done = caught.value.done
    assert done is not None and read(done) == ([n for n in range(25) if n != 16], [b"16 poison"])


def test_a_file_waits_at_a_line_with_its_header() -> None:
    limits, pack = Limits(maximum_retry_attempts=-1), Fragile()
    work = decoding(pack, limits)
    with pytest.raises(Waits) as caught:
        work.piece(block([b"#a", b"1", b"2 poison", b"3"], last=True))
    done, rest = caught.value.done, caught.value.rest
    assert done is not None and isinstance(rest, Block)
    assert (done.range.upto, rest.first_line, rest.lines, rest.starts) == (Position(3, 2), 3, 2, False)
    pack.fails = lambda _: None
    piece = work.piece(rest)
    assert piece is not None and piece.rows["page"].to_pylist() == ["a"] and piece.range.upto == Position(4)


def test_without_bisecting_a_whole_block_becomes_letters() -> None:
    limits = Limits(bisect_batch_on_function_error=False)
    lines = [*numbered(5, [3]), b"", b"6"]
    assert read(decoding(limits=limits).piece(records(lines))) == ([], [line for line in lines if line])
    with pytest.raises(Waits) as caught:
        decoding(limits=Limits(bisect_batch_on_function_error=False, maximum_retry_attempts=-1)).piece(records(lines))
    assert caught.value.done is None


def test_a_decoder_is_left_as_it_was_by_what_fails() -> None:
    """A copy is tried, and kept only if it passes."""
    work, pack = decoding(), Fragile()
    lines = pack.open("")
    assert copy.copy(lines) == lines
    found = work.piece(block([b"#a", b"1 poison", b"2"]))
    assert found is not None and found.rows["page"].to_pylist() == ["a"]

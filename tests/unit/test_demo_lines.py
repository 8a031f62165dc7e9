"""The plain reader of log files and the decoder of the pack come to the same judgement, each in its own way."""

import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shardlake.app.demo.generator import write_logs
from shardlake.app.demo.lines import Agents, Bot, distribution_of, plain_agent, read_file
from shardlake.packs.cloudfront.decoder import LogDecoder

LIMIT = 1 << 20
CELLS = (
    b"-", b"", b" ", b"-5", b"+5", b" 7", b"7 ", b"007", b"1.5", b"1e3", b"nan", b"inf", b"99999999999999999999",
    b"9223372036854775807", b"-9223372036854775808", b"12:00", b"24:00:00", b"23:59:60", b"2024-02-29", b"2023-02-29",
    b"1969-12-31", b"0001-01-01", b"9999-12-31", b"\xff", b"\r", b"a\rb", b"\x00", b"\xc3\xa9", b"%FF%2541", b'"q"',
    b"#x", b"TRUE", b" - ", b".5", b"5.", b"--", b"1_000", b"\xd9\xa3",
)  # fmt: skip
LINES = (
    b"", b"  ", b"\r", b"#x", b"#Fields: date time c-ip", b"#Fields:", b"\t" * 32, b"#Fields: date time date c-ip",
)  # fmt: skip
Judged = tuple[dict[int, tuple[Any, ...]], list[int]]


def classify(agent: str | None) -> Bot:
    return False, None, agent


def plainly(path: Path) -> Judged:
    file = read_file(path, distribution_of(path.name), Agents(classify), LIMIT)
    return {event[0]: (*event[1:3], *event[4:8], event[8][2]) for event in file.events}, file.broken


def by_columns(name: str, text: bytes) -> Judged:
    decoded = LogDecoder(name, None, line_bytes_max=LIMIT).decode(text)
    events = {}
    for index, row in zip(decoded.lines.tolist(), decoded.rows.to_pylist(), strict=True):
        agent, minute = row["cs_user_agent"], row["event_time"].replace(second=0)
        texts = (row["distribution"], row["x_edge_location"], row["c_ip"], row["sc_bytes"])
        events[index + 1] = (row["x_edge_request_id"], minute, *texts, agent if agent is None else plain_agent(agent))
    return events, [letter.index + 1 for letter in decoded.letters]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("logs")
    return [folder / file.name for file in write_logs(folder, 2_000, 3, files=24, viewers=500)]


def text_of(path: Path) -> bytes:
    return zlib.decompressobj(31).decompress(path.read_bytes()).rpartition(b"\n")[0]


def test_the_demos_files_are_judged_alike(logs: list[Path], tmp_path: Path) -> None:
    for path in logs:
        plain = tmp_path / path.name
        plain.write_bytes(text_of(path))
        assert plainly(plain) == by_columns(path.name, text_of(path))


def spoiled(text: bytes, random: Random) -> bytes:
    lines = text.split(b"\n")[:12]
    for _ in range(random.randint(1, 3)):
        place = random.randrange(2, len(lines))
        if random.random() < 0.75:
            cells = lines[place].split(b"\t")
            cells[random.randrange(len(cells))] = random.choice(CELLS)
            lines[place] = b"\t".join(cells)
        else:
            end = random.choice((b"\r", b" ", b"\t"))
            lines[place] = random.choice((*LINES, lines[place] + end, lines[place] + end))
    return b"\n".join(lines)


def test_spoiled_lines_are_judged_alike(logs: list[Path], tmp_path: Path) -> None:
    texts = [text_of(path) for path in logs[:8]]
    for seed in range(400):
        path = tmp_path / logs[seed % 8].name
        path.write_bytes(spoiled(texts[seed % 8], Random(seed)))
        assert plainly(path) == by_columns(path.name, path.read_bytes()), f"seed {seed}"

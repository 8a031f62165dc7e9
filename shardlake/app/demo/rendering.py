"""Writes the demo's requests as log lines, many at once, and breaks some of them on purpose."""

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shardlake.app.demo.traffic import Ints, Traffic

GARBAGE_BYTES: Final = 2 << 20  # an over-long line: longer than any sane limit for a record


def render(traffic: Traffic, rows: Ints, start: datetime, columns: int = 33) -> bytes:
    """Write the lines of some requests: each column is a `take` from a table, one call joins them.

    The buffer of what was joined is the text.
    """
    joined = pc.binary_join_element_wise(*_columns(traffic, rows, start, columns), "\t")
    offsets = np.frombuffer(joined.buffers()[1], np.int32)
    return bytes(memoryview(joined.buffers()[2])[offsets[0] : offsets[len(joined)]])


def _columns(traffic: Traffic, rows: Ints, start: datetime, columns: int) -> list[pa.Array | pa.Scalar]:
    at = traffic.columns

    def text(table: str, column: str | None = None) -> pa.Array:
        return traffic.tables[table].take(pa.array(at[column or table][rows]))

    clock = at["second"][rows] + start.hour * 3600 + start.minute * 60 + start.second
    days = pa.array([f"{start + timedelta(days=n):%Y-%m-%d}" for n in range(int(clock.max()) // 86_400 + 1)])
    dash, response = pa.scalar("-"), text("result", "served")
    first = [
        days.take(pa.array(clock // 86_400)), traffic.tables["clock"].take(pa.array(clock % 86_400)), text("edge"),
        _number(at["sent"][rows]), text("viewer"), text("method"), text("domain", "site"), text("path"), text("status"),
        text("referer"), text("agent"), text("query"), dash, text("result"), _ids(traffic.ids[rows]),
        text("host", "site"), text("scheme"), _number(at["received"][rows]), text("milliseconds", "taken"),
        text("forwarded"), text("cipher"), response,
    ]  # fmt: skip
    if columns == 24:
        return [*first, text("version_last", "version")]
    rest = [
        text("version"), dash, dash, _number(at["port"][rows]), text("milliseconds", "wait"), text("result"),
        text("content"), _number(at["body"][rows]), text("range"),
    ]  # fmt: skip
    return [*first, *rest]


def _number(values: Ints) -> pa.Array:
    """Write integers; a negative one stands for what was not logged."""
    texts = pc.cast(pa.array(values), pa.string())
    return pc.if_else(pa.array(values < 0), "-", texts) if (values < 0).any() else texts


def _ids(ids: npt.NDArray[np.uint8]) -> pa.Array:
    offsets = np.arange(0, ids.size + 1, 56, dtype=np.int32)
    texts = pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(ids)))
    return pc.if_else(pa.array(ids[:, 0] == 0), "-", texts) if (ids[:, 0] == 0).any() else texts


def spoil(line: bytes, kind: str) -> bytes:
    """Break a copy of a good line; its request id stays, so that a reader that lets it pass counts it wrongly."""
    cells = line.rstrip(b"\n").split(b"\t")
    match kind:
        case "too few fields":
            cells = cells[:9]
        case "not a number":
            cells[3] = b"12kB"
        case "invalid UTF-8":
            cells[7] = b"/caf\xe9/\xff"
        case "impossible date":
            cells[0] = b"2026-02-30"
        case _:
            cells = [b"x" * GARBAGE_BYTES]
    return b"\t".join(cells) + b"\n"

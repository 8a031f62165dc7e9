"""The decoders of all packs as targets: CloudFront's two kinds of logs, and declared packs of each format."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Final, cast

import numpy as np
import pyarrow as pa

from shardlake.adapters.engine import Engine
from shardlake.packs.cloudfront.header import STANDARD_FIELDS
from shardlake.packs.cloudfront.realtime import REALTIME_FIELDS
from shardlake.packs.declared import declaration
from shardlake.packs.declared.decoder import DeclaredDecoder
from shardlake.packs.declared.values import FAULT
from shardlake.packs.declared.words import Declaration
from shardlake.packs.pack import Decoder, Pack
from shardlake.packs.registry import load
from tests.fuzz.decoding import Kind, blanks, checked, declared_blanks, directives_and_blanks, headed
from tests.fuzz.target import Target, seeds

SHORT: Final = "date time x-edge-location sc-bytes cs(Host) cs(User-Agent) x-edge-request-id time-taken"
OTHER: Final = "x-edge-request-id time sc-status date x-something-new sc-bytes"
HEADS: Final = (
    b"",
    f"#Version: 1.0\n#Fields: {SHORT}\n".encode(),
    f"#Fields: {OTHER}\n".encode(),
    f"#Fields: {' '.join(STANDARD_FIELDS)}\n".encode(),
)
REALTIME_SHORT: Final = ("timestamp", "cs-uri-stem", "cs-headers", "sc-bytes", "x-host-header", "time-taken")
CONFIGURED: Final = (None, REALTIME_SHORT, ("timestamp",), ("cs-uri-stem", "-", "timestamp"))
ODD_VALUES: Final = (
    b"-", b"\xef\xbb\xbf", b"\r", b"\0", b'"', b"\x02", b"\x020\x03", b"nan", b"inf", b"1e999", b"9223372036854775808",
    b"\xc3\xa9", b"\xff", b"#", b"1969-12-31", b"9999-12-31", b"24:00:00", b"0x10", b"253402300800", b" ",
)  # fmt: skip

# ------------------------------------------------------------------------------------------------- CloudFront


@cache
def _pack(name: str) -> Pack:
    return load(name)


def _opened(name: str, fields: tuple[str, ...] | None) -> Callable[[int], Decoder]:
    return lambda limit: _pack(name).open("E2EXAMPLE.log", fields, line_bytes_max=limit)


@cache
def _standard() -> tuple[Kind, ...]:
    pack = _pack("cloudfront")
    streamed = Kind(_opened("cloudfront", tuple(SHORT.split())), blanks, pack=pack)
    return (Kind(_opened("cloudfront", None), directives_and_blanks, HEADS, pack), streamed)


@cache
def _realtime() -> tuple[Kind, ...]:
    pack = _pack("cloudfront_realtime")
    return tuple(Kind(_opened(pack.name, fields), blanks, pack=pack) for fields in CONFIGURED)


_USUAL: Final = {
    "date": "2026-03-01", "time": "10:00:00", "timestamp": "1772359200.123", "sc-bytes": "12", "time-taken": "0.5",
    "sc-status": "200", "cs(User-Agent)": "curl/8.0", "cs-user-agent": "curl/8.0", "c-port": "443", "cs-bytes": "7",
    "cs-uri-stem": "/a?b=c", "x-edge-request-id": "id==", "cs(Host)": "d1.cloudfront.net",
}  # fmt: skip


_BAD: Final = b"\xef\xbb\xbfno such line\r\nnor this\r\n"  # letters keep all of it


def _line(fields: Sequence[str]) -> bytes:
    return "\t".join(_USUAL.get(field, "-") for field in fields).encode()


def _cloudfront_seeds() -> tuple[bytes, ...]:
    short, other, whole = _line(SHORT.split()), _line(OTHER.split()), _line(STANDARD_FIELDS)
    good = [HEADS[1] + short + b"\n" + short + b"\n" + HEADS[2] + other + b"\n", HEADS[3] + whole]
    under = [short + b"\n", short + b"\r\n" + _BAD + short]
    return (*seeds([(0, 0, 0), (0, 0, 2)], good), *seeds([(0, 2, 3), (1, 0, 1)], under))


def _realtime_seeds() -> tuple[bytes, ...]:
    found: list[bytes] = []
    for at, fields in enumerate((REALTIME_FIELDS, *CONFIGURED[1:])):
        line = _line(fields or ())
        found += seeds([(at, 0, 0), (at, 0, 1)], [line + b"\n", line + b"\n" + line + b"\r\n"])
    return tuple(found)


# ---------------------------------------------------------------------------------------------- declared packs

_PACKS: Final = {
    "json": """
format = "json"
event_time = "time"
[columns]
time = { type = "TIMESTAMP", from = "ts" }
user = { type = "VARCHAR", from = "user.id" }
n = "BIGINT"
exact = "DECIMAL(30,10)"
at = { type = "TIMESTAMP", time = "epoch" }
first = { type = "VARCHAR", from = "list[0].k" }
""",
    "csv": """
format = "csv"
header = true
event_time = "time"
[columns]
time = "TIMESTAMP"
a = "VARCHAR"
n = { type = "BIGINT", from = "N o" }
""",
    "tsv": """
format = "tsv"
fields = ["time", "a", "-", "n"]
fields_min = 2
comment = "#"
event_time = "time"
[columns]
time = { type = "TIMESTAMP", time = "ms" }
a = "VARCHAR"
n = "DOUBLE"
""",
    "log": """
format = "log"
event_time = "time"
fields = ["owner", "[time]", "ip", '"request"', "status", '"agent"', "version"]
fields_min = 6
comment = "#"
only = { owner = ["o", "p"] }
[columns]
time = { type = "TIMESTAMP", time = "%d/%b/%Y:%H:%M:%S %z" }
ip = "VARCHAR"
request = "VARCHAR"
status = "BIGINT"
agent = "VARCHAR"
version = "VARCHAR"
""",
    "dynamodb": """
format = "dynamodb"
event_time = "at"
[columns]
id = { type = "VARCHAR", needed = true }
at = "TIMESTAMP"
price = "DECIMAL(38,10)"
count = "BIGINT"
digits = { type = "VARCHAR", holds = "N", from = "price" }
second = { type = "BIGINT", from = "list[1].n" }
set = { type = "VARCHAR", holds = "any" }
_event = { type = "VARCHAR", holds = "event" }
""",
}


@cache
def _declared(name: str) -> Declaration:
    return declaration.parse(_PACKS[name], name, "pack.toml")


class _Uncast:
    """In place of the SQL engine: texts stay texts, so that how lines are cut is tried a hundred times as often."""

    def __init__(self, declared: Declaration) -> None:
        self._names = [one.column.name for one in declared.read]

    def table(self, _: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Name the texts as their columns are called."""
        texts = tables["texts"]
        named = {self._names[int(name[1:])]: texts[name] for name in texts.column_names}
        return pa.table(named | {FAULT: pa.array(np.zeros(texts.num_rows, np.int32))})


class _Planned:
    """An engine for one statement over one table, planned once: planning costs ten times what an input does."""

    def __init__(self) -> None:
        self._engine = Engine(threads=1)

    def table(self, sql: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Run the SELECT over the table. Raises: as `Engine.table`."""
        [(name, rows)] = tables.items()
        return self._engine.prepared(sql, name, rows.schema).table(rows)


@cache
def _engine_for(name: str) -> Engine:
    """Give the engine of a pack; a header may change its statement, and changes are planned once as it is."""
    return Engine(threads=1) if name in ("csv", "dynamodb") else cast("Engine", _Planned())


def _decoder(name: str, limit: int, *, is_cast: bool = True) -> Decoder:
    declared = _declared(name)
    fields = None if declared.has_header else declared.fields
    engine = _engine_for(name) if is_cast else cast("Engine", _Uncast(declared))
    return DeclaredDecoder(declared, engine, fields, line_bytes_max=limit)


def _csv_names(text: str) -> list[str]:
    try:
        return next(csv.reader([text]))
    except csv.Error:
        return []


_COMMENTED: Final = partial(declared_blanks, comment=b"#")


def _plain_fields(*, is_cast: bool) -> tuple[Kind, ...]:
    csv_heads = (b"", b"time,a,N o\n", b"a;b\n")
    return (
        Kind(partial(_decoder, "csv", is_cast=is_cast), headed(_csv_names, "time"), csv_heads),
        Kind(partial(_decoder, "tsv", is_cast=is_cast), _COMMENTED),
        Kind(partial(_decoder, "log", is_cast=is_cast), _COMMENTED),
    )


@cache
def _cutting() -> tuple[Kind, ...]:
    return _plain_fields(is_cast=False)


@cache
def _fields() -> tuple[Kind, ...]:
    return (
        *_plain_fields(is_cast=True),
        Kind(_opened("alb", None), declared_blanks, pack=_pack("alb")),
        Kind(_opened("s3_access", None), declared_blanks, pack=_pack("s3_access")),
        Kind(_opened("vpc_flow", None), headed(str.split, "end"), (b"", b"interface-id start end bytes\n")),
    )


_ALB: Final = (
    b"http 2018-07-02T22:23:00.186641Z app/my/50dc 192.168.131.39:2817 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366"
    b' "GET http://www.example.com:80/ HTTP/1.1" "curl/7.46.0" - - arn:x:targetgroup/t/73 "Root=1-5" "-" "-" 0'
    b' 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
)
_S3: Final = (
    b'79a5 bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 79a5 3E57 REST.GET.VERSIONING - "GET /b?versioning HTTP/1.1"'
    b' 200 - 113 - 7 - "-" "S3Console/0.4" - s9lz SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.eu TLSV1.2'
)


def _field_seeds(kinds: int) -> tuple[bytes, ...]:
    lines = {
        0: b'time,a,N o\n2026-03-01T10:00:00Z,"x, ""y""",3\n2026-03-01,,\n',
        1: b"# c\n1772359200123\tx\ty\t1.5\n1772359200123\tx\n",
        2: b'o [01/Mar/2026:10:00:00 +0000] 1.2.3.4 "GET / HTTP/1.1" 200 "a b" 2\n',
        3: _ALB + b"\n",
        4: _S3 + b"\n",
        5: b"interface-id start end bytes\neni-1 1772359200 1772359260 12\n",
    }
    odd = b'o [01/Mar/2026:10:00:00 +0000] 1.2.3.4 "GET / "q" HTTP/1.1" 200 "a b" 2\n' + lines[2]
    whole = [one for at, body in list(lines.items())[:kinds] for one in seeds([(at, 0, 0), (at, 0, 1)], [body])]
    bad = seeds([(at, 0, 1) for at in range(kinds)], [_BAD])
    return (*whole, *bad, *seeds([(2, 0, 1)], [odd]), *seeds([(0, 2, 2)], [b"2026-03-01,a,3\n2026-03-01,b,4\n"]))


@cache
def _json() -> tuple[Kind, ...]:
    return (Kind(partial(_decoder, "json"), declared_blanks),)


@cache
def _changes() -> tuple[Kind, ...]:
    orders = _pack("orders")
    return (
        Kind(partial(_decoder, "dynamodb"), declared_blanks, weighted=True),
        Kind(_opened("orders", None), declared_blanks, pack=orders, weighted=True),
    )


def _json_seeds() -> tuple[bytes, ...]:
    event = {"ts": "2026-03-01T10:00:00Z", "user": {"id": "u"}, "n": 3, "price": 1.5, "exact": "1.0000000001", "x": 1e3}
    more = event | {"list": [{"k": "v"}], "at": 1772359200}
    lines = [json.dumps(one).encode() for one in (event, more)]
    return seeds([(0, 0, 0), (0, 0, 1)], [b"\n".join(lines), lines[1] + b"\r\n" + _BAD])


def _change(image: object, weight: int = 1) -> bytes:
    return json.dumps({"Weight": weight, "Event": "MODIFY", "Image": image}, separators=(",", ":")).encode()


def _change_seeds() -> tuple[bytes, ...]:
    item = {"id": {"S": "x"}, "at": {"S": "2026-03-01T10:00:00Z"}, "price": {"N": "2.55"}, "count": {"N": "1E+2"}}
    more = {"list": {"L": [{"NULL": True}, {"M": {"n": {"N": "7"}}}]}, "set": {"SS": ["a"]}, "ok": {"BOOL": True}}
    order = {
        "invoice": {"S": "1"}, "line": {"N": "1"}, "ordered_at": {"S": "2026-03-01T10:00:00Z"}, "country": {"S": "DE"},
        "quantity": {"N": "3"}, "unit_price": {"N": "2.50"}, "description": {"S": "RED MUG"}, "stock_code": {"S": "8"},
    }  # fmt: skip
    ours = seeds([(0, 0, 0), (0, 0, 1)], [_change(item, -1) + b"\n" + _change(item | more), _change(item) + b"\n"])
    return (*ours, *seeds([(1, 0, 1)], [_change(order, -1) + b"\n" + _change(order) + b"\n"]))


_JSON_WORDS: Final = (b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"1e400", b'"\\ud800"', b'"\\u0000"')
DECODERS: Final = (
    Target("cloudfront", lambda data: checked(_standard(), data), _cloudfront_seeds(), (*ODD_VALUES, b"#Fields: ")),
    Target("cloudfront_realtime", lambda data: checked(_realtime(), data), _realtime_seeds(), ODD_VALUES),
    Target("cutting", lambda data: checked(_cutting(), data), _field_seeds(3), (*ODD_VALUES, b",", b"[", b"]")),
    Target("fields", lambda data: checked(_fields(), data), _field_seeds(6), (*ODD_VALUES, b",", b"[", b"]")),
    Target("json", lambda data: checked(_json(), data), _json_seeds(), (*_JSON_WORDS, *ODD_VALUES)),
    Target(
        "changes", lambda data: checked(_changes(), data), _change_seeds(), (*_JSON_WORDS, b'{"N":"1E+2"}', b"NULL")
    ),
)


def forget() -> None:
    """Let go of the engines and packs that were opened."""
    for kept in (_standard, _realtime, _cutting, _fields, _json, _changes, _pack, _engine_for):
        kept.cache_clear()

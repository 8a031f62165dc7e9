"""The bar `dynamodb_speed`: changes per CPU-second from the body of a GetRecords to weighted Arrow rows.

4,000 changes of orders with 8 attributes lie in four bodies as DynamoDB Streams answers them: 20 % INSERT, 60 % MODIFY
with both images, 20 % REMOVE, 1.1 KB a record and 1.4 KB a MODIFY. Each body is parsed, cut into lines with their
sequence numbers, and decoded by a declared pack, page by page as a worker does; beside it boto3's own parser reads the
same bytes, and its TypeDeserializer makes a dict of each image. Each runs in a process of its own, one thread, and
prints the sums that prove that it read the same.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import pyarrow as pa

from benchmarks.harness import Command, Run, compare, verdict
from shardlake.packs.pack import Decoded

BAR: Final = 100_000
PAGES, RECORDS, SEED = 4, 1_000, 20_101_201
TIMES: Final = 20  # ours reads all pages so often, or it would be over before it is warm
PACK: Final = """
format = "dynamodb"
event_time = "ordered_at"

[columns]
order_line = "VARCHAR"
stock_code = "VARCHAR"
description = "VARCHAR"
category = "VARCHAR"
country = "VARCHAR"
quantity = "BIGINT"
unit_price = "DECIMAL(10,2)"
ordered_at = "TIMESTAMP"
"""
WORDS: Final = (
    "WHITE",
    "HANGING",
    "HEART",
    "T-LIGHT",
    "HOLDER",
    "CREAM",
    "CUPID",
    "KNITTED",
    "UNION",
    "FLAG",
    "BOTTLE",
)
ANY: Final = {"NextShardIterator": "i" * 320}


def main() -> int:
    """Measure, and hold our pace against the bar."""
    with tempfile.TemporaryDirectory() as folder:
        for number, body in enumerate(bodies()):
            (Path(folder) / f"{number}.json").write_bytes(body)
        ours = Command([sys.executable, "-m", "benchmarks.dynamodb_speed", "ours", folder])
        theirs = Command([sys.executable, "-m", "benchmarks.dynamodb_speed", "boto3", folder])
        contest = compare(ours, theirs, same)
    paces = {"shardlake": [pace(run) for run in contest.ours], "boto3": [pace(run) for run in contest.bare]}
    for name, found in paces.items():
        print(f"  {name:10} {median(found):9,.0f} changes per CPU-second ({min(found):,.0f} .. {max(found):,.0f})")
    print(
        f"  {median(paces['shardlake']) / median(paces['boto3']):.1f} times the pace of boto3 and its TypeDeserializer"
    )
    return verdict("dynamodb_speed", median(paces["shardlake"]), at_least=BAR)


def pace(run: Run) -> float:
    """Give the changes per CPU-second that a program printed."""
    changes, cpu_s, *_ = run.output.split()
    return int(changes) / float(cpu_s)


def same(ours: Run, theirs: Run) -> None:
    """Compare the sums of both."""
    mine, other = ours.output.split()[2:], theirs.output.split()[2:]
    if mine != other:
        raise AssertionError(f"shardlake has {mine}, boto3 {other}")


def bodies() -> Iterator[bytes]:
    """Draw the answers."""
    rng = random.Random(SEED)
    for page in range(PAGES):
        records = [_record(rng, page * RECORDS + at) for at in range(RECORDS)]
        yield msgspec.json.encode({**ANY, "Records": records})


def _record(rng: random.Random, number: int) -> dict[str, Any]:
    event = rng.choices(("INSERT", "MODIFY", "REMOVE"), (20, 60, 20))[0]
    old, new = _image(rng, number), _image(rng, number)
    change: dict[str, Any] = {
        "ApproximateCreationDateTime": 1_291_190_000 + number,
        "Keys": {"order_line": old["order_line"]},
        "SequenceNumber": str(4_421_584_500_000_000_017_450_439_000 + 37 * number),
        "SizeBytes": 640,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    change |= {"NewImage": new} if event != "REMOVE" else {}
    change |= {"OldImage": old} if event != "INSERT" else {}
    return {
        "awsRegion": "eu-west-1",
        "dynamodb": change,
        "eventID": f"{number:032x}",
        "eventName": event,
        "eventSource": "aws:dynamodb",
        "eventVersion": "1.1",
    }


def _image(rng: random.Random, number: int) -> dict[str, dict[str, str]]:
    return {
        "order_line": {"S": f"53{number:06d}#{number % 40:03d}#2010-12-{1 + number % 28:02d}"},
        "stock_code": {"S": f"{rng.randint(10_000, 99_999)}{rng.choice('ABCD')}"},
        "description": {"S": " ".join(rng.choices(WORDS, k=rng.randint(18, 30)))},
        "category": {"S": rng.choice(("lights", "kitchen", "garden", "toys", "stationery"))},
        "country": {"S": rng.choice(("United Kingdom", "France", "Netherlands", "Germany"))},
        "quantity": {"N": str(rng.randint(1, 48))},
        "unit_price": {"N": f"{rng.randint(10, 9_999) / 100:.2f}".rstrip("0").rstrip(".")},
        "ordered_at": {"S": f"2010-12-{rng.randint(1, 28):02d}T{rng.randint(6, 20):02d}:{rng.randint(0, 59):02d}:00Z"},
    }


# ------------------------------------------------------------------------------------------------ what is measured


def ours(pages: list[bytes], folder: Path) -> None:
    """Read all pages TIMES times as a worker does; print changes, CPU seconds and the sums of one reading."""
    from shardlake.adapters.dynamodb.stream_wire import parse_page
    from shardlake.packs.declared.pack import DeclaredPack
    from streams.sources.dynamodb.records import change_lines_of
    from streams.sources.kinesis.records import sequences

    (folder / "pack.toml").write_text(PACK, "utf-8")
    pack = DeclaredPack(folder, "orders")

    def read(body: bytes) -> tuple[pa.Table, Decoded]:
        page = parse_page(body)
        lines = change_lines_of(page)
        sequences(page, lines.record)
        decoded = pack.open("").decode(lines.data)
        return pack.enrich(decoded.rows), decoded

    tables = [read(body) for body in pages]  # what is planned once is planned here
    began = time.process_time()
    for _ in range(TIMES):
        for body in pages:
            read(body)
    cpu_s = time.process_time() - began
    rows, weights, quantity, price = 0, 0, 0, Decimal(0)
    for table, decoded in tables:
        assert decoded.weights is not None
        rows, weights = rows + table.num_rows, weights + int(decoded.weights.sum())
        for count, cost, weight in zip(
            table["quantity"].to_pylist(), table["unit_price"].to_pylist(), decoded.weights.tolist(), strict=True
        ):
            quantity, price = quantity + weight * count, price + weight * cost
    print(TIMES * PAGES * RECORDS, cpu_s, rows, weights, quantity, price)


def boto3_reads(pages: list[bytes]) -> None:
    """Read all pages once with boto3's parser and TypeDeserializer; print the same."""
    import botocore.session
    from boto3.dynamodb.types import TypeDeserializer
    from botocore.parsers import create_parser

    model = botocore.session.Session().get_service_model("dynamodbstreams")
    shape, parser = model.operation_model("GetRecords").output_shape, create_parser("json")
    plain = TypeDeserializer().deserialize
    weights, quantity, price, rows = 0, Decimal(0), Decimal(0), 0
    began = time.process_time()
    for body in pages:
        parsed = parser.parse({"body": body, "headers": {}, "status_code": 200}, shape)
        for record in parsed["Records"]:
            for image, weight in (("OldImage", -1), ("NewImage", 1)):
                if image not in record["dynamodb"]:
                    continue
                item = {name: plain(value) for name, value in record["dynamodb"][image].items()}
                rows, weights = rows + 1, weights + weight
                quantity += weight * item["quantity"]
                price += weight * item["unit_price"]
    print(PAGES * RECORDS, time.process_time() - began, rows, weights, quantity, f"{price:.2f}")


if __name__ == "__main__":
    read = [path.read_bytes() for path in sorted(Path(sys.argv[2]).glob("*.json"))]
    if sys.argv[1] == "ours":
        with tempfile.TemporaryDirectory() as place:
            ours(read, Path(place))
    else:
        boto3_reads(read)

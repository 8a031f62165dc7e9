"""Run one benchmark by its name: `python -m benchmarks NAME`. Each takes at most 60 s."""

import sys
from typing import Final

from benchmarks.harness import run_named

# name: what it measures. The module benchmarks/NAME.py has `def main() -> int`, which returns what `verdict` did.
BENCHMARKS: Final = {
    "speed": "records per CPU-second to a durable commit, as a part of what a bare loop reaches",
    "batch": "CPU from gzip files to master dataset and three views, against polars without guarantees",
    "speed_kinesis": "as speed, with pages fetched over HTTP by a worker of an embedded Kinesis stream",
    "dynamodb_speed": "changes per CPU-second from the bytes of DynamoDB Streams to weighted Arrow rows, beside boto3",
    "peers": "records per CPU-second of a Kinesis worker, against kinesis-python's and async-kinesis's consumers",
    "shards_memory": "how much more memory a worker takes for 100 shards than for one",
    "freshness": "seconds from a put until an answer has it, with a worker that flushes every second",
    "behaviour": "who is flagged as a bot by behaviour, rightly and wrongly, among real requests and generated ones",
    "bots": "distinct user agents classified per CPU-second, and how well on what others have labelled",
    "journal_units": "capacity units a day of a journal in DynamoDB, for 10 and 100 shards, beside KCL's renewals",
    "query": "a new process that answers the top 50 of a day, against a new process of plain DuckDB",
}

if __name__ == "__main__":
    sys.exit(run_named(BENCHMARKS, sys.argv[1:], "make bench NAME=x"))

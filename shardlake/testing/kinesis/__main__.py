"""Serve an embedded Kinesis until SIGTERM: `python -m shardlake.testing.kinesis --stream clicks:4`."""

import argparse
import random
import signal
import sys
import threading
from collections.abc import Sequence

import msgspec

from shardlake.adapters.clock import SystemClock
from shardlake.testing.kinesis.behaviour import Behaviour
from shardlake.testing.kinesis.errors import ServiceError
from shardlake.testing.kinesis.model import EmbeddedKinesis
from shardlake.testing.kinesis.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, and print one line of JSON with the endpoint when it answers."""
    parser = argparse.ArgumentParser(prog="python -m shardlake.testing.kinesis", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--stream", action="append", default=[], metavar="NAME:SHARDS", help="a stream to begin with")
    parser.add_argument("--consumer", metavar="NAME", help="a consumer that is registered with each of these streams")
    parser.add_argument("--unlimited", action="store_true", help="switch the throttles off")
    parser.add_argument("--seed", type=int, default=0, help="what chance begins with")
    options = parser.parse_args(arguments)
    behaviour = Behaviour.unlimited() if options.unlimited else Behaviour()
    kinesis = EmbeddedKinesis(SystemClock(), random.Random(options.seed), Behaviour.unlimited())
    for wanted in options.stream:
        name, _, shards = wanted.partition(":")
        if not shards.isdecimal():
            parser.error(f"--stream {wanted}: write NAME:SHARDS, as in clicks:4")
        try:
            kinesis.ask("CreateStream", StreamName=name, ShardCount=int(shards))
        except ServiceError as error:
            parser.error(f"--stream {wanted}: {error}")
        if options.consumer:
            told = kinesis.ask("DescribeStreamSummary", StreamName=name)["StreamDescriptionSummary"]
            kinesis.ask("RegisterStreamConsumer", StreamARN=told["StreamARN"], ConsumerName=options.consumer)
    kinesis.behaviour = behaviour
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with serve(kinesis, options.port) as server:
        line = {"url": server.url, "streams": [wanted.partition(":")[0] for wanted in options.stream]}
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

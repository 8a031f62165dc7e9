"""Makes the demo's records: one line of a CloudFront log each, in the order in which a producer puts them.

As real producers do, this one puts some records late, some twice (because it did not hear that they had arrived), and
some broken ones. A copy has the bytes and the partition key of its record, so that it meets it in one shard, or in a
shard that follows from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from shardlake.app.demo.generator import START
from shardlake.app.demo.rendering import render, spoil
from shardlake.app.demo.traffic import Floats, Ints, Random, Traffic, draw

KINDS: Final = ("too few fields", "not a number", "invalid UTF-8", "impossible date")
HOURS: Final = 3
VIEWERS: Final = 40_000
LATE_SHARE: Final = 0.02
COPIED_SHARE: Final = 0.02
REQUESTS_PER_BROKEN: Final = 5_000
NO_IDS_MAX: Final = 9
_NEW, _COPY, _BROKEN = 0, 1, 2
_RENDERED: Final = 5_000  # lines at once

Record = tuple[bytes, str]  # payload and partition key


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """What is to be put, in order: request `rows[i]` as `kinds[i]` says. `late` counts requests out of their time."""

    traffic: Traffic
    rows: Ints
    kinds: npt.NDArray[np.int8]
    late: int

    @property
    def requests(self) -> int:
        """How many different requests are put whole."""
        return self.traffic.requests

    @property
    def copies(self) -> int:
        """How many records repeat another one."""
        return int((self.kinds == _COPY).sum())

    @property
    def broken(self) -> int:
        """How many records cannot be read."""
        return int((self.kinds == _BROKEN).sum())

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Record]:
        addresses = self.traffic.tables["viewer"].to_pylist()
        spoilt = 0
        for first in range(0, len(self.rows), _RENDERED):
            rows = self.rows[first : first + _RENDERED]
            lines = render(self.traffic, rows, START).split(b"\n")[:-1]
            viewers = self.traffic.columns["viewer"][rows].tolist()
            for place in np.flatnonzero(self.kinds[first : first + _RENDERED] == _BROKEN).tolist():
                lines[place] = spoil(lines[place], KINDS[spoilt % len(KINDS)]).removesuffix(b"\n")
                spoilt += 1
            yield from zip(lines, map(addresses.__getitem__, viewers), strict=True)


def make_records(requests: int, seed: int) -> Records:
    """Draw the traffic, and in which order it is put; equal arguments, equal records."""
    random = np.random.default_rng(seed)
    traffic = draw(requests, HOURS * 3600, VIEWERS, random)
    every = np.arange(requests)
    no_ids = random.choice(requests, min(NO_IDS_MAX, requests // 100), replace=False)
    traffic.ids[no_ids, 0] = 0
    due = _places(traffic.columns["second"] + random.normal(0, 20, requests))
    late = random.choice(requests, int(requests * LATE_SHARE), replace=False)
    due[late] += (1 - due[late]) * random.random(len(late))
    copied = np.setdiff1d(random.choice(requests, int(requests * COPIED_SHARE), replace=False), no_ids)
    broken = random.choice(requests, min(requests, max(len(KINDS), requests // REQUESTS_PER_BROKEN)), replace=False)
    rows = np.concatenate((every, copied, broken))
    kinds = np.repeat(np.array([_NEW, _COPY, _BROKEN], np.int8), [requests, len(copied), len(broken)])
    order = np.argsort(np.concatenate((due, _again(due[copied], random), random.random(len(broken)))), kind="stable")
    return Records(traffic, rows[order], kinds[order], len(late))


def _places(values: Floats) -> Floats:
    """Where each value stands in their order, from 0 to below 1."""
    places = np.empty(len(values))
    places[np.argsort(values, kind="stable")] = np.arange(len(values)) / max(len(values), 1)
    return places


def _again(due: Floats, random: Random) -> Floats:
    """When a copy is put: soon after its record, or, every third one, any time later."""
    soon = due + random.exponential(0.003, len(due))
    return np.where(random.random(len(due)) < 1 / 3, due + (1 - due) * random.random(len(due)), soon)

"""Draws the demo's requests: one numpy column each, as indexes into tables of ready text.

Nothing here is drawn per request in Python: 300,000 requests are a few dozen numpy calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shardlake.app.demo.world import CONTENT, EDGES, ROBOTS, SCRAPER, SITES, browsers, encode

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Random = np.random.Generator

STATUSES: Final = ("200", "206", "304", "301", "302", "404", "403", "000", "500", "502", "503", "429")
RESULTS: Final = ("Hit", "RefreshHit", "Miss", "OriginShieldHit", "Error", "Redirect", "LimitExceeded")
METHODS: Final = ("GET", "HEAD", "POST", "OPTIONS")
CIPHERS: Final = ("TLSv1.3\tTLS_AES_128_GCM_SHA256", "TLSv1.2\tECDHE-RSA-AES128-GCM-SHA256", "-\t-")
VERSIONS: Final = ("HTTP/2.0", "HTTP/3.0", "HTTP/1.1")
REFERERS: Final = (
    "-",
    "https://www.example.com/",
    "https://www.example.com/products",
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://news.example.org/story?id=7%20a",
)
QUERIES: Final = ("-", "utm_source=newsletter", "q=running%20shoes&page=2", "w=1200&q=90", "v=20260301", "sort=price")
FORWARDED: Final = ("-", "10.1.2.3,%20172.16.4.9", "localhost:8080", "192.0.2.44")
_PEOPLE_STATUS: Final = (0.872, 0.004, 0.07, 0.01, 0.008, 0.015, 0.005, 0.008, 0.002, 0.002, 0.003, 0.001)
_BOT_STATUS: Final = (0.765, 0.001, 0.035, 0.03, 0.01, 0.08, 0.045, 0.004, 0.005, 0.004, 0.006, 0.015)
_FAILED: Final = np.array([s in ("404", "403", "500", "502", "503", "429") for s in STATUSES])
_BODILESS: Final = np.array([s in ("304", "301", "302", "000") for s in STATUSES])
_NO_STATUS: Final = STATUSES.index("000")
PEOPLE_SHARE: Final = 0.76
SCRAPER_SHARE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Viewers:
    """Everybody who sends requests: texts by viewer, and how often each one comes."""

    addresses: list[str]
    agents: list[str]
    agent: Ints
    edge: Ints
    robot: npt.NDArray[np.bool_]
    weight: Floats
    scraper: int


@dataclass(frozen=True, slots=True)
class Objects:
    """What can be asked for: paths with their content types and sizes; the paths of a site lie side by side."""

    paths: list[str]
    content: Ints
    bytes: Ints
    video: npt.NDArray[np.bool_]
    site: Ints
    weight: Floats


@dataclass(frozen=True, slots=True)
class Traffic:
    """All requests as columns; `tables` holds the texts that index columns point to."""

    tables: dict[str, pa.StringArray]
    columns: dict[str, Ints]
    ids: npt.NDArray[np.uint8]

    @property
    def requests(self) -> int:
        """How many requests were drawn."""
        return len(self.ids)


def draw(requests: int, seconds: int, viewers: int, random: Random) -> Traffic:
    """Draw `requests` requests over `seconds` seconds by about `viewers` viewers; equal arguments, equal traffic."""
    people, objects = _viewers(viewers, random), _objects(random)
    viewer = _pick(people.weight, requests, random)
    second = _moments(requests, seconds, random)
    burst = random.random(requests) < SCRAPER_SHARE
    viewer[burst] = people.scraper
    second[burst] = (seconds * (0.55 + 0.06 * random.random(int(burst.sum())))).astype(np.int64)
    robot = people.robot[viewer]
    target = _targets(objects, robot, random)
    columns = {
        "second": second,
        "viewer": viewer,
        "site": objects.site[target],
        "path": target,
        "agent": _agents(people, viewer, random),
        "edge": _edges(people, viewer, random),
    }
    columns |= _outcome(objects, target, robot, random) | _connection(robot, random)
    return Traffic(_tables(people, objects), columns, _request_ids(requests, random))


def _pick(weight: Floats, size: int, random: Random) -> Ints:
    bounds = np.cumsum(weight)
    places: Ints = np.searchsorted(bounds, random.random(size) * bounds[-1], side="right").astype(np.int64)
    return np.minimum(places, len(weight) - 1)


def _choose(shares: Sequence[float], size: int, random: Random) -> Ints:
    return _pick(np.array(shares, dtype=np.float64), size, random)


def _zipf(size: int, exponent: float, shift: float = 0.0) -> Floats:
    weights: Floats = (np.arange(1, size + 1, dtype=np.float64) + shift) ** -exponent
    return weights


def _moments(requests: int, seconds: int, random: Random) -> Ints:
    """Seconds at which requests end: a slow wave, some unrest in each minute."""
    at = np.arange(seconds)
    unrest = np.repeat(random.lognormal(0.0, 0.12, seconds // 60 + 1), 60)[:seconds]
    return _pick((1.0 + 0.4 * np.sin(at / seconds * 5.0 - 0.8)) * unrest, requests, random)


def _viewers(count: int, random: Random) -> Viewers:
    plain = [*browsers(), "-", *(robot.agent for robot in ROBOTS), SCRAPER.agent]
    agents = [encode(text, 2 if index % 9 == 4 else 1) for index, text in enumerate(plain)]
    first_robot = len(browsers()) + 1
    machines = np.repeat(np.arange(len(ROBOTS)), [robot.addresses for robot in ROBOTS])
    people = max(count - len(machines), 100)
    agent = np.concatenate((_pick(_zipf(first_robot, 0.85), people, random), first_robot + machines, [len(agents) - 1]))
    size = people + len(machines) + 1
    addresses = _addresses(people, random) + _robot_addresses(random) + [SCRAPER.network]
    weight = np.concatenate((_zipf(people, 0.9, 6.0), _robot_weights(machines, random), [0.0]))
    weight[:people] *= PEOPLE_SHARE / weight[:people].sum()
    weight[people:] *= (1 - PEOPLE_SHARE) / weight[people:].sum()
    edge = _choose(list(EDGES.values()), size, random)
    return Viewers(addresses, agents, agent, edge, np.arange(size) >= people, weight, size - 1)


def _robot_weights(machines: Ints, random: Random) -> Floats:
    share = np.array([robot.share / robot.addresses for robot in ROBOTS])
    return share[machines] * random.lognormal(0.0, 0.5, len(machines))


def _addresses(count: int, random: Random) -> list[str]:
    """Addresses of people: IPv4, and every seventh IPv6. No two are equal, which keeps the ranks of viewers apart."""
    first = random.choice([n for n in range(20, 220) if n not in (100, 127, 169, 172, 192, 198, 203)], count).tolist()
    host = random.permutation(np.unique(random.integers(0, 1 << 24, count * 2)))[:count].tolist()
    v6 = random.integers(0, 1 << 16, (count, 5)).tolist()
    return [
        f"2a02:{a:x}:{b:x}:{c:x}:{d:x}:ff:fe{e >> 8:02x}:{n & 0xFFFF:x}"
        if n % 7 == 0
        else f"{net}.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        for net, n, (a, b, c, d, e) in zip(first, host, v6, strict=False)
    ]


def _robot_addresses(random: Random) -> list[str]:
    found = []
    for robot in ROBOTS:
        missing = 3 - robot.network.count(".")
        hosts = random.choice(1 << 16, robot.addresses, replace=False).tolist()
        middle = f".{robot.addresses + 40}" if missing == 3 else ""
        found += [f"{robot.network}{middle}.{host >> 8}.{host & 255}" for host in hosts]
    return found


def _agents(people: Viewers, viewer: Ints, random: Random) -> Ints:
    """The viewer's own user agent; now and then another person's, behind the same address."""
    agent = people.agent[viewer].copy()
    guests = np.flatnonzero(~people.robot[viewer] & (random.random(len(viewer)) < 0.08))
    agent[guests] = _pick(_zipf(len(browsers()) + 1, 0.85), len(guests), random)
    return agent


def _edges(people: Viewers, viewer: Ints, random: Random) -> Ints:
    edge = people.edge[viewer].copy()
    moved = np.flatnonzero(random.random(len(viewer)) < 0.04)
    edge[moved] = _choose(list(EDGES.values()), len(moved), random)
    edge[random.random(len(viewer)) < 0.00005] = len(EDGES)  # "-": an edge that was not logged
    return edge


def _objects(random: Random, per_site: int = 700) -> Objects:
    kinds = list(CONTENT)
    parts: list[Objects] = []
    for number, site in enumerate(SITES):
        mine = [kinds.index(kind) for kind in site.kinds]
        kind = np.array(mine)[_choose([CONTENT[k][3] for k in site.kinds], per_site, random)]
        median, spread = (np.array([CONTENT[k][i] for k in kinds], dtype=np.float64)[kind] for i in (1, 2))
        size = (median * random.lognormal(0.0, 1.0, per_site) ** spread).clip(120, 60_000_000).astype(np.int64)
        paths = [f"/{kinds[k]}/{tag:06x}/item-{i}.{kinds[k]}" for i, (k, tag) in enumerate(_tagged(kind, random))]
        paths[:2] = ["/robots.txt", "/favicon%20old.ico"]
        video = kind == kinds.index("m4s")
        parts.append(Objects(paths, kind, size, video, np.full(per_site, number), _zipf(per_site, 0.8, 2.0)))
    join = np.concatenate
    return Objects(
        [path for part in parts for path in part.paths],
        join([part.content for part in parts]),
        join([part.bytes for part in parts]),
        join([part.video for part in parts]),
        join([part.site for part in parts]),
        join([part.weight for part in parts]),
    )


def _tagged(kind: Ints, random: Random) -> list[tuple[int, int]]:
    return list(zip(kind.tolist(), random.integers(0, 1 << 24, len(kind)).tolist(), strict=True))


def _targets(objects: Objects, robot: npt.NDArray[np.bool_], random: Random) -> Ints:
    target = np.empty(len(robot), dtype=np.int64)
    for mask, shares in ((robot, [s.bot_share for s in SITES]), (~robot, [s.share for s in SITES])):
        weight = objects.weight * np.array(shares)[objects.site]
        target[mask] = _pick(weight, int(mask.sum()), random)
    return target


def _outcome(objects: Objects, target: Ints, robot: npt.NDArray[np.bool_], random: Random) -> dict[str, Ints]:
    """Status, cache result, sizes and times of each request, from what was asked and by whom."""
    size = len(target)
    status = np.where(robot, _choose(_BOT_STATUS, size, random), _choose(_PEOPLE_STATUS, size, random))
    partial = objects.video[target] & (status == 0) & (random.random(size) < 0.5)
    status[partial] = STATUSES.index("206")
    result = _choose((0.80, 0.04, 0.13, 0.03), size, random)
    served = result.copy()
    result[_FAILED[status] | (status == _NO_STATUS)] = RESULTS.index("Error")
    served[_FAILED[status]] = RESULTS.index("Error")  # an Error with another response result: the viewer left
    redirected = (status == STATUSES.index("301")) | (status == STATUSES.index("302"))
    result[redirected] = served[redirected] = RESULTS.index("Redirect")
    body = np.where(_FAILED[status], random.integers(300, 1_200, size), objects.bytes[target])
    body = np.where(partial, (body * random.random(size)).astype(np.int64), body) * ~_BODILESS[status]
    sent = body + random.integers(280, 640, size)
    sent[(status == _NO_STATUS) & (random.random(size) < 0.7)] = 0
    sent[random.random(size) < 0.0001] = -1  # "-": not logged
    wait = (random.lognormal(-4.2, 1.0, size) * 1000 * np.where(served == 2, 9, 1)).clip(1, 29_000).astype(np.int64)
    taken = (wait + body / 9_000).clip(max=59_999).astype(np.int64)
    content = np.where(_BODILESS[status], len(CONTENT), objects.content[target])
    return {
        "status": status, "result": result, "served": served, "sent": sent, "wait": wait, "taken": taken,
        "content": content, "body": np.where(content == len(CONTENT), -1, body), "range": partial.astype(np.int64),
    }  # fmt: skip


def _connection(robot: npt.NDArray[np.bool_], random: Random) -> dict[str, Ints]:
    size = len(robot)
    cipher = np.where(robot, _choose((0.45, 0.45, 0.10), size, random), _choose((0.86, 0.13, 0.01), size, random))
    version = np.where(robot, _choose((0.3, 0.0, 0.7), size, random), _choose((0.70, 0.22, 0.08), size, random))
    return {
        "cipher": cipher,
        "scheme": (cipher == 2).astype(np.int64),
        "version": version,
        "method": _choose((0.955, 0.02, 0.02, 0.005), size, random),
        "referer": np.where(robot, 0, _choose((0.25, 0.4, 0.2, 0.1, 0.03, 0.02), size, random)),
        "query": _choose((0.74, 0.06, 0.06, 0.06, 0.05, 0.03), size, random),
        "forwarded": _choose((0.985, 0.008, 0.002, 0.005), size, random),
        "received": random.integers(180, 1_900, size),
        "port": random.integers(1_024, 65_536, size),
    }


def _tables(people: Viewers, objects: Objects) -> dict[str, pa.StringArray]:
    texts: dict[str, Sequence[str]] = {
        "viewer": people.addresses, "agent": people.agents, "path": objects.paths, "edge": [*EDGES, "-"],
        "domain": [site.domain for site in SITES], "host": [site.host for site in SITES], "scheme": ["https", "http"],
        "content": [*(content[0] for content in CONTENT.values()), "-"], "status": STATUSES, "result": RESULTS,
        "method": METHODS, "cipher": CIPHERS, "version": VERSIONS, "referer": REFERERS, "query": QUERIES,
        "forwarded": FORWARDED, "range": ["-\t-\n", "0\t1048575\n"], "version_last": [f"{v}\n" for v in VERSIONS],
        "milliseconds": [f"{n // 1000}.{n % 1000:03d}" for n in range(60_000)],
        "clock": [f"{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}" for n in range(86_400)],
    }  # fmt: skip
    return {name: pa.array(list(values), pa.string()) for name, values in texts.items()}


def _request_ids(requests: int, random: Random) -> npt.NDArray[np.uint8]:
    """Ids as CloudFront writes them: 54 characters of URL-safe base64 and two equals signs."""
    alphabet = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)
    ids = np.full((requests, 56), ord("="), np.uint8)
    ids[:, :54] = alphabet[random.integers(0, 64, (requests, 54), dtype=np.uint8)]
    return ids

"""A day of a site's traffic, drawn from a seed, with what each viewer is: people of several habits, and bots.

Every line is one of a CloudFront standard log. All bots but one kind have a browser's user agent.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shardlake.packs.cloudfront.header import STANDARD_FIELDS

DAY: Final = datetime(2026, 3, 2)
DAY_S: Final = 86_400
PAGES: Final = 400
SITE: Final = "https://www.example.com"
COMMON: Final = ("/static/site.css", "/static/app.js", "/static/logo.svg", "/static/text.woff2", "/favicon.ico")
PROBES: Final = ("/wp-login.php", "/.env", "/.git/config", "/admin/", "/phpmyadmin/index.php", "/backup.sql")
AGENTS: Final = tuple(
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
    for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
    for version in (131, 132, 133)
)
PHONE: Final = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Mobile Safari/537.36"
)
GOOGLEBOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
TYPES: Final = {
    "css": "text/css", "js": "application/javascript", "json": "application/json", "txt": "text/plain",
    "svg": "image/svg+xml", "jpg": "image/jpeg", "ico": "image/x-icon", "woff2": "font/woff2", "ts": "video/mp2t",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """A request: seconds of the day, path, the page that it came from, and how it was answered."""

    at_s: float
    path: str
    referer: str = "-"
    status: str = "200"
    method: str = "GET"


Habit = Callable[[random.Random], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a viewer is, how many there are of it for each hundred people, and what one of them asks for."""

    name: str
    is_bot: bool
    share: float
    habit: Habit
    agents: tuple[str, ...] = AGENTS
    together: bool = False  # all of them behind one address


@dataclass(frozen=True, slots=True)
class Traffic:
    """The lines of a day in the order of time, and the name of each viewer's kind."""

    lines: tuple[str, ...]
    kind_of: dict[str, str]


# ---------------------------------------------------------------------------------------------------------- people


def visit(
    chance: random.Random, at_s: float, pages: int, *, cached: float = 0.0, referers: bool = True, think_s: float = 25.0
) -> Iterator[Hit]:
    """One visit of a browser: pages with what they bring, each from the one before, and time to read between them."""
    before = chance.choice(("-", "-", "https://www.google.com/", "https://news.example.net/"))
    for number in range(pages):
        page = page_of(chance)
        yield Hit(at_s, page, before if referers else "-")
        before = SITE + page
        pictures = [f"/img{page}/{n}.jpg" for n in range(chance.randrange(1, 7))]
        for asset in (*(COMMON if number == 0 else ()), *pictures):
            if chance.random() >= cached:
                yield Hit(at_s + chance.uniform(0.1, 2.0), asset, before if referers else "-")
        at_s += think_s * chance.lognormvariate(0, 1.0)


def page_of(chance: random.Random) -> str:
    """Choose a page, some more often than others."""
    return f"/articles/{int(PAGES * chance.random() ** 2)}"


def some_time(chance: random.Random) -> float:
    """A moment of the waking hours."""
    return DAY_S * chance.uniform(7.5, 22.5) / 24


def reader(chance: random.Random) -> Iterator[Hit]:
    """A few visits of a few pages."""
    for _ in range(chance.randrange(1, 4)):
        yield from visit(chance, some_time(chance), chance.randrange(1, 13))


def regular(chance: random.Random) -> Iterator[Hit]:
    """Somebody whose browser has nearly everything already."""
    for _ in range(chance.randrange(1, 5)):
        yield from visit(chance, some_time(chance), chance.randrange(1, 6), cached=0.85)


def private(chance: random.Random) -> Iterator[Hit]:
    """Somebody whose browser tells no referrers."""
    yield from visit(chance, some_time(chance), chance.randrange(3, 15), cached=0.2, referers=False)


def eager(chance: random.Random) -> Iterator[Hit]:
    """Somebody who reads for hours."""
    yield from visit(chance, DAY_S * 0.4, chance.randrange(80, 140), cached=0.3, think_s=60)


def curious(chance: random.Random) -> Iterator[Hit]:
    """A reader who wants to see robots.txt."""
    yield from visit(chance, DAY_S * 0.5, 6)
    yield Hit(DAY_S * 0.55, "/robots.txt")


def bookmarked(chance: random.Random) -> Iterator[Hit]:
    """Somebody who opens two pages now and then, by bookmark, and has their pictures already."""
    for number in range(chance.randrange(2, 5)):
        at_s = some_time(chance)
        yield Hit(at_s, ("/", "/articles/7")[number % 2])
        yield Hit(at_s + 1, "/static/app.js", f"{SITE}/", "304")


def start_page(chance: random.Random) -> Iterator[Hit]:
    """A browser that opens with the site's first page, of which it has all but the page itself."""
    for _ in range(chance.randrange(4, 16)):
        yield Hit(some_time(chance), "/")


def open_tab(chance: random.Random) -> Iterator[Hit]:
    """A page that stays open and asks for news every thirty seconds."""
    yield from visit(chance, DAY_S * 0.35, 1)
    for number in range(1, 1000):
        yield Hit(DAY_S * 0.35 + 30 * number, "/api/news.json", f"{SITE}/articles/1")


def watcher(chance: random.Random) -> Iterator[Hit]:
    """A video of an hour."""
    yield from visit(chance, DAY_S * 0.8, 2)
    for number in range(600):
        yield Hit(DAY_S * 0.8 + 60 + 6 * number, f"/video/1/{number}.ts", f"{SITE}/articles/1")


def night_and_day(chance: random.Random) -> Iterator[Hit]:
    """A reader at any hour: one of the many behind a carrier's address."""
    yield from visit(chance, DAY_S * chance.random(), chance.randrange(1, 9), cached=0.2)


# ------------------------------------------------------------------------------------------------------------ bots


def steady_scraper(chance: random.Random) -> Iterator[Hit]:
    """A page every five seconds for an hour."""
    at_s = DAY_S * 0.3
    for number in range(720):
        yield Hit(at_s, f"/articles/{number % PAGES}")
        at_s += chance.uniform(4, 6)


def slow_scraper(chance: random.Random) -> Iterator[Hit]:
    """A page every one to four minutes, all day and night, with a referrer that it invents."""
    at_s = 0.0
    while at_s < DAY_S:
        yield Hit(at_s, page_of(chance), "https://www.google.com/")
        at_s += chance.uniform(60, 240)


def burst_scraper(chance: random.Random) -> Iterator[Hit]:
    """Two hundred pages in two minutes."""
    for _ in range(200):
        yield Hit(DAY_S * 0.6 + chance.uniform(0, 120), page_of(chance))


def monitor(chance: random.Random) -> Iterator[Hit]:
    """The start page every five minutes."""
    for number in range(288):
        yield Hit(300 * number + chance.uniform(0, 3), "/")


def scanner(chance: random.Random) -> Iterator[Hit]:
    """What might be open, in four minutes."""
    for number in range(250):
        path = PROBES[number] if number < len(PROBES) else f"/old/{number}.php"
        yield Hit(DAY_S * 0.1 + chance.uniform(0, 240), path, status="404")


def polite_crawler(chance: random.Random) -> Iterator[Hit]:
    """It asks what it may read, and reads it with pauses."""
    yield Hit(DAY_S * 0.2, "/robots.txt")
    for number in range(60):
        yield Hit(DAY_S * 0.2 + 40 * number + chance.uniform(1, 30), f"/articles/{number}")


def link_checker(chance: random.Random) -> Iterator[Hit]:
    """It wants to know what is still there."""
    for number in range(50):
        yield Hit(DAY_S * 0.7 + chance.uniform(1, 900), f"/articles/{number}", method="HEAD")


def headless_browser(chance: random.Random) -> Iterator[Hit]:
    """A browser that a program steers, at the pace of a person: nothing tells it from one."""
    yield from visit(chance, DAY_S * 0.45, 25)


def one_of_a_swarm(chance: random.Random) -> Iterator[Hit]:
    """A scraper that has a new address for every page or two."""
    for _ in range(chance.randrange(1, 3)):
        yield Hit(DAY_S * chance.random(), page_of(chance))


KINDS: Final = (
    Kind("reader", is_bot=False, share=60, habit=reader),
    Kind("regular, all cached", is_bot=False, share=20, habit=regular),
    Kind("no referrers", is_bot=False, share=6, habit=private),
    Kind("reads for hours", is_bot=False, share=3, habit=eager),
    Kind("looks at robots.txt", is_bot=False, share=1, habit=curious),
    Kind("two bookmarks", is_bot=False, share=5, habit=bookmarked),
    Kind("start page", is_bot=False, share=3, habit=start_page),
    Kind("open tab", is_bot=False, share=3, habit=open_tab),
    Kind("video", is_bot=False, share=2, habit=watcher),
    Kind("office proxy", is_bot=False, share=20, habit=reader, agents=AGENTS[:2], together=True),
    Kind("mobile carrier", is_bot=False, share=150, habit=night_and_day, agents=(PHONE,), together=True),
    Kind("steady scraper", is_bot=True, share=1, habit=steady_scraper),
    Kind("slow scraper", is_bot=True, share=1, habit=slow_scraper),
    Kind("burst scraper", is_bot=True, share=1, habit=burst_scraper),
    Kind("monitor", is_bot=True, share=1, habit=monitor),
    Kind("vulnerability scanner", is_bot=True, share=1, habit=scanner),
    Kind("polite crawler", is_bot=True, share=1, habit=polite_crawler),
    Kind("link checker", is_bot=True, share=1, habit=link_checker),
    Kind("headless browser", is_bot=True, share=1, habit=headless_browser),
    Kind("swarm", is_bot=True, share=20, habit=one_of_a_swarm),
    Kind("declared crawler", is_bot=True, share=1, habit=polite_crawler, agents=(GOOGLEBOT,)),
)


def draw(seed: int, people: int) -> Traffic:
    """Draw a day with about so many people of their own address, and the others in proportion, at least one a kind."""
    hits: list[tuple[float, str]] = []
    kind_of: dict[str, str] = {}
    for place, kind in enumerate(KINDS):
        for number in range(max(1, round(kind.share * people / 100))):
            chance = random.Random(f"{seed} {kind.name} {number}")
            viewer = f"10.{place}.{0 if kind.together else number // 250}.{1 if kind.together else 1 + number % 250}"
            agent = chance.choice(kind.agents)
            kind_of[viewer] = kind.name
            hits += [(hit.at_s, line(hit, viewer, agent)) for hit in kind.habit(chance) if hit.at_s < DAY_S]
    hits.sort()
    return Traffic(tuple(f"{text}\t{n:08x}==" for n, (_, text) in enumerate(hits)), kind_of)


FIELDS: Final = (*(field for field in STANDARD_FIELDS[:26] if field != "x-edge-request-id"), "sc-content-type",
                 "x-edge-request-id")  # fmt: skip


def log(lines: tuple[str, ...]) -> bytes:
    """Write a log file."""
    return "\n".join(("#Version: 1.0", f"#Fields: {' '.join(FIELDS)}", *lines, "")).encode()


def line(hit: Hit, viewer: str, agent: str) -> str:
    """Write a request as a log line without its id, which is the last field."""
    when = DAY + timedelta(seconds=hit.at_s)
    type_ = TYPES.get(hit.path.rpartition(".")[2], "text/html;%20charset=utf-8") if hit.status == "200" else "-"
    values = {
        "date": f"{when:%Y-%m-%d}", "time": f"{when:%H:%M:%S}", "x-edge-location": "FRA56-P4", "sc-bytes": "2500",
        "c-ip": viewer, "cs-method": hit.method, "cs(Host)": "d111111abcdef8.cloudfront.net", "cs-uri-stem": hit.path,
        "sc-status": hit.status, "cs(Referer)": hit.referer, "cs(User-Agent)": agent.replace(" ", "%20"),
        "x-edge-result-type": "Hit", "sc-content-type": type_,
    }  # fmt: skip
    return "\t".join(values.get(field, "-") for field in FIELDS[:-1])

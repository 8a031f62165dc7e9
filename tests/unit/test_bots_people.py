"""Who is not a bot: browsers and apps that people use, whatever their devices are called."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.bots_browsers import BROWSERS
from benchmarks.bots_mix import draw
from shardlake.packs.bots import clients
from shardlake.packs.bots.classify import PERSON, Classifier, matcher
from shardlake.packs.bots.patterns import LEFT_OUT, Category

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
LIKE_BOTS = [
    "CUBOT P80",
    "CUBOT_X70",
    "M bot 60",
    "C Bot Tab 70",
    "XBot Junior",
    "Spider X1 Pro",
    "Monitor 5",
    "ViewSonic VP10",
    "Robot Phone 3+",
]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier()


@pytest.mark.parametrize("user_agent", BROWSERS)
def test_a_browser_or_app_that_people_use_is_a_person(classifier: Classifier, user_agent: str) -> None:
    assert classifier.verdict(user_agent) == PERSON


@pytest.mark.parametrize("model", LIKE_BOTS)
def test_what_a_telephone_is_called_does_not_count(classifier: Classifier, model: str) -> None:
    assert classifier.verdict(f"Mozilla/5.0 (Linux; Android 13; {model}) {WEBKIT}") == PERSON
    assert (
        classifier.verdict(f"Mozilla/5.0 (Linux; U; Android 9; en-us; {model} Build/PPR1.1) {WEBKIT} Own/1") == PERSON
    )
    assert classifier.verdict(f"Mozilla/5.0 (Linux; Android 13; {model}) {WEBKIT} (compatible; Yeti/1.1)").is_bot


def test_a_listed_name_counts_where_a_word_begins(classifier: Classifier) -> None:
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
    assert classifier.verdict(f"{chrome} Fever/2.0").evidence == "pattern Fever"
    assert classifier.verdict(f"{chrome} AppFever/2.0") == PERSON


@pytest.mark.parametrize("start", clients.CLIENT_STARTS)
def test_the_short_way_to_know_a_client_says_what_the_long_one_says(start: str) -> None:
    assert matcher([clients.CLIENT])(f"{start} 1".encode()) is not None


@pytest.mark.parametrize("word", clients.CLIENT_WORDS)
def test_the_words_that_tell_a_client_are_found_by_its_expression(word: str) -> None:
    assert matcher([clients.CLIENT])(f"x{word}y".encode()) is not None


def test_what_is_left_out_of_the_list_is_in_the_list() -> None:
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA

    assert {entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA} >= LEFT_OUT


def test_a_verdict_depends_on_the_text_alone(classifier: Classifier) -> None:
    texts = draw(1_500, seed=7)
    backwards = Classifier()
    later = [backwards.verdict(text) for text in reversed(texts)][::-1]
    assert [classifier.verdict(text) for text in texts] == later


def test_every_bot_has_a_name_a_known_category_and_evidence(classifier: Classifier) -> None:
    verdicts = [verdict for text in draw(3_000, seed=3) if (verdict := classifier.verdict(text)).is_bot]
    assert len(verdicts) > 200
    for verdict in verdicts:
        assert verdict.category in {category.value for category in Category}
        assert verdict.name
        assert len(verdict.name) <= 64
        assert (verdict.evidence or "").startswith(("pattern ", "rule "))


def test_hostile_texts_are_judged_too(classifier: Classifier) -> None:
    for text in ("\x00", "\ud800", "é" * 5_000, "(" * 5_000, "${" * 3_000, "compatible;" * 2_000, "Android 1;" * 3_000):
        assert classifier.verdict(text).is_bot in {True, False}


def test_real_traffic_of_people_is_not_flagged(classifier: Classifier) -> None:
    folder = os.environ.get("SHARDLAKE_TEST_DATA")
    if folder is None or not (path := Path(folder) / "access_combined_10k.log.gz").is_file():
        pytest.skip("set SHARDLAKE_TEST_DATA to a folder of real logs")
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        requests = Counter(line.rsplit('"', 2)[1] for line in lines)
    # In 2015, all with these beginnings and nothing that tells of a bot were browsers.
    flagged = {
        text: count
        for text, count in requests.items()
        if text.startswith(("Mozilla/5.0 (Windows NT", "Mozilla/5.0 (Macintosh", "Opera/"))
        and classifier.verdict(text).is_bot
    }
    told = ("bot", "spider", "crawl", "http", "slurp", "feed", "robo", "google", "yahoo", "preview")
    assert {text for text in flagged if not any(word in text.lower() for word in told)} == set()
    assert sum(requests.values()) > 9_000

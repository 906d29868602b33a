"""The rules beside what games say and what programs leak: none refused, all found."""

from __future__ import annotations

import random
import string
import tomllib

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from agent_r.hub.secret_rules import LONG_WORD, RULES, Detector, rules
from tests.support.secret_corpus import HARMLESS, PERSONAL, secrets

DETECTOR = Detector()
ALPHABETS = {
    "letters and digits": string.ascii_letters + string.digits,
    "small letters and digits": string.ascii_lowercase + string.digits,
    "base 32": string.ascii_uppercase + "234567",
    "hexadecimal": "0123456789abcdef",
}


def test_what_games_say_is_no_secret_and_seldom_personal() -> None:
    """Of 52 texts, 0 are refused; in a public repository so many are."""
    assert len(HARMLESS) >= 40
    found = {text: DETECTOR.find(text) for text in HARMLESS}
    refused = {text: ms for text, ms in found.items() if any(m.level == "secret" for m in ms)}
    assert refused == {}
    personal = [text for text, ms in found.items() if ms]
    assert len(personal) <= 4, personal


@pytest.mark.parametrize("name", secrets())
def test_what_programs_leak_is_found_whole_and_never_shown(name: str) -> None:
    text, secret = secrets()[name]
    matches = [match for match in DETECTOR.find(text) if match.level == "secret"]
    assert matches, name
    assert any(len(match.secret) >= 0.9 * len(secret) for match in matches), matches
    for match in matches:
        assert match.secret not in match.shown and match.secret not in repr(match)
        assert len(match.shown.partition("…")[0]) <= 4


@pytest.mark.parametrize("letters", ALPHABETS.values(), ids=ALPHABETS)
def test_random_keys_are_seldom_taken_for_words(letters: str) -> None:
    rng = random.Random(0)
    keys = ["".join(rng.choices(letters, k=24)) for _ in range(300)]
    found = sum(bool(DETECTOR.find(f"my_api_key = {key}")) for key in keys)
    assert found >= 0.95 * len(keys)


def test_there_are_forty_secrets_and_each_is_in_the_hands_of_arrow_too() -> None:
    """What Arrow's RE2 sorts out is never looked at: it must let all of them through."""
    texts = [text for text, _ in secrets().values()]
    texts += [text.replace("{}", value) for text, value in PERSONAL.values()]
    assert len(secrets()) >= 40
    words, own = (
        pc.match_substring_regex(pa.array(texts), trigger)
        for trigger in (LONG_WORD, DETECTOR.trigger)
    )
    assert pc.all(pc.or_(words, own)).as_py()


@pytest.mark.parametrize("name", PERSONAL)
def test_personal_data_is_a_level_of_its_own(name: str) -> None:
    text, value = PERSONAL[name]
    [match] = DETECTOR.find(text.replace("{}", value))
    assert (match.rule, match.level, match.secret) == (name.split(",")[0], "personal", value)


def test_the_rules_of_gitleaks_are_all_read_and_come_with_their_licence() -> None:
    theirs = tomllib.loads((RULES / "gitleaks.toml").read_text(encoding="utf-8"))["rules"]
    run = {rule.id for rule in rules()}
    left_out = {rule["id"] for rule in theirs} - run
    assert len(theirs) == 222 and all("path" in r for r in theirs if r["id"] in left_out)
    licence = (RULES / "gitleaks.LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in licence and "8.30.1" in licence


def test_a_rule_with_a_trigger_finds_nothing_without_it() -> None:
    texts = [text for text, _ in secrets().values()]
    texts += [text.replace("{}", value) for text, value in PERSONAL.values()]
    for text in texts:
        for rule in rules():
            if rule.trigger and list(rule.secrets(text)):
                assert pc.match_substring_regex(pa.array([text]), rule.trigger)[0].as_py(), rule.id

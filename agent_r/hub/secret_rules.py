"""Find secrets and personal data in a text, by rules that are data.

Most rules are gitleaks' (https://github.com/gitleaks/gitleaks, MIT), unchanged, in the syntax of
RE2, which runs them; ours lie beside them. Two levels: a secret is never published, personal data
(and what tells of somebody's machines) not where all the world can read it. Nothing here repeats
what it found: a report shows its first characters at most.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import re2

from agent_r.digests import sha256_of
from agent_r.hub.known_values import Private, known_rules
from agent_r.hub.rule_checks import CHECKS, Check, entropy

Level: TypeAlias = Literal["secret", "personal"]

RULES = Path(__file__).parent / "rules"
_BEFORE = 24  # characters that a check sees before a finding
_SHOWN = 4  # characters of a long finding that a report shows
# What all rules without a trigger of their own find has a long word in it. Most long words of a
# dataset are ids and digests of ours, which are none.
LONG_WORD = r"[\w+/=~.%-]{12}"
OUR_ID = r"^(?:[a-z]+-)?[0-9a-f]{16}(?:[0-9a-f]{48})?(?:-\d{1,4})?$"
_ESCAPED = re.compile(r"\\+([nrtbf\"'/])")
_PLAIN = {"n": "\n", "r": "\n", "t": "\t", "b": " ", "f": " "}


@dataclass(frozen=True, slots=True)
class Allowlist:
    """What a rule finds and does not mean."""

    patterns: tuple[Any, ...]
    words: tuple[str, ...]
    target: str = "secret"

    @classmethod
    def of(cls, table: dict[str, Any]) -> Allowlist:
        patterns = tuple(re2.compile(one) for one in table.get("regexes", ()))
        return cls(patterns, tuple(table.get("stopwords", ())), table.get("regexTarget", "secret"))

    def allows(self, secret: str, match: str) -> bool:
        text = secret if self.target == "secret" else match
        lower = secret.lower()
        return any(one.search(text) for one in self.patterns) or any(
            word in lower for word in self.words
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding: an expression, and what must be true of what it matches."""

    id: str
    level: Level
    regex: str
    trigger: str
    pattern: Any
    entropy: float = 0.0
    group: int = 0
    checks: tuple[Check, ...] = ()
    allowlists: tuple[Allowlist, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, table: dict[str, Any], shared: Allowlist) -> Rule:
        own = [one for one in table.get("allowlists", ()) if not one.get("paths")]
        return cls(
            id=table["id"],
            level=table.get("level", "secret"),
            regex=table["regex"],
            trigger=table.get("trigger", ""),
            pattern=re2.compile(table["regex"]),
            entropy=table.get("entropy", 0.0),
            group=table.get("secretGroup", 0),
            checks=tuple(CHECKS[name] for name in table.get("checks", ())),
            allowlists=(*(Allowlist.of(one) for one in own), shared),
        )

    def secrets(self, text: str) -> Iterator[str]:
        """What the rule finds in a text."""
        for found in self.pattern.finditer(text):
            groups = (found[self.group],) if self.group else found.groups()
            secret = next((one for one in groups if one), found[0])
            if self._means(secret, found[0], text[: found.start(0) + found[0].find(secret)]):
                yield secret

    def _means(self, secret: str, match: str, before: str) -> bool:
        if self.entropy and entropy(secret) < self.entropy:
            return False
        if not all(check(secret, match, before[-_BEFORE:]) for check in self.checks):
            return False
        return not any(one.allows(secret, match) for one in self.allowlists)


@dataclass(frozen=True, slots=True)
class Match:
    """Something private in a text, by which rule; `secret` is never shown."""

    rule: str
    level: Level
    secret: str = field(repr=False)
    shown: str

    @property
    def digest(self) -> str:
        """Names it, so that it can be allowed."""
        return sha256_of(self.secret, 12)


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """All rules, the most telling first."""
    own = tomllib.loads((RULES / "own.toml").read_text(encoding="utf-8"))
    theirs = tomllib.loads((RULES / "gitleaks.toml").read_text(encoding="utf-8"))
    shared = Allowlist.of(theirs["allowlist"])
    none = Allowlist((), ())
    more = {one["id"]: one for one in own["more"]}
    # A rule for certain files cannot be told to apply: a dataset's texts have no names.
    taken = [one for one in theirs["rules"] if "regex" in one and "path" not in one]
    general = [Rule.of(one | more.get(one["id"], {}), shared) for one in taken]
    general.sort(key=lambda rule: rule.id == "generic-api-key")
    ours = [Rule.of(one, none) for one in own["rules"]]
    secret = [rule for rule in ours if rule.level == "secret"]
    return (*secret, *general, *(rule for rule in ours if rule.level == "personal"))


@lru_cache(maxsize=1)
def _filter() -> Any:
    """All rules at once: RE2 looks for the letters that they need before it runs them."""
    found = re2.Filter()
    for rule in rules():
        found.Add(rule.regex)
    found.Compile()
    return found


class Detector:
    """All rules, those for what is known of this machine among them."""

    def __init__(self, private: Private = Private()) -> None:
        self._known = tuple(known_rules(private))
        own = [rule.trigger for rule in self._known] + [r.trigger for r in rules() if r.trigger]
        self.trigger = "|".join(f"(?:{trigger})" for trigger in dict.fromkeys(own))

    def find(self, text: str) -> list[Match]:
        """What is private in a text, each value once."""
        found: list[Match] = []
        for rule in self._known:
            for value in dict.fromkeys(match[0] for match in rule.find.finditer(text)):
                found.append(Match(rule.id, "secret", value, f"…({len(value)} characters)"))
        # A dataset has JSON in its texts, with a backslash before what ends a name or a value.
        plain = _ESCAPED.sub(lambda m: _PLAIN.get(m[1], m[1]), text) if "\\" in text else text
        for form in dict.fromkeys((text, plain)):
            for index in sorted(_filter().Match(form) or ()):
                rule = rules()[index]
                for secret in rule.secrets(form):
                    if not any(secret in one.secret or one.secret in secret for one in found):
                        found.append(Match(rule.id, rule.level, secret, _shown(form, secret)))
        return found

    def find_known(self, content: bytes) -> Iterator[str]:
        """Rules that find what is known of this machine in bytes: the others need a text."""
        text = content.decode("latin-1")
        yield from (rule.id for rule in self._known if rule.find.search(text))

    def mask(self, text: str) -> str:
        """The text without what is private in it, to say where something was."""
        return self.replace(text, self.find(text), lambda _: "…")

    @staticmethod
    def replace(text: str, found: Sequence[Match], by: Any) -> str:
        """The text with something else in place of what was found."""
        for one in sorted(found, key=lambda match: -len(match.secret)):
            text = text.replace(one.secret, by(one))
        return text


def _shown(text: str, secret: str) -> str:
    """As much as everybody may see: a few characters where there are many."""
    return f"{secret[:_SHOWN] if len(secret) >= 3 * _SHOWN else ''}…({len(secret)} characters)"

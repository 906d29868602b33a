"""What was found that must not go out, which of it may, and the refusal in one line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent_r.errors import DatasetError
from agent_r.hub.secret_rules import Level, Match

WAYS = (
    "`agent-r scan VERSION` lists all; then `agent-r scan VERSION --drop`, or `--redact`, or name "
    "it in hub.allow"
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something private: what it is, where, and as much of it as everybody may see."""

    rule: str
    where: str  # config, row id and column; or file and line
    shown: str
    level: Level = "secret"
    digest: str = ""  # of what was found; none where there is no text

    @classmethod
    def of(cls, match: Match, where: str) -> Leak:
        return cls(match.rule, where, match.shown, match.level, match.digest)

    @property
    def name(self) -> str:
        """As `hub.allow` takes it."""
        return f"{self.rule}:{self.digest}" if self.digest else self.rule

    def __str__(self) -> str:
        return f"{self.rule} {self.shown} in {self.where} [{self.name}]"


def is_allowed(match: Match, allow: Collection[str]) -> bool:
    """By its name; of personal data also all of a rule: `email-address:*`."""
    wild = match.level == "personal" and f"{match.rule}:*" in allow
    return wild or f"{match.rule}:{match.digest}" in allow


def refuse(findings: Sequence[Leak], *, limit: int) -> None:
    """Stop here if there are findings.

    Raises:
        DatasetError: one line: how many there are, the first one, and what to do.
    """
    if not findings:
        return
    number = len(findings)
    things = "one private thing" if number == 1 else f"{number} private things"
    more = " or more" if number >= limit else ""
    raise DatasetError(f"not published: {things}{more}, the first: {findings[0]}; {WAYS}")

"""Find what is known of this machine and run in a text, in any usual encoding."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus


@dataclass(frozen=True, slots=True)
class Private:
    """What is known of this machine and run; none of it may appear, in any usual encoding."""

    secrets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownRule:
    """Finds values of one kind; nothing of them may be shown."""

    id: str
    trigger: str  # the same for RE2, and for Arrow's
    find: re.Pattern[str]


# In JSON inside a text a line break is a backslash and a letter: the n of \nhf_… is no name's end.
_AFTER = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"

# Names that a sentence, a licence or a container has as well.
_COMMON = frozenset(
    "admin administrator agent anonymous apache build builder circleci container coder daemon data "
    "debian default demo developer docker everyone fedora github gitlab guest hadoop jenkins "
    "jovyan kaggle local localhost machine mail master mysql nginx nobody node operator postgres "
    "prefect public python research root runner server service shared spark staff student system "
    "test tester travis ubuntu user users vagrant vscode worker workspace".split()
)


def known_rules(private: Private) -> Iterator[KnownRule]:
    """Rules for the values that are known; a value that reads like plain language has none."""
    secrets = {form for value in private.secrets for form in encodings(value)}
    yield from _literal("known-secret", secrets, whole=False)
    yield from _literal("known-host", filter(is_telling, _hosts(private.hosts)), fold=True)
    yield from _literal("known-user", filter(is_telling, private.users))
    paths = {path.rstrip("/\\") for path in private.paths}
    telling = {path for path in paths if re.match(r"(?:/|~|[A-Za-z]:[\\/])..", path)}
    yield from _literal("known-path", {form for path in telling for form in _escaped(path)})


def _literal(
    kind: str, values: Iterable[str], *, whole: bool = True, fold: bool = False
) -> Iterator[KnownRule]:
    words = "|".join(re.escape(value) for value in sorted(set(values), key=lambda v: (-len(v), v)))
    if not words:
        return
    folded = f"(?{'i' if fold else ''}:{words})"
    ends = (_AFTER, "(?![A-Za-z0-9])") if whole else ("", "")
    # The group is empty: nothing of a known value is shown.
    find = re.compile(f"{ends[0]}(?P<shown>){folded}{ends[1]}", re.ASCII)
    yield KnownRule(kind, folded, find)


def is_telling(name: str) -> bool:
    """Whether a name is long and rare enough not to be an ordinary word.

    >>> is_telling("mkowalski"), is_telling("root"), is_telling("max")
    (True, False, False)
    """
    return len(name) >= 4 and not name.isdigit() and name.lower() not in _COMMON


def _hosts(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield name
        short = name.partition(".")[0]
        if re.search(r"[a-z].*[\d-]", short, re.IGNORECASE):  # build-7, not mail.example.com's mail
            yield short


def encodings(secret: str) -> set[str]:
    """How a secret is likely to be written: as it is, in a URL, in JSON, in hex, in base64.

    One that could be a word or a number (`none`, `secret`, `12345`) has none, for a world may say
    it; of one with several lines, each long line is a secret of its own.
    """
    lines = {line.strip() for line in secret.splitlines() if len(line.strip()) >= 16}
    forms: set[str] = set()
    for value in {secret.strip(), *lines}:
        mixed = len(value) >= 6 and not value.isalpha() and not value.isdigit()
        if mixed or len(value) >= 12:
            raw = value.encode("utf-8", "surrogatepass")
            forms |= _escaped(value) | {raw.hex(), raw.hex().upper()} | set(_base64(raw))
    return forms


def _escaped(value: str) -> set[str]:
    printable = value.encode("utf-8", "replace").decode()
    urls = {quote(printable, safe=""), quote_plus(printable), quote(printable)}
    texts = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {printable, html.escape(printable), printable.replace("/", r"\/")} | urls | texts


def _base64(raw: bytes) -> Iterator[str]:
    """The part of its base64 that does not depend on what stands before and after it."""
    for before, cut in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(raw)) * 8 // 6
        padded = bytes(before) + raw
        for text in (base64.b64encode(padded), base64.urlsafe_b64encode(padded)):
            if whole - cut >= 8:
                yield text.decode()[cut:whole]

"""Rules that find secrets, host names, user names and local paths in a dataset's texts.

A rule has a trigger, which finds all of its texts and some others, in a syntax that Arrow's RE2
knows too; only a text with a trigger is looked at closely. Nothing here repeats what it found.

An e-mail address alone is no finding, for worlds invent them (a shop's support); one at a private
host, or of a known user or host, is found by that name.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote, quote_plus


@dataclass(frozen=True, slots=True)
class Leak:
    """Something private: what it is, where it is, and as much of it as everybody may see."""

    kind: str
    where: str
    shown: str


@dataclass(frozen=True, slots=True)
class Private:
    """What is known of this machine and run; none of it may appear, in any usual encoding."""

    secrets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of leak; the group `shown` of `find` is what a report may show."""

    kind: str
    trigger: str
    find: re.Pattern[str]


# In JSON inside a text a line break is a backslash and a letter: the n of \nhf_… is no name's end.
_AFTER = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"
_AFTER_PATH = r"(?:(?<![\w.)\]-])|(?<=\\[nrtbf]))"
_MAYBE_AFTER = r"(?:\b|_|\\[nrtbf])"  # the same for RE2, which cannot look back


def _rule(kind: str, head: str, rest: str, *, trigger: str = "", after: str = _AFTER) -> Rule:
    # ASCII: as RE2 understands \w, \d and \s.
    find = re.compile(f"{after}(?P<shown>{head})(?:{rest})", re.ASCII)
    return Rule(kind, trigger or f"{_MAYBE_AFTER}(?:{head})", find)


_NAMED = (
    r"(?i:(?:api|access|account|secret|private|encryption)[_-]?key|passw(?:or)?d"
    r"|(?:access|auth|refresh|api|client|bot)[_-]?(?:token|secret))\\?[\"']?\s*[:=]\s*\\?[\"']?"
)
_SECRETS = (
    _rule("Hugging Face token", "hf_|api_org_", "[A-Za-z0-9]{20,}"),
    _rule("Anthropic key", "sk-ant-", r"[\w-]{16,}"),
    # OpenAI's and of many who copied it; a shop's sk-ii-facial-treatment has no such long part.
    _rule("API key", "sk-", "(?!ant-)(?:[A-Za-z0-9]+[_-]){0,9}[A-Za-z0-9]{16,}"),
    _rule("GitHub token", "gh[pousr]_|github_pat_", r"\w{20,}"),
    _rule("AWS key", "AKIA|ASIA|ABIA|ACCA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _rule("Google key", r"AIza|GOCSPX-|ya29\.", r"[\w-]{20,}"),
    _rule("Slack token", "xox[abcdeprs]-|xapp-", r"(?=[\w-]{0,99}\d)[\w-]{10,}"),
    _rule("Slack webhook", r"hooks\.slack\.com/", r"[\w/-]{12,}"),
    _rule("GitLab token", "gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-", r"[\w-]{16,}"),
    _rule("Stripe key", "[sr]k_(?:live|test)_|whsec_", "[A-Za-z0-9]{16,}"),
    _rule("package registry token", "npm_", "[A-Za-z0-9]{30,}"),
    _rule("package registry token", "pypi-AgEI|dckr_pat_", r"[\w-]{20,}"),
    _rule("API key", "gsk_|xai-|pplx-|r8_|fw_|csk-|tvly-(?:dev-)?", "[A-Za-z0-9]{20,}"),
    _rule("API key", "nvapi-|tgp_v1_|wandb_v1_", r"[\w-]{30,}"),
    _rule("cloud token", "dop_v1_|dapi|pn[ub]_|shpat_|lin_api_|ntn_|secret_", "[A-Za-z0-9]{24,}"),
    _rule("cloud token", r"hvs\.", r"[\w-]{24,}"),
    _rule("SendGrid key", r"SG\.", r"[\w-]{16,}\.[\w-]{16,}"),
    _rule("Telegram token", r"\d{8,10}:", r"AA[\w-]{30,}", trigger=r"\d:AA"),
    _rule("JSON web token", "eyJ", r"[\w-]{8,4096}\.eyJ[\w-]{8,4096}\."),
    _rule("private key", "-----BEGIN ", "[A-Z0-9 ]*PRIVATE KEY", trigger="PRIVATE KEY", after=""),
    _rule("bearer token", "(?i:bearer)", r"(?:\s|%20|\\[nt])+(?=[\w.~+/=-]{0,99}\d)[\w.~+/=-]{12,}",
          trigger=r"(?i:bearer)(?:\s|%20|\\)+[\w.~+/=-]"),
    _rule("authorization", "(?i:authorization)", r"\W{0,3}[:=]\W{0,4}(?i:basic|token)\s+\S{8,}"),
    _rule("password in a URL", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://", r"[^\s/:@\"'<>]*:[^\s/@\"'<>]+@",
          trigger=r"://[^\s/:@]*:[^\s/@]+@"),
    _rule("assigned secret", _NAMED,
          r"(?=[\w/+.=-]{0,99}\d)(?=[\w/+.=-]{0,99}[A-Za-z])[\w/+.=-]{16,}", trigger=_NAMED),
)  # fmt: skip

_SLASH = r"(?:\\?/|%2[Ff])"
_HOME = rf"{_SLASH}(?:export{_SLASH})?(?:home|Users){_SLASH}"
_FOLDERS = (
    rf"{_SLASH}(?:root|tmp|private|var|mnt|srv|opt|workspaces?|scratch|lustre|gpfs|Volumes|kaggle"
    rf"|builds){_SLASH}"
)
_ROOMS = r"office|kitchen|garden|hotel|school|bedroom|bathroom|outdoor|travel|party|living|theater"
_DRIVE = "users|windows|program|documents|temp|tmp|home|work|dev|src|code|projects|repos|data"
_PATHS = (
    # A shop writes "for kitchen /home/office": a room is no user.
    _rule("user name in a path", _HOME, rf"(?!(?:{_ROOMS})\b)[\w.~@$-]",
          trigger=_HOME, after=_AFTER_PATH),
    _rule("local path", _FOLDERS, r"[\w.~@$-]", trigger=_FOLDERS, after=_AFTER_PATH),
    _rule("local path", "(?i:file)://", r"[^\s\"'<>]"),
    _rule("local path", "~/", r"[A-Za-z_.][\w.-]", trigger="~/[A-Za-z_.]", after=r"(?<![\w/~])"),
    _rule("local path", r"[A-Za-z]:\\{1,4}",
          rf"(?i:{_DRIVE})\b|(?![nrtbfu\"\\/])[\w.-]+\\"),
)  # fmt: skip

_LABEL = "[A-Za-z0-9_-]+"
_CODE = r"(?:threading|email|py|chrome|self|this|config|settings)\."  # threading.local is no host
_DOMAIN = r"\.(?:internal|local|lan|corp|intranet|localdomain|home\.arpa|svc)"
_PRIVATE_IP = (
    r"(?<![\d.])(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254"
    r"|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.\d{1,3}\.\d{1,3}(?!\d|\.\d)"
)
_HOSTS = (
    _rule("private host name", "",
          rf"(?!{_CODE}){_LABEL}(?:\.{_LABEL})*?{_DOMAIN}(?:\.cluster\.local)?(?![\w(-]|\.\w)",
          trigger=rf"{_DOMAIN}\b", after=r"(?:(?<![\w.-])|(?<=\\[nrtbf]))"),
    _rule("private address", "", _PRIVATE_IP,
          trigger=r"\d\.\d{1,3}\.\d{1,3}\.\d", after="(?<!v)"),
    _rule("private address", "(?i:fe80|f[cd][0-9a-f]{2}):", r"[0-9a-fA-F:]{2,}[0-9a-fA-F]",
          trigger="(?i:fe80|f[cd][0-9a-f]{2}):[0-9a-fA-F:]"),
    _rule("local address", r"localhost:|127\.\d+\.\d+\.\d+:|0\.0\.0\.0:|\[::1?\]:", r"\d{2,5}",
          trigger=r"(?:localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\]):\d", after=r"(?<![\w.-])"),
    _rule("private host name", "(?i:ip)-", r"\d{1,3}(?:-\d{1,3}){3}\b"),
)  # fmt: skip

_ANYWHERE = _SECRETS + _PATHS + _HOSTS

# Names that a sentence, a licence or a container has as well.
_COMMON = frozenset(
    "admin administrator agent anonymous apache build builder circleci container coder daemon data "
    "debian default demo developer docker everyone fedora github gitlab guest hadoop jenkins "
    "jovyan kaggle local localhost machine mail master mysql nginx nobody node operator postgres "
    "prefect public python research root runner server service shared spark staff student system "
    "test tester travis ubuntu user users vagrant vscode worker workspace".split()
)


class Detector:
    """All rules, those for what is known of this machine among them."""

    def __init__(self, private: Private) -> None:
        self._known = tuple(known_rules(private))
        self._rules = (*self._known, *_ANYWHERE)
        self.trigger = "|".join(rule.trigger for rule in self._rules)
        self._trigger = re.compile(self.trigger, re.ASCII)

    def find(self, text: str) -> Iterator[tuple[str, str]]:
        """Kind and masked excerpt of what is private in a text, each rule at most once."""
        if not self._trigger.search(text):
            return
        for rule in self._rules:
            if match := rule.find.search(text):
                yield rule.kind, f"{match['shown']}…({len(match[0])} characters)"

    def find_known(self, content: bytes) -> Iterator[str]:
        """Kinds of what is known of this machine and in some bytes: other rules need a text."""
        text = content.decode("latin-1")
        yield from (rule.kind for rule in self._known if rule.find.search(text))

    def mask(self, text: str) -> str:
        """The text without what is private in it, to say where something was."""
        for rule in self._rules:
            text = rule.find.sub("…", text)
        return text


def scan_text(text: str, private: Private, *, where: str = "text", limit: int = 20) -> list[Leak]:
    """What is private in a text of some lines, such as a log; `where` is said of each line."""
    detector = Detector(private)
    found = (
        Leak(kind, f"{where} line {number}", shown)
        for number, line in enumerate(text.splitlines(), 1)
        for kind, shown in detector.find(line)
    )
    return list(islice(found, limit))


def known_rules(private: Private) -> Iterator[Rule]:
    """Rules for the values that are known; a value that reads like plain language has none."""
    secrets = {form for value in private.secrets for form in encodings(value)}
    yield from _literal("secret of this run", secrets, whole=False)
    yield from _literal("host name", filter(is_telling, _hosts(private.hosts)), fold=True)
    yield from _literal("user name", filter(is_telling, private.users))
    paths = {path.rstrip("/\\") for path in private.paths}
    telling = {path for path in paths if re.match(r"(?:/|~|[A-Za-z]:[\\/])..", path)}
    yield from _literal("local path", {form for path in telling for form in _escaped(path)})


def _literal(
    kind: str, values: Iterable[str], *, whole: bool = True, fold: bool = False
) -> Iterator[Rule]:
    words = "|".join(re.escape(value) for value in sorted(set(values), key=lambda v: (-len(v), v)))
    if not words:
        return
    folded = f"(?{'i' if fold else ''}:{words})"
    ends = (_AFTER, "(?![A-Za-z0-9])") if whole else ("", "")
    # The group is empty: nothing of a known value is shown.
    find = re.compile(f"{ends[0]}(?P<shown>){folded}{ends[1]}", re.ASCII)
    yield Rule(kind, folded, find)


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

"""Find the settings that a refusal names: by its structure first, by its words last.

Servers differ in both: what is read here is listed, with its source, in
tests/endpoint/refusals/cases.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

DEEPEST = 9  # tables within tables of an answer
CONTENT = ("model", "messages")  # what is asked, of whom: no settings

# Names by which other interfaces, that a router translates to, know our settings.
_ALIASES = {
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "max_new_tokens"),
    "max_completion_tokens": ("max_tokens", "max_output_tokens", "max_new_tokens"),
    "stop": ("stop_sequences",),
    "n": ("candidate_count",),
    "chat_template_kwargs": ("chat_template",),
}
_OURS = {"temperature", "top_p", "stop", "seed", "max_tokens", "max_completion_tokens"}

_PLACES = ("param", "parameter", "field", "property", "argument")
# A server quotes pydantic in its own words (vLLM), a router another server's JSON (OpenRouter).
_QUOTED_LOC = re.compile(r"""['"]loc['"]: ?[(\[]([^)\]]*)[)\]]""")
_QUOTED_PARAM = re.compile(r'"param": ?"([^"]+)"')
_ARROWED = re.compile(r"\bbody -> (\w+)")  # NVIDIA's

_UNSUPPORTED = re.compile(
    r"unsupported|n[o']t (currently |yet )?(support|accept|implement|enabled|available|allow)"
    r"|unrecogni[sz]ed|unknown|unexpected|extra_forbidden|extraneous|extra inputs"
    r"|n[o']t (be )?(permitted|valid|recogni[sz]ed|used|both)|deprecated|incompatible|invalid"
    r"|only (the default|one|1|\S+ is allowed)|cannot (both )?be|must be|should be|has to be"
    r"|too (large|high|small|low|long|many)|out of range|at most|at least|exceeds|maximum|removed"
    r"|range of|非法|不支持|有误|无效",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"\b(both|together|one of|mutually|either)\b", re.IGNORECASE)
_CHOICES = re.compile(
    r"(one|multiple|several|number of) (completion |response )?(choice|candidate|completion)"
    r"|candidate_?count",
    re.IGNORECASE,
)
_ONE_CHOICE = re.compile(
    rf"\bn\b.{{0,40}}\b(1|one)\b|\bn ?(>|=|must|should|is)|['\"`]n['\"`]|{_CHOICES.pattern}",
    re.IGNORECASE,
)
_MARKED = re.compile(rf"['\"`]({'|'.join(sorted(_OURS))}|n)['\"`]", re.IGNORECASE)


def by_structure(page: object) -> list[str]:
    """Where the fault lies, as paths: `seed`, `chat_template_kwargs.thinking`, `messages.0.role`.

    >>> by_structure({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]})
    ['seed']
    """
    return list(dict.fromkeys(_places(page, DEEPEST)))


def _places(page: object, deepest: int) -> Iterator[str]:
    if isinstance(page, str):
        plain = page.replace("\\", "")
        for quoted in _QUOTED_LOC.findall(plain):
            yield from _of_loc([part.strip(" '\"") for part in quoted.split(",")])
        yield from _QUOTED_PARAM.findall(plain) + _ARROWED.findall(plain)
    if deepest and isinstance(page, list):
        for item in page:
            yield from _places(item, deepest - 1)
    if deepest and isinstance(page, dict):
        for name, value in page.items():
            if name == "loc" and isinstance(value, list):
                yield from _of_loc([str(part) for part in value])
            elif name in _PLACES and isinstance(value, str) and value:
                yield value
            else:
                yield from _places(value, deepest - 1)


def _of_loc(parts: list[str]) -> Iterator[str]:
    path = ".".join(part for part in parts if part != "body")
    if path:
        yield path


def settings_at(paths: Collection[str], sent: Collection[str]) -> list[str]:
    """The settings sent that the paths lead to.

    >>> settings_at(["chat_template_kwargs.thinking", "messages.0"], {"chat_template_kwargs"})
    ['chat_template_kwargs']
    """
    settings = [name for name in sent if name not in CONTENT]
    found: list[str] = []
    for path in paths:
        for part in re.split(r"[.\[\]/]+", path):
            if part in CONTENT:
                break
            found += [name for name in settings if _spelt(part) in _names(name)]
    return list(dict.fromkeys(found))


def by_wording(words: str, sent: Collection[str]) -> list[str]:
    """The settings sent that the words complain of, the likeliest first.

    Of two that do not go together the one that matters less is first.

    >>> by_wording("Unsupported parameter: 'seed' is not supported", {"seed", "stop", "model"})
    ['seed']
    """
    if not (_UNSUPPORTED.search(words) or _ONE_CHOICE.search(words)):
        return []
    spots: dict[str, int] = {}
    for name in sent:
        pattern = None if name in CONTENT else _mention(name)
        if pattern and (found := pattern.search(words)):
            spots[name] = found.start()
    if _TOGETHER.search(words):
        return sorted(spots, key=_worth)
    return sorted(spots, key=lambda name: spots[name])


def blames(words: str) -> bool:
    """Whether the words of a failure are surely about a setting of ours.

    >>> blames("Only one completion choice is allowed"), blames("Stop: invalid state")
    (True, False)
    """
    return bool(_CHOICES.search(words)) or bool(
        _MARKED.search(words) and _UNSUPPORTED.search(words)
    )


def _mention(name: str) -> re.Pattern[str]:
    """A word of every day is a setting's name only where it is marked as one."""
    if name == "n":
        return _ONE_CHOICE
    spelt = "|".join(_loosely(one) for one in (name, *_ALIASES.get(name, ())))
    if name in _OURS or "_" in name:
        # No \b: a Chinese character is a letter to Python, and stands right beside the name.
        return re.compile(rf"(?<![\w.])({spelt})(?![a-z0-9_])", re.IGNORECASE | re.ASCII)
    marks = r"(parameter|argument|field|property|key|input|option|name)(\(s\)|s)?( supplied)?:? "
    return re.compile(
        rf"['\"`\[]({spelt})['\"`\]]|{marks}({spelt})\b|(^|: )({spelt}): ", re.IGNORECASE
    )


def _worth(name: str) -> int:
    """How much a request loses with a setting: users' own settings are meant more than ours."""
    order = ("n", "seed", "top_p", "stop")
    if name in order:
        return order.index(name)
    return len(order) + (name in _OURS)


def least_first(names: Collection[str]) -> list[str]:
    """In the order in which a request can do without them."""
    return sorted(names, key=_worth)


def _loosely(name: str) -> str:
    """`top_p` is `topP` to some: in a message, not in a request."""
    return re.escape(name).replace("_", "_?")


def _spelt(name: str) -> str:
    return name.replace("_", "").lower()


def _names(name: str) -> set[str]:
    return {_spelt(one) for one in (name, *_ALIASES.get(name, ()))}

"""Keep what a person wrote in a README: only the region between two comments is ours."""

from __future__ import annotations

import re
from typing import Any

import yaml

BEGIN = (
    "<!-- agent-r: begin. What is written outside of this region is kept; the region is not. -->"
)
END = "<!-- agent-r: end -->"
_BEGIN = "<!-- agent-r: begin"
_REGION = re.compile(
    rf"{_BEGIN}(?:(?!{_BEGIN}).)*?<!-- agent-r: end[^>]*-->", re.DOTALL
)  # of two beginnings the later one: what lies between was never ours
_FRONT = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)

# Ten times as fast where libyaml is there.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# Lists of names, to which people add their own; `pretty_name` is what they would rather call it.
_JOINED = ("tags", "language", "task_categories", "annotations_creators")
_THEIRS = ("pretty_name",)
_LICENCE = ("license", "license_name", "license_link")  # go together, and are ours
_OURS = "data/"  # all files of our configs lie there


def in_region(body: str) -> str:
    """The body of a card, marked as ours."""
    return f"{BEGIN}\n{body.strip()}\n{END}\n"


def has_region(readme: str) -> bool:
    """Whether a part of a README is marked as ours."""
    return _REGION.search(readme) is not None


def merged(ours: str, *others: str) -> str:
    """Our card, with what people wrote around theirs, and what their front matter adds.

    Of another README without a region all is theirs. A text that is in two of them is there once.
    """
    meta, region = _split(ours)
    before: list[str] = []
    after: list[str] = []
    for other in others:
        theirs, body = _split(other)
        meta = merged_meta(meta, theirs)
        found = _REGION.search(body)
        parts = (body[: found.start()], body[found.end() :]) if found else (body, "")
        for kept, part in zip((before, after), parts, strict=True):
            if part.strip() and not any(part.strip() in known for known in kept):
                kept.append(part.strip())
    dumped = yaml.dump(meta, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{dumped}---\n" + "\n\n".join([*before, region.strip(), *after]) + "\n"


def _split(readme: str) -> tuple[dict[str, Any], str]:
    """Front matter and the rest; what cannot be read as front matter is part of the rest."""
    found = _FRONT.match(readme)
    try:
        meta = yaml.load(found[1], _Loader) if found else None
    except yaml.YAMLError:
        meta = None
    if found is None or not isinstance(meta, dict):
        return {}, readme
    return meta, readme[found.end() :]


def merged_meta(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Front matter: what describes the files is ours, the rest is joined, or theirs.

    >>> merged_meta({"license": "mit", "tags": ["a"]}, {"license": "x", "tags": ["b"], "more": 1})
    {'license': 'mit', 'tags': ['a', 'b'], 'more': 1}
    """
    theirs = {key: value for key, value in theirs.items() if key not in _LICENCE}
    found = {**theirs, **ours}
    found = {key: found[key] for key in (*ours, *(key for key in theirs if key not in ours))}
    for key in _THEIRS:
        if theirs.get(key):
            found[key] = theirs[key]
    for key in _JOINED:
        if key in ours and key in theirs:
            found[key] = _joined(ours[key], theirs[key])
    own = [one for one in _tables(theirs, "configs") if not _is_ours(one)]
    names = {config.get("config_name") for config in _tables(ours, "configs")}
    own = [config for config in own if config.get("config_name") not in names]
    if own:
        added = {config.get("config_name") for config in own}
        about = [i for i in _tables(theirs, "dataset_info") if i.get("config_name") in added]
        # None of theirs is the default: of two, `datasets` takes none.
        found["configs"] = [*ours["configs"], *({**c, "default": False} for c in own)]
        found["dataset_info"] = [*ours["dataset_info"], *about]
    return found


def _is_ours(config: dict[str, Any]) -> bool:
    """Of an earlier version, whose files are gone."""
    return _OURS in str(config.get("data_files"))


def _joined(ours: Any, theirs: Any) -> list[Any]:
    lists = [value if isinstance(value, list) else [value] for value in (ours, theirs)]
    return list(dict.fromkeys(item for items in lists for item in items if isinstance(item, str)))


def _tables(meta: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = meta.get(key)
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]

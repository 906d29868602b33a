"""What is wrong with settings, in one line for a person: where, and what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

Where = tuple[int | str, ...]


def first_problem(error: ValidationError) -> str:
    """The first mistake, and how many more there are.

    Of a union every member complains: those of the member whose kind was given are told, and where
    no member has that kind, the kinds there are.
    """
    errors: Sequence[Any] = error.errors(include_url=False, include_input=False)
    strangers = {e["loc"][:-1] for e in errors if e["loc"][-1:] == ("kind",)}
    meant = [e for e in errors if not _below(e["loc"], strangers)]
    if not meant:
        return _kinds([e for e in errors if e["loc"][:-1] in strangers], strangers)
    # A misspelt word comes first: what is missing may be just that.
    meant.sort(key=lambda e: e["type"] != "extra_forbidden")
    first = meant[0]
    more = f" (and {len(meant) - 1} more)" if len(meant) > 1 else ""
    problem = first["msg"].removeprefix("Value error, ")
    return " ".join(f"{_dotted(first['loc'])}: {problem}{more}".lstrip(": ").split())


def _below(where: Where, strangers: set[Where]) -> bool:
    """Whether that is a complaint of a union's member that was not meant."""
    return any(where[:end] in strangers for end in range(1, len(where) + 1))


def _kinds(errors: Sequence[Any], strangers: set[Where]) -> str:
    """All kinds there are, in the union that holds the wrong one."""
    inmost = [e for e in errors if not _below(e["loc"][:-2], strangers)]
    where = max((e["loc"][:-2] for e in inmost), key=len)
    expected = [e.get("ctx", {}).get("expected") for e in errors if e["loc"][:-2] == where]
    kinds = ", ".join(dict.fromkeys(filter(None, expected)))
    return (
        f"{_dotted(where)}.kind: choose one of {kinds}" if kinds else f"{_dotted(where)}: no kind"
    )


def _dotted(where: Where) -> str:
    """As a person wrote it: classes, and the functions that check them, are ours alone."""
    parts = [str(part)[:60] for part in where]
    return ".".join(p for p in parts if not (p[:1].isupper() or p.startswith("function-")))

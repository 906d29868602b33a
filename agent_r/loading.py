"""From `module:name` in a setting to the thing itself."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_r.errors import ConfigError


def load(path: str) -> Any:
    """What a dotted path names; modules in the current folder count, as with `python -m`.

    Raises:
        ConfigError: there is no such module, it fails, or it has nothing of that name.
    """
    module, _, name = path.partition(":")
    with _here():
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            missing = error.name or module
            where = "it" if missing == module else f"'{missing}', which it imports,"
            raise ConfigError(
                f"'{path}': no module '{module}': {where} is not to be found"
            ) from error
        except Exception as error:
            raise ConfigError(f"'{path}': {module} fails: {one_line(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"'{path}': {module} has no '{name}'")
        found = getattr(found, part)
    return found


def call(path: str, arguments: dict[str, Any]) -> Any:
    """Call what a path names.

    Raises:
        ConfigError: it cannot be called so, or fails.
    """
    function = load(path)
    if not callable(function):
        raise ConfigError(f"'{path}' is no function, but {type(function).__name__}")
    try:
        with _here():
            return function(**arguments)
    except Exception as error:
        raise ConfigError(f"'{path}' fails: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An error's type and text, for a person."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """The current folder is looked into last: it hides no installed module."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)

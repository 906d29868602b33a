"""Import what `module:name` in a setting names, and call it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_r.errors import ConfigError


def load(path: str) -> Any:
    """What a dotted path names; modules in the current folder count, as with `python -m`.

    Raises:
        ConfigError: there is no such module, it fails, or it has nothing of that name.
    """
    module, _, name = path.partition(":")
    _look_here()
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # also a script that runs, and ends, when imported
        raise ConfigError(f"'{path}': {_why_not(module, error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"'{path}': {_where(module)} has no '{name}'")
        found = getattr(found, part)
    return found


def call(path: str, arguments: Mapping[str, Any]) -> Any:
    """Call what a path names, with these settings.

    Raises:
        ConfigError: it cannot be called so, or fails.
    """
    function = load(path)
    if not callable(function):
        raise ConfigError(
            f"'{path}' is {_named(function)}, not a function or a class: it cannot be called"
        )
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"'{path}' takes other arguments: {error}") from error
    except ValueError:
        pass  # some that are written in C do not tell
    try:
        product = function(**arguments)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"'{path}' fails: {one_line(error)}") from error
    if inspect.iscoroutine(product):
        product.close()
        raise ConfigError(f"'{path}' is async: write it as a plain function")
    return product


def require(product: object, names: Sequence[str], what: str, path: str) -> None:
    """What `path` made must be `what`.

    Raises:
        ConfigError: it lacks some of these names.
    """
    try:
        missing = [name for name in names if not hasattr(product, name)]
    except Exception as error:  # a property may do anything
        raise ConfigError(
            f"'{path}' made {_named(product)} that fails: {one_line(error)}"
        ) from error
    if missing:
        raise ConfigError(
            f"'{path}' made {_named(product)}, which is not {what}: it lacks {', '.join(missing)}"
        )


def one_line(error: BaseException) -> str:
    """An error's type and text, for a person.

    >>> one_line(ValueError("two\\nlines")), one_line(KeyError())
    ('ValueError: two lines', 'KeyError')
    """
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _look_here() -> None:
    """`python -m` finds what lies in the current folder, an installed script (`agent-r`) does not.

    It stays, for a world may import more when it runs; last, so that it hides no installed module.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _why_not(module: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is None:
        return f"importing {module} fails: {one_line(error)}"
    if module == missing or module.startswith(f"{missing}."):
        return f"no module '{missing}', neither installed nor in {Path.cwd()}"
    return f"{module} imports '{missing}', which is not installed"


def _where(module: str) -> str:
    """A module and its file: another one of that name may have been found."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return f"{module} ({file})" if file else module


def _named(thing: object) -> str:
    name = type(thing).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"

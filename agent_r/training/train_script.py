"""Write the training script of a version: one file that needs nothing of this package.

It is put together from the modules of `agent_r.training.script`, in the order of `PARTS`: their
imports at its head, then what each of them holds. The back end `trl` runs the same file.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from textwrap import indent

from agent_r.errors import TrainerError

PACKAGE = "agent_r.training.script"
PARTS = (
    "script_settings version_rows rendering examples training_order trainers checkpoints outcome "
    "whole_job"
).split()
_MISSING = """\
except ImportError as missing:
    sys.exit(
        f"train: {missing.name} is not installed: `uv run` of this file installs what is needed, "
        "as does `pip install` of the dependencies at its head"
    )
"""
_WIDTH = 100


def train_script(settings: Mapping[str, object]) -> str:
    """The script's text, with these values as the defaults of its options.

    Raises:
        KeyError: it has no such setting.
    """
    parts = [_read(part) for part in PARTS]
    own, others = _imports(parts)
    text = "\n\n".join(
        [
            _read("__init__").rstrip(),
            "from __future__ import annotations",
            own,
            f"try:\n{indent(others, ' ' * 4)}\n{_MISSING}",
            *(_body(part) for part in parts),
        ]
    )
    for name, value in settings.items():
        text = _with_default(text, name, value)
    return text


def write_script(path: Path, text: str) -> None:
    """Write a script where there is none: what a person changed in one is not lost.

    Raises:
        TrainerError: there is something, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise TrainerError(f"{path} is there already: delete it, or name another (-o)") from None
    except OSError as error:
        raise TrainerError(f"cannot write {path}: {error.strerror or error}") from error


def _read(part: str) -> str:
    return files(PACKAGE).joinpath(f"{part}.py").read_text(encoding="utf-8")


def _imports(parts: list[str]) -> tuple[str, str]:
    """What all parts import of Python's own library, and of others."""
    lines: dict[tuple[bool, str], set[str]] = {}
    for node in (node for part in parts for node in ast.parse(part).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                lines[False, alias.name] = set()
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(
            (PACKAGE, "__future__")
        ):
            names = lines.setdefault((True, node.module or ""), set())
            names |= {alias.name for alias in node.names}
    own: list[str] = []
    others: list[str] = []
    for (_, module), names in sorted(lines.items()):
        listed = ", ".join(sorted(names))
        mine = module.partition(".")[0] in sys.stdlib_module_names
        (own if mine else others).append(
            f"from {module} import {listed}" if names else f"import {module}"
        )
    return "\n".join(own), "\n".join(others)


def _body(part: str) -> str:
    """A part under a heading of its own, without its imports."""
    tree = ast.parse(part)
    last = max(n.end_lineno or 0 for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom))
    about = (ast.get_docstring(tree) or "").rstrip(".")
    heading = f"# {'-' * (_WIDTH - 3 - len(about))} {about}"
    return f"{heading}\n\n" + "\n".join(part.split("\n")[last:]).strip() + "\n"


def _with_default(text: str, name: str, value: object) -> str:
    written, count = re.subn(
        rf'^(    "{name}": \(\s*)[^,\n]+',
        lambda found: found[1] + _literal(value),
        text,
        flags=re.M,
    )
    if count != 1:
        raise KeyError(name)
    return written


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

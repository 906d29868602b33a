"""Put a page together: one HTML file without network or build step, model text as data alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

SHARED = resources.files(__package__) / "assets"


def single_file(
    template: str,
    *,
    style: str,
    scripts: Sequence[str],
    data: Mapping[str, Any],
    chunks: Sequence[str],
) -> str:
    """The page: `{{style}}`, `{{script}}`, `{{policy}}`, `{{chunks}}` and `data`, by name."""
    script = "\n".join(scripts)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    parts = {
        "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "chunks": "\n".join(
            f'<script type="application/octet-stream" id="chunk-{n}">{packed}</script>'
            for n, packed in enumerate(chunks)
        ),
    } | {name: in_script(value) for name, value in data.items()}
    before, *rest = template.split("{{")
    for piece in rest:
        name, _, after = piece.partition("}}")
        before += parts[name] + after
    return before


def in_script(value: Any) -> str:
    """JSON that can stand in a <script>: no character of it could end one, or begin a comment.

    >>> in_script("</script><!--\\u2028")
    '"\\\\u003c/script\\\\u003e\\\\u003c!--\\\\u2028"'
    """
    text = json.dumps(value, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def asset(name: str, folder: Traversable = SHARED) -> str:
    """A script, a style or a template."""
    return (folder / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """A script or a style as a Content-Security-Policy names it: no other one is run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""Say for a manifest who makes a dataset, which model wrote it, and with which program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_r import __version__
from agent_r.dataset.manifest import Manifest
from agent_r.local_model.model_folder import PACKAGED, parameters
from agent_r.settings import Config, EmbeddedEndpoint

# Settings that are said here, and make no row another.
SAID_OF_MAKERS = {"maintainer", "contact", "about_actor", "tool"}


def makers(config: Config, actor: str, refused: Sequence[str] = ()) -> dict[str, Any]:
    """Whoever is behind a version; what was not set is an empty text."""
    about = config.dataset
    return {
        "generators": [_generator(config, actor, refused)],
        "maintainer": about.maintainer,
        "contact": about.contact,
        "tool": {"version": __version__, "address": about.tool},
    }


def _generator(config: Config, actor: str, refused: Sequence[str]) -> dict[str, Any]:
    """What the model is that wrote the rows, as far as can be known without asking it."""
    endpoint = config.endpoint
    found: dict[str, Any] = {"name": actor, "kind": endpoint.kind}
    if isinstance(endpoint, EmbeddedEndpoint):
        found["parameters"] = parameters(Path(endpoint.checkpoint or PACKAGED))
    if refused:  # the settings say otherwise
        found["refused"] = list(refused)
    return found | {"about": config.dataset.about_actor}


def makers_of_merge(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """The maintainer and the address of a merge: what all of its sources say, or nothing.

    >>> makers_of_merge([{"maintainer": "A"}, {"maintainer": "B"}])["maintainer"]
    ''
    """
    return {
        "maintainer": _common(manifests, "maintainer", ""),
        "contact": _common(manifests, "contact", ""),
        "tool": {
            "version": __version__,
            "address": _common(manifests, "tool", {}).get("address", ""),
        },
    }


def _common(manifests: Sequence[Manifest], name: str, otherwise: Any) -> Any:
    values = [manifest.get(name) or otherwise for manifest in manifests]
    return values[0] if all(value == values[0] for value in values) else otherwise

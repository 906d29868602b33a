"""Settings from files, presets and the command line; the only reader of the environment.

A secret is never a setting: `read_key` and `read_token` hand it to the one client that needs it.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tomllib
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agent_r.digests import sha256_of
from agent_r.errors import ConfigError
from agent_r.loopback import NAMES
from agent_r.settings import Config, HubConfig, OpenAIEndpoint, first_problem

Table = dict[str, Any]  # settings that are not validated yet

PRESETS: dict[str, Table] = {
    "default": {},
    "paper": {
        "alphas": [0.5, 0.7, 1.0],
        "search": {
            "parallel_simulations": 1,
            "expansion": "all",
            "stop_early": False,
            "abandon_after": 0,
        },
        "critique": {"localiser": "actor", "when_none": "direct", "lookahead": 1},
        "revision": {
            "signal": "template",
            "placement": "turn",
            "verify": False,
            "prune": False,
            "interleaved": 0,
        },
        "train": {"eta": 0.2, "learning_rate": 2e-5, "optimizer": "adamw", "max_length": 8192},
        "measure": {"max_steps": 100, "recovery_tasks": 100},
    },
}


def load(
    path: Path | None, *, preset: str = "default", over: dict[str, Any] | None = None
) -> Config:
    """A preset, with the file's settings on top, and `over` on top of those.

    Raises:
        ConfigError: the file is unreadable, not TOML, or says what cannot be; one line.
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset '{preset}': choose one of {', '.join(PRESETS)}")
    if path is None:
        return parse(layered(PRESETS[preset], over or {}), source="command line")
    source = f"{path} and the command line" if over else str(path)
    return parse(layered(PRESETS[preset], read_table(path), over or {}), source=source)


def read_table(path: Path) -> Table:
    """The settings that a TOML file says, not validated yet.

    Raises:
        ConfigError: it is unreadable, or not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from error
    return toml_table(text, source=str(path))


def toml_table(text: str, *, source: str) -> Table:
    """The settings that a TOML text says, not validated yet.

    Raises:
        ConfigError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error


def layered(*layers: Table) -> Table:
    """Each on top of those before it; one may say an old name, and another the new one."""
    return functools.reduce(merge, map(Config.with_new_names, layers))


def parse(values: dict[str, Any], *, source: str) -> Config:
    """Validate plain values; all that is wrong with them is one line of a `ConfigError`."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error)}") from error


def merge(base: Table, over: Table) -> Table:
    """`over` laid on `base`, table by table.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge(below, value) if both and below is not None else value
    return merged


def overrides(assignments: Sequence[str]) -> Table:
    """Settings from words like `search.simulations=4`; of two for one setting the last counts.

    A value is read as TOML, and is plain text where it is none.

    Raises:
        ConfigError: a word has no `=`, or no name before it.

    >>> overrides(["search.simulations=4", "dataset.name=try-2", "alphas=[0.5, 1.0]"])
    {'search': {'simulations': 4}, 'dataset': {'name': 'try-2'}, 'alphas': [0.5, 1.0]}
    """
    settings: Table = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        parts = [part.strip() for part in name.split(".")]
        if not equals or not all(parts):
            raise ConfigError("to set one setting, write key=value, as in `search.simulations=4`")
        value = _toml_value(text)
        for part in reversed(parts):
            value = {part: value}
        settings = merge(settings, value)
    return settings


def _toml_value(text: str) -> Any:
    """One value as TOML reads it, else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # also a number or a nesting that is too long
        return text
    return table["value"] if table.keys() == {"value"} else text


def dotted(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names.

    >>> dotted({"seed": 1, "env": {"kind": "textcraft"}})
    {'seed': 1, 'env.kind': 'textcraft'}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def digest(*parts: BaseModel | dict[str, Any] | str | int) -> str:
    """A short name for settings: equal settings, equal name, in any process."""
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return sha256_of(canonical, 16)


def default_environment(values: Mapping[str, str]) -> None:
    """Variables for this process and its children; what the user has set stays as it is."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def spare_loopback() -> None:
    """Whatever proxy is set, this machine is asked directly: by Prefect's client, by children."""
    variable = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    listed = [name.strip() for name in variable.split(",") if name.strip()]
    more = [name for name in NAMES if name not in listed and "*" not in listed]
    for name in ("no_proxy", "NO_PROXY"):  # most read the first, some only the second
        os.environ[name] = ",".join(listed + more)


def process_environment(over: Mapping[str, str], *, without: Container[str] = ()) -> dict[str, str]:
    """The environment for a process of ours: what there is, with changes."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return kept | dict(over)


_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)

_SHORTEST_SECRET = 8  # characters


def secrets() -> list[str]:
    """Values of all variables that are called like a secret: they must not leave this machine."""
    return [value for name, value in os.environ.items() if _SECRET.search(name)]


def without_secrets(text: str) -> str:
    """A text in which stars stand for the value of each such variable.

    A short value is a word, or a number, of any text: that stays.
    """
    for secret in secrets():
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def read_secret(variable: str) -> str:
    """What an environment variable holds; "" where there is none."""
    return os.environ.get(variable, "").strip()


def read_allowed() -> frozenset[str]:
    """What the parameters of a submitted run may name: `$AGENT_R_ALLOW`, as `code,paths`."""
    return frozenset(os.environ.get("AGENT_R_ALLOW", "").replace(" ", "").split(","))


def read_token(hub: HubConfig) -> str:
    """The Hub's token, from the environment; "" where there is none."""
    return os.environ.get(hub.token_env, "")


def read_held(endpoint: OpenAIEndpoint) -> dict[str, str]:
    """What the variables hold that headers name.

    Raises:
        ConfigError: one is not set.
    """
    held = {name: os.environ.get(name, "").strip() for name in endpoint.variables}
    missing = next((name for name, value in held.items() if not value), "")
    if missing:
        raise ConfigError(f"endpoint.headers names ${missing}, which is not set")
    return held


def read_key(endpoint: OpenAIEndpoint) -> str:
    """The key, from the environment; servers that want none are sent a placeholder."""
    return os.environ.get(endpoint.api_key_env, "") or "none"

"""What the Hub finds wrong with a README's YAML front matter."""

from __future__ import annotations

import re
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def front_matter(readme: str) -> dict[str, Any] | None:
    """The YAML at the head of a README; None when there is none, or when it is not a mapping.

    >>> front_matter('''---
    ... license: mit
    ... ---
    ... # Title''')
    {'license': 'mit'}
    """
    match = _FRONT_MATTER.match(readme)
    try:
        data = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError:
        return None
    return data if isinstance(data, dict) else None


def complaints(readme: str) -> tuple[list[str], list[str]]:
    """Errors and warnings, as the Hub's validate-yaml gives them."""
    match = _FRONT_MATTER.match(readme)
    if match is None or not match[1].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return [f"YAML: {error}"], []
    if not isinstance(data, dict):
        return ["YAML metadata must be an object"], []
    return _errors(data), []


def _errors(data: dict[str, Any]) -> list[str]:
    errors = []
    for key in ("tags", "task_categories", "size_categories"):
        if key in data and not _texts(data[key]):
            errors.append(f'"{key}" must be an array of strings')
    if "license" in data and not (isinstance(data["license"], str) or _texts(data["license"])):
        errors.append('"license" must be a string or an array of strings')
    configs = data.get("configs", [])
    if not isinstance(configs, list):
        return [*errors, '"configs" must be an array']
    for n, config in enumerate(configs):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append(f'"configs[{n}].config_name" is required')
    infos = data.get("dataset_info", [])
    if not isinstance(infos, dict | list):
        errors.append('"dataset_info" must be an object or an array')
    return errors


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)

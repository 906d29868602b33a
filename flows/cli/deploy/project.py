"""What a folder's prefect.yaml and automations ask of a Prefect server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.cli.deploy._models import PrefectYamlModel  # what `prefect deploy` itself reads
from prefect.events.schemas.automations import AutomationCore
from pydantic import ValidationError

from agent_r.errors import ConfigError

ANY_POOL = (
    "process"  # the type of a pool that names none: runs are processes of the worker's machine
)


@dataclass(frozen=True)
class Wanted:
    """One deployment of the file, as far as anything beside `prefect deploy` needs to know it."""

    name: str
    entrypoint: str
    scheduled: bool


@dataclass(frozen=True)
class Project:
    """A prefect.yaml, and the automations beside it."""

    file: Path
    deployments: list[Wanted]
    pools: dict[str, str]  # the type of each, by its name
    automations: list[AutomationCore]

    @classmethod
    def at(cls, file: Path) -> Project:
        """Read what is there.

        Raises:
            ConfigError: there is no such file, or it says what Prefect does not take.
        """
        raw = _yaml(file)
        try:
            # Prefect's own command skips a file that it does not understand, and goes on.
            PrefectYamlModel.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(f"{file}: {_first(error)}") from error
        each = raw.get("deployments") or []
        if not each:
            raise ConfigError(f"{file} has no deployments")
        for number, deployment in enumerate(each, start=1):
            for needed in ("name", "entrypoint"):
                if not deployment.get(needed):
                    raise ConfigError(f"{file}: deployment {number} has no {needed}")
        wanted = [Wanted(d["name"], d["entrypoint"], bool(d.get("schedules"))) for d in each]
        automations = sorted((file.parent / "automations").glob("*.yaml"))
        return cls(file, wanted, _pools(each, file), [_automation(path) for path in automations])


def _pools(deployments: list[dict[str, Any]], file: Path) -> dict[str, str]:
    pools: dict[str, str] = {}
    for deployment in deployments:
        pool = deployment.get("work_pool") or {}
        if not pool.get("name"):
            raise ConfigError(f"{file}: deployment {deployment['name']} names no work_pool")
        type_ = pool.get("type", ANY_POOL)
        if pools.setdefault(pool["name"], type_) != type_:
            raise ConfigError(f"{file}: the pool {pool['name']} has two types")
    return pools


def _automation(path: Path) -> AutomationCore:
    try:
        return AutomationCore.model_validate(_yaml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first(error)}") from error


def _yaml(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", "") or error
        raise ConfigError(f"cannot read {path}: {why}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise ConfigError(f"{path} is not what Prefect reads: it has no settings by name")
    return read


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"

"""Find a dataset version by its folder, or fetch it by its address on the Hub."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent_r.collection.plan import work_folder
from agent_r.config import digest
from agent_r.dataset.manifest import read_manifest, to_train
from agent_r.errors import ConfigError
from agent_r.hub.pull import Address, pull
from agent_r.settings import Config
from flows.hub_client import hub_of


def published_address(version: str) -> Address | None:
    """Where a version is on the Hub; None where it is meant as a folder.

    Raises:
        ConfigError: it is neither.
    """
    address = Address.of(version)
    if address is None or Path(version).exists():
        return None
    if not address.tag:
        raise ConfigError(f"'{version}' is no folder; for a version on the Hub: {version}@v1.3")
    return address


def to_take_elsewhere(version: str, rows: str) -> dict[str, str]:
    """Where a training script finds a version: in a repository at its tag, or in a folder.

    Raises:
        DatasetError: there is none in the folder, or it is damaged.
        ConfigError: it has no rows of that config.
    """
    address = published_address(version)
    if address is not None:
        name = address.repo.rpartition("/")[2]
        return {"dataset": address.repo, "tag": address.tag, "out": f"{name}-{address.tag}-trained"}
    folder = Path(version).absolute()
    manifest = read_manifest(folder)
    if not to_train(manifest).get(rows):
        raise ConfigError(f"{version} has no {rows} rows to train on")
    out = f"{manifest['dataset']}-{manifest['version']}-trained"
    return {"dataset": str(folder), "digest": manifest["content_digest"], "out": out}


async def local_version(version: str, config: Config) -> Path:
    """The folder of a version; `owner/name@v1.3` is fetched at its tag, and checked.

    Raises:
        HubError: the Hub has no such version, or does not answer.
        DatasetError: what came is not what its manifest says.
    """
    address = published_address(version)
    if address is None:
        return Path(version)
    # Two Hubs may each have a repository of that name.
    whose = f"-{digest(config.hub.endpoint)[:8]}" if config.hub.endpoint else ""
    folder = work_folder(config) / "hub" / (address.repo.replace("/", "--") + whose)
    if (folder / address.tag).exists():  # a tag never moves: what was fetched is what it names
        return folder / address.tag
    hub = await hub_of(config.hub, address.repo)
    return Path((await asyncio.to_thread(pull, hub, address.tag, folder)).path)

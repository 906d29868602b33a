"""Fill in what settings name of Prefect's blocks: who acts, and where versions are published."""

from __future__ import annotations

from agent_r.config import Table, merge
from tasks.blocks import AgentREndpoint, HubDataset, load

KIND = "block"  # of an endpoint that Prefect keeps
_REPO = f"{HubDataset.get_block_type_slug()}/"


async def filled_in(values: Table) -> Table:
    """The settings with what these blocks say; of their secrets they say only where they are.

    Raises:
        ConfigError: there is no such block, or it says what cannot be.
    """
    endpoint = dict(values.get("endpoint", {}))
    if endpoint.get("kind") == KIND:
        del endpoint["kind"]
        kept = await load(AgentREndpoint, endpoint.pop("name", ""))
        values = values | {"endpoint": kept.settings().model_dump() | endpoint}
    repo = str(values.get("hub", {}).get("repo", ""))
    if repo.startswith(_REPO):
        hub = (await load(HubDataset, repo.removeprefix(_REPO))).settings()
        values = merge(values, {"hub": hub.model_dump(exclude_unset=True)})
    return values

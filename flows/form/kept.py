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
    endpoint, hub = _table(values, "endpoint"), _table(values, "hub")
    if endpoint.pop("kind", "") == KIND:
        kept = await load(AgentREndpoint, endpoint.pop("name", ""))
        values = values | {"endpoint": kept.settings().model_dump() | endpoint}
    repo = str(hub.get("repo", ""))
    if repo.startswith(_REPO):
        held = (await load(HubDataset, repo.removeprefix(_REPO))).settings()
        values = merge(values, {"hub": held.model_dump(exclude_unset=True)})
    return values


def _table(values: Table, name: str) -> Table:
    table = values.get(name)
    return dict(table) if isinstance(table, dict) else {}

"""Search one task and print the tree: `python docs/example.py`. It needs no model."""

import asyncio

from agent_r import Config, search
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.scripted import ScriptedCrafter

config = Config.model_validate({"search": {"simulations": 4, "candidates": 2}})
env = TextCraft(TextCraftEnv())
actor = ScriptedCrafter(ScriptedEndpoint(), TextCraftEnv())  # or agent_r.endpoint.client's
task = env.tasks("train")[0].id
tree = asyncio.run(search(env, actor, task, config=config.search, seed=config.seed))
print(tree)

"""The form's fields: what a person decides, each with its help; everything else is `settings`.

Empty is always "as in the settings". A field is drawn and checked by the schema of the setting
that it stands for; `flows.form.asked` makes the settings of what was typed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import WithJsonSchema

from agent_r.config import Table
from agent_r.settings import (
    AgentGymEnv,
    BudgetConfig,
    Config,
    EmbeddedEndpoint,
    GymnasiumEnv,
    MixtureEnv,
    OpenAIEndpoint,
    OpenEnvEnv,
    PythonEnv,
    ScienceWorldEnv,
    ScriptedEndpoint,
    ShopEnv,
    TextCraftEnv,
    TextWorldExpressEnv,
)
from flows.form.kept import KIND
from flows.form.picking import Schema, beside, blank, picked, tabs

_UNCHOSEN = "As in settings"
_ADDRESS = {"pattern": "^https?://[^@ ]+$"}  # no password in it: it would be stored
_LINES: Schema = {
    "type": "array",
    "items": {"type": "string", "pattern": "^[^=]+="},
    "default": [],
}
_ACTION = {
    "type": "string",
    "description": "the server's action as JSON, in which {action} becomes what the actor does: "
    '{"message": "{action}"}',
}

WORLDS = (
    picked(TextCraftEnv, "kind", "recipes", title="TextCraft"),
    picked(ShopEnv, "kind", "products", title="Shop"),
    picked(ScienceWorldEnv, "kind", "tasks", "simplifications", title="ScienceWorld"),
    picked(TextWorldExpressEnv, "kind", "game", "parameters", title="TextWorldExpress"),
    picked(AgentGymEnv, "kind", "server", "base_url", title="AgentGym", base_url=_ADDRESS),
    picked(OpenEnvEnv, "kind", "name", "base_url", "instruction", "action", "observation",
           title="OpenEnv", action=_ACTION),
    picked(PythonEnv, "kind", "factory", title="Python"),
    picked(GymnasiumEnv, "kind", "factory", "instruction", title="Gymnasium"),
)  # fmt: skip
_KINDS = [world["properties"]["kind"]["const"] for world in WORLDS]
# A member's own settings are lines: a form in a list in a tab would be drawn as bare JSON.
_MEMBER: Schema = {
    "title": "World",
    "type": "object",
    "properties": {
        "kind": {"title": "kind", "type": "string", "enum": _KINDS, "description": "which world"},
        "weight": picked(TextCraftEnv, "weight")["properties"]["weight"],
        "settings": _LINES
        | {"title": "settings", "description": "of this world, each as key=value: products=500"},
    },
    "required": ["kind"],
}
_MIXTURE = picked(
    MixtureEnv,
    "kind",
    "worlds",
    title="Mixture",
    worlds={
        "items": _MEMBER,
        "default": [{"kind": "textcraft", "weight": 1}, {"kind": "shop", "weight": 1}],
        "description": "the worlds of this run, each with its share of the trees",
    },
)
_KEPT: Schema = {
    "title": "Block",
    "type": "object",
    "properties": {
        "kind": {
            "title": "kind",
            "type": "string",
            "const": KIND,
            "default": KIND,
            "description": "an endpoint that Prefect keeps, with its key",
        },
        "name": {
            "title": "name",
            "type": "string",
            "minLength": 1,
            "description": "of an Agent-R Endpoint, which the UI makes under Blocks",
        },
    },
    "required": ["name"],
}
ENDPOINTS = (
    picked(EmbeddedEndpoint, "kind", "checkpoint", title="Embedded"),
    picked(OpenAIEndpoint, "kind", "base_url", "model", "api_key_env", "api_key_block",
           title="OpenAI-compatible", base_url=_ADDRESS),
    picked(ScriptedEndpoint, "kind", "error_rate", title="Scripted"),
    _KEPT,
)  # fmt: skip


def _field(schema: Schema, about: str) -> WithJsonSchema:
    """A field of the form; one without a default is drawn empty."""
    return WithJsonSchema(schema | {"description": about})


World = Annotated[
    Table | None,
    _field(tabs(*WORLDS, _MIXTURE, none=_UNCHOSEN), "Which world the actor acts in."),
]
Endpoint = Annotated[
    Table | None,
    _field(tabs(*ENDPOINTS, none=_UNCHOSEN), "Who acts: the model, and where it is asked."),
]
Dataset = Annotated[
    str,
    _field(
        {"type": "string", "pattern": "^[A-Za-z0-9._-]*$"},
        "Name of the dataset: its versions lie in the folder of this name.",
    ),
]
Repo = Annotated[
    str,
    _field(
        {"type": "string", "pattern": "^(no|[^/ ]+/[^/ ]+)?$"},
        "Dataset repository on the Hub, as owner/name, or hub-dataset/NAME for a block with its "
        "token; no: nothing is published.",
    ),
]
# In boxes: an empty number of its own would be sent as null, which is none.
_SPENT = blank(picked(BudgetConfig, "tokens", "minutes", "money"))
_TREES, _LOOP = blank(picked(Config, "trees")), blank(picked(Config, "iterations", "trees"))
_HOW_MUCH = "How much this run may do and spend, at most; 0 tokens, minutes or money: no limit."
RunBudget = Annotated[Table, _field(beside(_TREES, _SPENT), _HOW_MUCH)]
LoopBudget = Annotated[Table, _field(beside(_LOOP, _SPENT), _HOW_MUCH)]
AS_SET: Table = {}  # a budget that says nothing
Base = Annotated[
    Config | str,
    _field(
        {"type": "string"},
        "Where fields that are left empty take their values: a preset (default, paper); a TOML "
        "file (demo for configs/demo.toml, a path, s3://…); a block (agent-r-settings/NAME); or "
        "the TOML itself.",
    ),
]
Overrides = Annotated[
    tuple[str, ...],
    _field(
        _LINES,
        "Single settings, each as key=value, on top of all others: search.simulations=4",
    ),
]

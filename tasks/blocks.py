"""What Prefect keeps for runs, by name: endpoints, Hub repositories, settings; secrets masked.

A block gives settings. Of its secret they say only where it is: what a run has as parameters, logs
and artifacts holds the name, never the key.
"""

from __future__ import annotations

from typing import TypeVar

from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from pydantic import Field, SecretStr, ValidationError, model_validator

from agent_r.errors import ConfigError
from agent_r.settings import HubConfig, OpenAIEndpoint, first_problem

B = TypeVar("B", bound=Block)


class AgentREndpoint(Block):
    """An OpenAI-compatible endpoint, and its key."""

    _block_type_name = "Agent-R Endpoint"
    _description = "Who acts: an OpenAI-compatible endpoint, and its key."

    base_url: str = Field(description="with its /v1, e.g. http://localhost:8000/v1")
    model: str = Field(description="the model's name as the server knows it")
    api_key: SecretStr | None = Field(None, description="empty: the server wants none")
    concurrency: int = Field(32, description="requests in flight, at most")
    prompt_price: float = Field(0.0, description="money for a million prompt tokens")
    completion_price: float = Field(0.0, description="money for a million sampled tokens")

    @model_validator(mode="after")
    def _is_an_endpoint(self) -> AgentREndpoint:
        self.settings()
        return self

    @property
    def secret(self) -> SecretStr | None:
        return self.api_key

    def settings(self) -> OpenAIEndpoint:
        """As a config has it; of the key, the block that holds it."""
        plain = self.model_dump(include={*OpenAIEndpoint.model_fields})
        held = {"api_key_block": address(self)} if self.api_key else {"api_key_env": ""}
        return OpenAIEndpoint.model_validate(plain | held)


class HubDataset(Block):
    """A dataset repository on the Hugging Face Hub, and a token that may write there."""

    _block_type_name = "Hub Dataset"
    _description = "Where versions are published: a repository of the Hub, and its token."

    repo: str = Field(description="dataset repository, `owner/name`")
    token: SecretStr | None = Field(None, description="empty: the worker's own, as $HF_TOKEN")
    private: bool = Field(True, description="publish to a private repository, or make one")
    endpoint: str = Field("", description="URL of another Hub; empty: the Hub")

    @model_validator(mode="after")
    def _is_a_repository(self) -> HubDataset:
        self.settings()
        return self

    @property
    def secret(self) -> SecretStr | None:
        return self.token

    def settings(self) -> HubConfig:
        """As a config has it; of the token, the block that holds it."""
        plain = self.model_dump(include={*HubConfig.model_fields})
        held = {"token_block": address(self)} if self.token else {}
        return HubConfig.model_validate(plain | held)


class AgentRSettings(Block):
    """Settings of a run, as a file of `configs/` has them; a run's form names the block."""

    _block_type_name = "Agent-R Settings"
    _description = "Settings of a run that its form does not ask for, in TOML."

    toml: str = Field(description="as in a settings file; no key or token belongs here")


KEEPERS: dict[str, type[AgentREndpoint | HubDataset]] = {
    kind.get_block_type_slug(): kind for kind in (AgentREndpoint, HubDataset)
}
OURS: tuple[type[Block], ...] = (*KEEPERS.values(), AgentRSettings)


async def load(kind: type[B], name: str) -> B:
    """The block of a kind and a name.

    Raises:
        ConfigError: there is none, or it says what cannot be.
    """
    title = kind.get_block_type_name()
    if not name:
        raise ConfigError(f"which {title} block? It has no name")
    try:
        return await kind.aload(name)
    except ValidationError as error:
        raise ConfigError(f"the {title} block '{name}': {first_problem(error)}") from None
    except ValueError as error:
        raise ConfigError(f"no Prefect {title} block '{name}'") from error


def address(block: Block) -> str:
    """How settings name a block: its type, and its name."""
    return f"{block.get_block_type_slug()}/{block._block_document_name or ''}"


async def secret_of(name: str) -> str:
    """What a block keeps: a Secret of this name, or the key of `agent-r-endpoint/NAME`.

    Raises:
        ConfigError: there is no such block, or it keeps no secret.
    """
    slug, slash, own_name = name.rpartition("/")
    if not slash:
        return str((await load(Secret, name)).value.get_secret_value())
    kind = KEEPERS.get(slug)
    if kind is None:
        known = " or ".join(f"{slug}/NAME" for slug in KEEPERS)
        raise ConfigError(f"'{name}' is no block with a secret: NAME of a Secret block, or {known}")
    secret = (await load(kind, own_name)).secret
    if not secret:
        raise ConfigError(f"the {kind.get_block_type_name()} block '{own_name}' keeps no secret")
    return secret.get_secret_value()

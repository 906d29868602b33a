"""How a server of one's own comes to serve what has been trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agent_r.settings.base import Settings


class ServingConfig(Settings):
    """What is done so that the server answers with the newly trained model."""

    by: Literal["vllm", "sglang", "command"] = Field(
        description="`vllm`, `sglang`: a LoRA adapter is loaded at run time; `command`: a command "
        "of yours, which may restart the server"
    )
    path: str = Field(
        "{folder}",
        description="where the server sees the adapter: {folder} is its folder here, {name} that "
        "folder's name, {repo} its repository on the Hub",
    )
    command: str = Field(
        "",
        description="for `command`: {folder} is the new model's, {model} what the server must "
        "call it (at a provider: what it has called it); no shell reads it",
    )
    wait_s: float = Field(
        900.0, gt=0, description="seconds until the server must answer with the new model"
    )

    @model_validator(mode="after")
    def _command_is_here(self) -> ServingConfig:
        if (self.by == "command") != bool(self.command):
            raise ValueError("`command` goes with by = 'command', and only with it")
        return self

"""Fine-tuning on machines that are not ours: a provider's API, and Hugging Face Jobs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from agent_r.settings.base import Positive, Settings

ADDRESS = r"https?://[^\s/@]+(/\S*)?$"
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


class ProviderConfig(Settings):
    """A provider's fine-tuning API in OpenAI's protocol: files, fine_tuning.jobs."""

    base_url: str = Field(pattern="^" + ADDRESS, description="of its API, with its /v1")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the key")
    model: str = Field(
        "",
        description="what the provider calls the model to start from; empty: as endpoint.model",
    )
    suffix: str = Field(
        "agent-r",
        pattern=r"^[a-z0-9-]{0,18}$",
        description="part of the new model's name, where the provider takes one",
    )
    hyperparameters: dict[str, Any] = Field(
        {},
        description="as the provider names them; `n_epochs` is train.epochs unless it is here. No "
        "other setting of the training goes there: its rates and batches are its own",
    )


class HfJobsConfig(Settings):
    """Hugging Face Jobs: the training script on rented machines, the model in a repository."""

    repo: str = Field(
        pattern=REPOSITORY,
        description="model repository, `owner/name`, private: each job's model is a commit of it",
    )
    flavor: str = Field("a10g-small", description="the machine, as `hf jobs hardware` lists them")
    timeout: str = Field(
        "6h", pattern=r"^\d+(\.\d+)?[smhd]$", description="after which the Hub ends a job"
    )
    namespace: str = Field("", description="who pays: a user or an organisation; empty: yourself")
    image: str = Field("", description="Docker image with uv; empty: the Hub's own for uv scripts")
    endpoint: str = Field(
        "",
        pattern=r"^$|^" + ADDRESS,
        description="URL of another Hub; empty: $HF_ENDPOINT, or the Hub",
    )
    token_env: str = Field(
        "HF_TOKEN",
        description="environment variable with the token, which the job gets as a secret: it may "
        "write to `repo` and start jobs in `namespace`",
    )
    download: bool = Field(
        True, description="fetch each model into its folder; without it, it stays in `repo`"
    )
    attempts: Positive = Field(1, description="tries of a job whose machine fails, by the Hub")

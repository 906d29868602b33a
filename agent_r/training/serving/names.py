"""What a server calls the model that a job has made."""

from __future__ import annotations

from pathlib import Path

from agent_r.settings import OpenAIEndpoint
from agent_r.training.backends.train_job import report_in
from agent_r.training.serving.adapter_servers import OURS


def served_name(endpoint: OpenAIEndpoint, folder: Path | None) -> str:
    """By which the model of a folder is asked for; "" where the settings' own name stands.

    A provider's model has a name. One that is loaded by its content is called by that, unless
    `endpoint.model` names every iteration: then two models never share a name.
    """
    report = report_in(folder) if folder is not None else None
    if report is None:
        return ""
    if report.model.name:
        return report.model.name
    if endpoint.serving is None or "{iteration}" in endpoint.model:
        return ""
    name = OURS + report.digest[:8]
    return f"{endpoint.model}:{name}" if endpoint.serving.by == "sglang" else name


def adapter_name(endpoint: OpenAIEndpoint) -> str:
    """What an adapter is loaded as, so that `endpoint.model` asks for it: SGLang's has its base."""
    return endpoint.model.rpartition(":")[2] if _is_sglang(endpoint) else endpoint.model


def _is_sglang(endpoint: OpenAIEndpoint) -> bool:
    return endpoint.serving is not None and endpoint.serving.by == "sglang"

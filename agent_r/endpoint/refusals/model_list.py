"""Compare a model's name with those that its server lists."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.endpoint.responses import Server
from agent_r.errors import EndpointRejected

SHOWN = 5  # names of those there are


def is_among(model: str, served: Sequence[str]) -> bool:
    """Ollama and Gemini list longer names than they are called by."""
    return not {model, f"{model}:latest", f"models/{model}"}.isdisjoint(served)


def misnamed(error: EndpointRejected, served: Sequence[str], server: Server) -> EndpointRejected:
    """The refusal of a model that is not among those served: which there are."""
    line = str(error)
    if error.status == 404:
        line = f"{server.url} does not serve the model '{server.model}'"
    more = f" and {len(served) - SHOWN} more" if len(served) > SHOWN else ""
    line = server.line(f"{line}; it serves {', '.join(served[:SHOWN])}{more}")
    return EndpointRejected(line, status=error.status)

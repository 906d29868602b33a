"""Servers that speak as known ones do: their address, their replies, what they refuse and how.

Each as the page named documents it, or as the issue named reports it; looked up on 26 November
2026. No server of theirs was asked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.endpoint.refusals.cases import TOGETHER
from tests.support.faulty_endpoint import Fault, FaultyEndpoint, Received
from tests.support.odd_endpoint import healthy

Body: TypeAlias = dict[str, Any]


def nothing(received: Received) -> Fault | None:
    """Takes all that is sent."""
    return None


def error(status: int, message: str, **more: Any) -> Fault:
    """In OpenAI's shape, as most have it."""
    known = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Fault(status, json.dumps({"error": known | more}))


@dataclass(frozen=True, slots=True)
class Persona:
    """How one server differs from OpenAI's plain chat completions.

    Args:
        source: where that is documented or reported.
        refuses: its answer to a request that it does not take.
        ignores: settings that change nothing: `n`, `seed`.
        adds: more fields of each message.
        thinks: whether a request has a message with reasoning.
        models: that are listed; None: there is no list.
    """

    source: str
    prefix: str = "/v1"
    refuses: Callable[[Received], Fault | None] = nothing
    ignores: Collection[str] = ()
    adds: Body = field(default_factory=dict)
    thinks: Callable[[Body], bool] = lambda body: False
    reasons_in: str = "reasoning_content"
    models: Sequence[str] | None = ("m",)

    def serve(self) -> FaultyEndpoint:
        """The server; a context manager."""
        unseeded = itertools.count(1_000_000)

        def says(body: Body, place: int) -> Body:
            seed = next(unseeded) if "seed" in self.ignores else body.get("seed", next(unseeded))
            message = {"content": healthy(body | {"seed": seed}, place).content, **self.adds}
            return message | ({self.reasons_in: "Let me see."} if self.thinks(body) else {})

        return FaultyEndpoint(
            self.refuses,
            models=self.models,
            any_model=True,
            prefix=self.prefix,
            ignores_n="n" in self.ignores,
            says=says,
        )


def _vllm(received: Received) -> Fault | None:
    body = received.body
    if body.get("temperature") == 0 and body.get("n", 1) > 1:
        said = f"n must be 1 when using greedy sampling, got {body['n']}."
        return error(400, said, type="BadRequestError", code=400)
    return None


def _qwen_thinks(body: Body) -> bool:
    return bool(body.get("chat_template_kwargs", {}).get("enable_thinking", True))


def _llama_cpp(received: Received) -> Fault | None:
    if received.body.get("n", 1) > 1:
        return error(500, "Only one completion choice is allowed", type="server_error", code=500)
    return None


def _reasoning_model(received: Received) -> Fault | None:
    """OpenAI's o-series and gpt-5."""
    body = received.body
    if "max_tokens" in body:
        said = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead."
        )
        return error(400, said, param="max_tokens", code="unsupported_parameter")
    for name, usual in {"temperature": 1, "top_p": 1, "n": 1}.items():
        if body.get(name, usual) != usual:
            said = (
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only "
                "the default (1) value is supported."
            )
            return error(400, said, param=name, code="unsupported_value")
    if "stop" in body:
        said = "Unsupported parameter: 'stop' is not supported with this model."
        return error(400, said, param="stop", code="unsupported_parameter")
    return None


def _azure(received: Received) -> Fault | None:
    if "api-version" not in received.query:
        return Fault(404, '{"error": {"code": "404", "message": "Resource not found"}}')
    if "api-key" not in received.headers or "authorization" in received.headers:
        said = "Access denied due to invalid subscription key or wrong API endpoint."
        return Fault(401, json.dumps({"error": {"code": "401", "message": said}}))
    return _reasoning_model(received)


def _deepseek_thinks(body: Body) -> bool:
    return bool(body.get("thinking", {}).get("type") != "disabled")


def _deepseek(received: Received) -> Fault | None:
    body = received.body
    own = [message for message in body.get("messages", ()) if message["role"] == "assistant"]
    if _deepseek_thinks(body) and not all("reasoning_content" in message for message in own):
        said = "The `reasoning_content` in the thinking mode must be passed back to the API."
        return error(400, said, code="invalid_request_error")
    if body.get("max_tokens", 1) > 8192:
        said = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
        return error(400, said, code="invalid_request_error")
    return None


def _mistral(received: Received) -> Fault | None:
    extra = [name for name in ("seed", "max_completion_tokens", "top_k") if name in received.body]
    said = "Extra inputs are not permitted"
    rows = [{"type": "extra_forbidden", "loc": ["body", n], "msg": said, "input": 1} for n in extra]
    page = {"object": "error", "message": {"detail": rows}, "type": "invalid_request_error"}
    return Fault(422, json.dumps(page)) if extra else None


def _gemini(received: Received) -> Fault | None:
    said = ""
    if received.body.get("n", 1) > 1:
        said = "Multiple candidates is not enabled for this model"
    if "seed" in received.body:
        said = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
    page = [{"error": {"code": 400, "message": said, "status": "INVALID_ARGUMENT"}}]
    return Fault(400, json.dumps(page)) if said else None


def _anthropic(received: Received) -> Fault | None:
    body = received.body
    if body.get("n", 1) != 1:
        return error(400, "n: Input should be 1", code="invalid_request_error")
    if {"temperature", "top_p"} <= body.keys():
        return error(400, TOGETHER, code="invalid_request_error")
    if any(not text.strip() for text in body.get("stop", ())):
        said = "stop_sequences: each stop sequence must contain non-whitespace"
        return error(400, said, code="invalid_request_error")
    return None


def _openrouter(received: Received) -> Fault | None:
    """Another server's refusal is in a string, within metadata."""
    refused = _reasoning_model(received)
    if refused is None:
        return None
    metadata = {"raw": refused.body, "provider_name": "OpenAI", "is_byok": False}
    page = {"message": "Provider returned error", "code": 400, "metadata": metadata}
    return Fault(400, json.dumps({"error": page, "user_id": "user_1"}))


def _litellm(received: Received) -> Fault | None:
    names = [name for name in ("n", "seed", "top_k") if name in received.body]
    said = (
        f"litellm.UnsupportedParamsError: ollama does not support parameters: {names}, for model="
        "m. To drop these, set `litellm.drop_params=True` or for proxy: `litellm_settings: "
        "drop_params: true`. Received Model Group=m Available Model Group Fallbacks=None"
    )
    return error(400, said, type=None, code="400") if names else None


PERSONAS = {
    "vLLM": Persona(
        "docs.vllm.ai/en/latest/serving/openai_compatible_server; vllm/sampling_params.py",
        refuses=_vllm,
        thinks=_qwen_thinks,
        adds={"tool_calls": [], "refusal": None},
    ),
    "SGLang": Persona(
        "docs.sglang.io/docs/advanced_features/separate_reasoning", thinks=_qwen_thinks
    ),
    "llama.cpp": Persona(
        "ggml-org/llama.cpp, tools/server; algorithmicsuperintelligence/optillm#8",
        refuses=_llama_cpp,
    ),
    "Ollama": Persona(
        "docs.ollama.com/api/openai-compatibility",
        ignores=("n",),
        thinks=lambda body: body.get("reasoning_effort") != "none",
        reasons_in="reasoning",
        models=("m:latest",),
    ),
    "LM Studio": Persona("lmstudio.ai/docs/api/openai-api", ignores=("n",)),
    "OpenAI": Persona(
        "quelmap-inc/quelmap#4, soberlemur/autopo#57, musistudio/claude-code-router#173",
        refuses=_reasoning_model,
        ignores=("seed",),
        adds={"refusal": None, "annotations": []},
    ),
    "Azure": Persona(
        "learn.microsoft.com/azure/ai-foundry/openai/reference; microsoft/vscode#253673",
        prefix="/openai/deployments/m",
        refuses=_azure,
        ignores=("seed",),
        models=None,
    ),
    "DeepSeek": Persona(
        "api-docs.deepseek.com/guides/thinking_mode; NousResearch/hermes-agent#15228",
        prefix="",
        refuses=_deepseek,
        ignores=("n", "seed"),
        thinks=_deepseek_thinks,
    ),
    "Mistral": Persona("editor-code-assistant/eca#231", refuses=_mistral),
    "Gemini": Persona(
        "ai.google.dev/gemini-api/docs/openai; googleapis/js-genai#1609, Vali-98/ChatterUI#227",
        prefix="/v1beta/openai",
        refuses=_gemini,
        models=("models/m",),
    ),
    "Anthropic": Persona(
        "docs.anthropic.com/en/api/openai-sdk; BerriAI/litellm#3286",
        refuses=_anthropic,
        ignores=("seed",),
    ),
    "OpenRouter": Persona(
        "reVrost/go-openrouter#21", prefix="/api/v1", refuses=_openrouter, ignores=("seed",)
    ),
    "LiteLLM": Persona("docs.litellm.ai/docs/completion/drop_params", refuses=_litellm),
}

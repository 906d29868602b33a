"""What servers answer to a setting that they do not take: collected from public issue trackers.

Each row is a server's own answer, with the setting's name changed in a few to one that we send.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refused:
    """One server's answer to a setting, and where it was reported."""

    setting: str
    status: int
    body: str
    source: str

    @property
    def extra_body(self) -> dict[str, Any]:
        """The setting as a user has it, where it is none of ours."""
        ours = {"n", "seed", "stop", "temperature", "max_tokens", "top_p"}
        return {} if self.setting in ours else {self.setting: {"a": 1}}


def _openai(message: str, param: str | None = None, code: str | None = None) -> str:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": error})


def _detail(*names: str) -> list[dict[str, Any]]:
    said = "Extra inputs are not permitted"
    return [{"type": "extra_forbidden", "loc": ["body", n], "msg": said, "input": 1} for n in names]


def _gemini(message: str, **violation: str) -> str:
    error: dict[str, Any] = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
    kind = "type.googleapis.com/google.rpc.BadRequest"
    error["details"] = [{"@type": kind, "fieldViolations": [{"description": message, **violation}]}]
    return json.dumps([{"error": error}])


NEEDS_ONE = (
    "Unable to submit request because candidateCount must be 1 but the entered value was 3. "
    "Update the candidateCount value and try again."
)
NO_STOP = "Unsupported parameter: 'stop' is not supported with this model."
ONLY_ONE = "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default"
TOGETHER = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
VLLM = (
    "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not "
    "permitted', 'input': 7}]"
)
NIM = "body -> {}\n  Extra inputs are not permitted (type=extra_forbidden)"
LITELLM = (
    "litellm.UnsupportedParamsError: openai does not support parameters: ['n'], for model=m. To "
    "drop these, set `litellm.drop_params=True` or for proxy: `litellm_settings: drop_params: true`"
)
ANTHROPIC = json.dumps(
    {"type": "error", "error": {"type": "invalid_request_error", "message": TOGETHER}}
)

REFUSED = {
    "OpenAI, temperature": Refused(
        "temperature", 400, _openai(f"{ONLY_ONE} (1) value is supported.", "temperature",
                                    "unsupported_value"),
        "quelmap-inc/quelmap#4, 2025-10-28",
    ),
    "OpenAI, temperature of o3": Refused(
        "temperature", 400,
        _openai("Unsupported parameter: 'temperature' is not supported with this model.",
                "temperature", "unsupported_parameter"),
        "soberlemur/autopo#57, 2025-08-26",
    ),
    "OpenAI, n": Refused(
        "n", 400, _openai("Unsupported value: 'n' does not support 4 with this model. Only the "
                          "default (1) value is supported.", "n", "unsupported_value"),
        "documented for o-series models",
    ),
    "OpenAI through LiteLLM, stop": Refused(
        "stop", 400, _openai(f"litellm.BadRequestError: OpenAIException - {NO_STOP}", None, "400"),
        "kd-research/Techies#42, 2025-08-18",
    ),
    "LiteLLM, n": Refused("n", 400, _openai(LITELLM, None, "400"), "LiteLLM's docs, drop_params"),
    "LiteLLM, temperature beside reasoning": Refused(
        "temperature", 400,
        _openai("litellm.UnsupportedParamsError: gpt-5-nano doesn't support temperature=0.5 while "
                "reasoning is active. Only temperature=1 is supported"),
        "BerriAI/litellm#33738",
    ),
    "Azure, topP": Refused(
        "top_p", 400, _openai("Unrecognized request arguments supplied: frequencyPenalty, topP"),
        "quarkiverse/quarkus-langchain4j#285, 2024-02-09",
    ),
    "Azure, an extra key": Refused(
        "thinking", 400, _openai("Unrecognized request argument supplied: thinking"),
        "esengine/DeepSeek-Reasonix#1299, 2026-05-19",
    ),
    "Azure AI, n": Refused(
        "n", 400, json.dumps({"error": {"code": "Invalid input", "status": 422,
                                        "message": "Extra parameters ['n'] are not allowed"}}),
        "langchain-ai/langchain#29679",
    ),
    "a model's own service, temperature within a string": Refused(
        "temperature", 400,
        json.dumps({"error": {"cause": _openai(ONLY_ONE, "temperature", "unsupported_value"),
                              "code": 400, "message": "模型服务调用失败"}}),
        "nashsu/llm_wiki#670, 2026-08-17",
    ),
    "Mistral, seed": Refused(
        "seed", 422, json.dumps({"object": "error", "message": {"detail": _detail("seed")},
                                 "type": "invalid_request_error", "param": None, "code": None}),
        "editor-code-assistant/eca#231, 2025-12-12",
    ),
    "Mistral, two in a string": Refused(
        "top_p", 422,
        json.dumps({"object": "error", "message": json.dumps({"detail": _detail("top_p")}),
                    "type": "internal_error_proxy", "param": None, "code": "1000"}),
        "mistralai/platform-docs-public#7, 2024-01-24",
    ),
    "Mistral, detail alone": Refused(
        "top_k", 422, json.dumps({"detail": _detail("store", "top_k")}),
        "Gitlawb/openclaude#739, 2026-04-17",
    ),
    "Mistral, detail and message": Refused(
        "min_p", 400, json.dumps({"object": "Error", "detail": _detail("min_p"),
                                  "message": _detail("min_p"), "code": 3001}),
        "partITech/php-mistral#76, 2025-11-13",
    ),
    "vLLM before 0.6.5, seed": Refused(
        "seed", 400, json.dumps({"object": "error", "message": VLLM, "type": "BadRequestError",
                                 "param": None, "code": 400}),
        "vllm-project/vllm#10078, 2024-11-06",
    ),
    "vLLM with Mistral's tokenizer, chat_template_kwargs": Refused(
        "chat_template_kwargs", 400,
        _openai("chat_template is not supported for Mistral tokenizers."),
        "Alishahryar1/free-claude-code#89, 2026-03-19",
    ),
    "Gemini, seed": Refused(
        "seed", 400,
        _gemini('Invalid JSON payload received. Unknown name "seed": Cannot find field.'),
        "Vali-98/ChatterUI#227, 2025-02-14",
    ),
    "Gemini, top_k with its field": Refused(
        "top_k", 400, _gemini("Cannot find field.", field="top_k"),
        "MinLL/SkyrimNet-GamePlugin#77, 2025-08-04",
    ),
    "Gemini, several candidates": Refused(
        "n", 400, _gemini("Multiple candidates is not enabled for this model"),
        "googleapis/js-genai#1609, 2026-05-18",
    ),
    "Vertex, candidateCount": Refused("n", 400, _openai(NEEDS_ONE), "genkit-ai/genkit#546"),
    "Gemini, one candidate": Refused(
        "n", 400, _openai("Only one candidate can be specified"),
        "googleapis/python-aiplatform#3743, 2024-05-03",
    ),
    "Anthropic, temperature and top_p": Refused(
        "top_p", 400, ANTHROPIC, "cloud-apim/otoroshi-llm-extension#140, 2025-10-30",
    ),
    "Bedrock through LiteLLM, an extra key": Refused(
        "reasoning", 400,
        _openai('litellm.BadRequestError: BedrockException - {"message":"The model returned the '
                'following errors: reasoning: Extra inputs are not permitted"}', None, "400"),
        "BerriAI/litellm#13609, 2025-08-14",
    ),
    "Bedrock, an extraneous key": Refused(
        "seed", 400,
        json.dumps({"message": "Malformed input request: #: extraneous key [seed] is not "
                               "permitted, please reformat your input and try again."}),
        "BerriAI/litellm#7416",
    ),
    "Anthropic, stop": Refused(
        "stop", 400,
        json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message":
                    "stop_sequences: each stop sequence must contain non-whitespace"}}),
        "BerriAI/litellm#3286, 2024-04-25",
    ),
    "OpenRouter, in its metadata": Refused(
        "seed", 400,
        json.dumps({"error": {"message": "Provider returned error", "code": 400, "metadata": {
                    "raw": _openai("Unsupported parameter: 'seed'"), "provider_name": "OpenAI"}}}),
        "diegosouzapw/OmniRoute#3044, 2026-06-01",
    ),
    "OpenRouter, in its metadata, by param": Refused(
        "temperature", 400,
        json.dumps({"error": {"message": "Provider returned error", "code": 400, "metadata": {
                    "raw": _openai("Not like this.", "temperature"), "is_byok": False}}}),
        "reVrost/go-openrouter#21, 2025-08-10",
    ),
    "NVIDIA NIM, n": Refused(
        "n", 422, json.dumps({"type": "urn:inference-service:problem-details:unprocessable-entity",
                              "title": "Unprocessable Entity", "status": 422,
                              "detail": NIM.format("n")}),
        "NVIDIA/garak#748, 2024-06-19",
    ),
    "NVIDIA NIM, seed": Refused(
        "seed", 422, json.dumps({"error": NIM.format("seed")}), "Kilo-Org/kilocode#9652, 2026-04-29"
    ),
    "NVIDIA NIM, unsupported": Refused(
        "reasoning_budget", 400,
        json.dumps({"message": "Validation: Unsupported parameter(s): reasoning_budget",
                    "type": "Bad Request", "code": 400}),
        "Alishahryar1/free-claude-code#127, 2026-04-21",
    ),
    "Groq, an extra key that it takes for another": Refused(
        "store", 400, _openai("property 'store' is unsupported, did you mean 'stop'?"),
        "fanenr/chatbot#21, 2024-12-14",
    ),
    "Groq, reasoning": Refused(
        "reasoning", 400, _openai("property 'reasoning' is unsupported", "", ""),
        "musistudio/claude-code-router#1204, 2026-02-11",
    ),
    "xAI, an argument in another spelling": Refused(
        "reasoning_effort", 400,
        json.dumps({"code": "Client specified an invalid argument",
                    "error": "Model grok-4 does not support parameter reasoningEffort."}),
        "NousResearch/hermes-agent#23088, 2026-05-24",
    ),
    "xAI, stop": Refused(
        "stop", 400,
        json.dumps({"code": "Client specified an invalid argument",
                    "error": "Argument not supported on this model: stop"}),
        "yym68686/uni-api#105, 2025-04-24",
    ),
    "Zhipu, temperature in Chinese": Refused(
        "temperature", 400,
        json.dumps({"error": {"code": "1214", "message": "temperature参数非法。请检查文档。"}}),
        "songquanpeng/one-api#1141, 2024-03-13",
    ),
    "Moonshot, temperature": Refused(
        "temperature", 400, _openai("invalid temperature: only 1 is allowed for this model"),
        "Moonshot's documentation of kimi-k2.5",
    ),
    "llama.cpp, n as an error of its own": Refused(
        "n", 500, json.dumps({"error": {"code": 500, "type": "server_error",
                                        "message": "Only one completion choice is allowed"}}),
        "ggml-org/llama.cpp, tools/server/utils.hpp; algorithmicsuperintelligence/optillm#8",
    ),
    "candle-vllm, top_p": Refused(
        "top_p", 400,
        _openai("top_p must be 1 when using greedy sampling (no temperature specified)"),
        "EricLBuehler/candle-vllm#307, 2025-09-17",
    ),
    "TGI, top_p": Refused(
        "top_p", 422, json.dumps({"error": "Input validation error: `top_p` must be > 0.0 and < "
                                           "1.0", "error_type": "validation"}),
        "huggingface/text-generation-inference, router/src/validation.rs",
    ),
}  # fmt: skip

# Nothing in these says which setting it is, or says it in words that nobody can know.
WORDLESS = {
    "Zhipu, 1210": (
        400, json.dumps({"error": {"code": "1210", "message": "API 调用参数有误，请检查文档。"}}),
        "CherryHQ/cherry-studio#4142, 2025-03-30",
    ),
    "a proxy's page": (400, "<html><h1>400 Bad Request</h1></html>", "nginx"),
    "no words at all": (422, "", "any"),
    "not implemented": (501, '{"error": "Not Implemented"}', "RFC 9110, 15.6.2"),
    "OpenRouter, none can do all": (
        404, json.dumps({"error": {"message": "No endpoints found that can handle the requested "
                                              "parameters.", "code": 404}}),
        "block/buzz#3018, 2026-07-26",
    ),
    "xAI, bad request": (400, '"Bad request"', "superagent-ai/grok-cli#198, 2026-03-23"),
}  # fmt: skip

# The most that may be asked for, in each one's words; asked for is 9000.
TOO_MANY = {
    "DeepSeek": (
        8192, _openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        "deepseek-ai/DeepSeek-V3#69, 2024-12-30",
    ),
    "DashScope": (
        8192, json.dumps({"error": {"code": "invalid_parameter_error", "param": None, "message":
                          "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should "
                          "be [1, 8192]", "type": "invalid_request_error"}}),
        "musistudio/claude-code-router#184, 2025-07-15",
    ),
    "Volcano": (
        4096, json.dumps({"error": {"code": "InvalidParameter", "param": "max_tokens", "message":
                          "The parameter max_tokens specified in the request is not valid: integer "
                          "above maximum value, expected a value <= 4096, but got 9000 instead. "
                          "Request id: 0217724325966514087c9e55f8b322b82cd17f72450d06e16ef7b",
                          "type": "BadRequest"}}),
        "yiliqi78/TOKENICODE#3, 2026-03-02",
    ),
    "OpenAI": (
        4096, _openai("max_tokens is too large: 9000. This model supports at most 4096 completion "
                      "tokens, whereas you provided 9000.", "max_tokens"),
        "documented for gpt-4-turbo",
    ),
    "Anthropic": (
        8192, json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message":
                          "max_tokens: 9000 > 8192, which is the maximum allowed number of output "
                          "tokens for claude-3-5-sonnet-20241022"}}),
        "documented for Claude 3.5 Sonnet",
    ),
}  # fmt: skip

"""The settings of docs/servers.md, each tried against a server that speaks as that one does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent_r.config import merge, parse
from agent_r.diagnostics.findings import facts
from agent_r.diagnostics.remedies import remedy
from agent_r.diagnostics.trial import Trial
from agent_r.errors import ConversationRefused, EndpointError, EndpointRejected
from agent_r.settings import Config, OpenAIEndpoint
from flows.cli.try_actor import Logged, tried
from tests.support.faulty_endpoint import KEY, Fault, Received, bench
from tests.support.personas import PERSONAS

PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n[^#]*?```toml\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
SHORT: dict[str, Any] = {"search": {"max_depth": 3, "max_tokens": 9000}}


def settings(name: str, base_url: str) -> Config:
    """As the page has them, but for the host."""
    table = tomllib.loads(BLOCKS[name])
    return parse(merge(table | SHORT, {"endpoint": {"base_url": base_url}}), source=name)


async def tried_as(name: str, monkeypatch: pytest.MonkeyPatch, **over: Any) -> Trial:
    with PERSONAS[name].serve() as server:
        config = settings(name, server.base_url)
        endpoint = config.endpoint.model_copy(update=over)
        monkeypatch.setenv(endpoint.api_key_env, KEY)
        config = config.model_copy(update={"endpoint": endpoint})
        trial = await tried(config, Logged(), episodes=1, task="")
        extra = endpoint.extra_body
        for received in server.completions[:1]:
            assert extra.items() <= received.body.items()
    return trial


def row(name: str, trial: Trial) -> str:
    """What the page's table says of it."""
    found = {fact.name: fact.text for fact in facts(trial, Config())}
    manners = trial.manners
    assert manners is not None
    lines = "; ".join(manners.found) or "it takes all"
    n = "one reply a request" if len(manners.choices) < 2 else "honoured"
    seed = found["seed"].partition(":")[0]
    return f"| {name} | {lines} | {n} | {seed} | {PERSONAS[name].source} |"


def test_the_page_has_settings_for_each() -> None:
    assert list(BLOCKS) == list(PERSONAS)
    for name, block in BLOCKS.items():
        address = urlsplit(tomllib.loads(block)["endpoint"]["base_url"]).path
        assert address.replace("DEPLOYMENT", "m") == PERSONAS[name].prefix


@pytest.mark.parametrize("name", PERSONAS)
async def test_a_server_is_usable_with_the_settings_of_the_page(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = await tried_as(name, monkeypatch)
    assert trial.usable
    assert trial.failure is None
    assert trial.judged is not None
    assert trial.judged.critique.verdict
    assert row(name, trial) in PAGE.splitlines()


async def test_deepseek_that_thinks_gets_its_reasoning_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = await tried_as("DeepSeek", monkeypatch, extra_body={})
    assert trial.usable
    assert trial.manners is not None
    assert "`endpoint.send_reasoning = true`" in str(trial.manners.found)


async def test_settings_that_do_not_go_together_are_used_as_far_as_they_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = await tried_as("Anthropic", monkeypatch, top_p=0.9, stop=("\n\n\n",))
    assert trial.usable
    assert trial.manners is not None
    assert list(trial.manners.refused) == ["stop", "top_p"]


# A server's answer to everybody or to one conversation, what that is, and the word that helps.
REFUSALS: dict[str, tuple[int, str, type[EndpointError], str]] = {
    # compl-ai/compl-ai#20, 2025-02-27
    "Azure, its content filter": (
        400,
        '{"error": {"message": "The response was filtered due to the prompt triggering Azure '
        'OpenAI\'s content management policy. Please modify your prompt and retry.", "type": null, '
        '"param": "prompt", "code": "content_filter", "status": 400, "innererror": {"code": '
        '"ResponsibleAIPolicyViolation"}}}',
        ConversationRefused,
        "its own words",
    ),
    # openrouter.ai/docs/api-reference/errors
    "OpenRouter, its moderation": (
        403,
        '{"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": '
        '["violence"], "flagged_input": "evil"}}}',
        ConversationRefused,
        "",
    ),
    # Gitlawb/openclaude#1125, 2026-05-12
    "OpenRouter, credit": (
        402,
        '{"error": {"message": "This request requires more credits, or fewer max_tokens. You '
        'requested up to 32000 tokens, but can only afford 27342.", "code": 402}}',
        EndpointRejected,
        "needs credit",
    ),
    # anthropics/claude-quickstarts#229, 2025-01-09
    "Anthropic, credit": (
        400,
        '{"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit '
        'balance is too low to access the Anthropic API."}}',
        EndpointRejected,
        "needs credit",
    ),
    # api-docs.deepseek.com/quick_start/error_codes
    "DeepSeek, credit": (
        402,
        '{"error": {"message": "Insufficient Balance", "type": "unknown_error", "param": null}}',
        EndpointRejected,
        "needs credit",
    ),
    # cequence-io/openai-scala-client#109, 2026-03-05
    "Gemini, a wrong key": (
        400,
        '[{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", '
        '"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}]',
        EndpointRejected,
        "$OPENAI_API_KEY",
    ),
    # reVrost/go-openrouter#21: what the server behind it says is said
    "OpenRouter, another's refusal": (
        400,
        '{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": '
        '"{\\"error\\": {\\"message\\": \\"Your credit balance is too low\\"}}"}}}',
        EndpointRejected,
        "needs credit",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_whose_it_is_and_says_what_helps(case: str) -> None:
    status, body, kind, word = REFUSALS[case]

    def refuses(received: Received) -> Fault | None:
        others = received.path.endswith("/models") or kind is ConversationRefused
        hurt = "Hello" in str(received.body.get("messages"))
        return Fault(status, body) if hurt or not others else None

    async with bench(refuses) as (client, _):
        with pytest.raises(kind) as caught:
            await client.ask(n=2)
        assert client.actor.refused == []
    assert type(caught.value).__name__ in (kind.__name__, "RequestRefused")
    endpoint = OpenAIEndpoint(base_url="http://localhost/v1", model="m")
    assert word in remedy(caught.value, endpoint, max_tokens=64)

"""Servers that load a LoRA adapter while they run: vLLM and SGLang.

vLLM: docs.vllm.ai/en/latest/features/lora.html (`/v1/load_lora_adapter`, and its replies in
vllm/entrypoints/openai/models/serving.py). SGLang: docs.sglang.io/docs/advanced_features/lora
(`/load_lora_adapter`, which is no route of `/v1`; an adapter is asked for as `base:adapter`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from pydantic import SecretStr

from agent_r.config import without_secrets
from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.loopback import is_loopback
from agent_r.printable import printable_line

OURS = "agent-r-"  # what the names of adapters begin with that nobody has named otherwise
LOAD_S = 600.0
MAX_REASON_CHARS = 300
_HOW = {
    "vllm": "start vLLM with --enable-lora, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its "
    "environment",
    "sglang": "start SGLang with --enable-lora and --max-lora-rank",
}


@dataclass(frozen=True, slots=True)
class AdapterServer:
    """A server that serves adapters, asked for what it has and for what it is to load.

    Args:
        kind: `vllm` or `sglang`.
        base_url: of its OpenAI-compatible API, with its /v1.
        headers: what lets requests in.
    """

    kind: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: SecretStr = field(default_factory=lambda: SecretStr(""))

    async def loaded(self) -> dict[str, str]:
        """Names of all models that it serves, and where it has each from ("" if unsaid).

        Raises:
            TrainerUnavailable: it does not answer.
        """
        status, body = await self._ask("GET", "/models")
        if status != 200 or not isinstance(body.get("data"), list):
            raise TrainerUnavailable(f"{self.base_url}/models answers {status} {_reason(body)}")
        entries = [entry for entry in body["data"] if isinstance(entry, dict)]
        return {str(entry.get("id")): str(entry.get("root") or "") for entry in entries}

    async def load(self, name: str, path: str) -> None:
        """Have an adapter served under a name; where that has another path, it is loaded anew.

        Raises:
            TrainerError: the server will not, in one line that says what to change.
            TrainerUnavailable: it does not answer.
        """
        known = await self.loaded()
        if known.get(name) == path or (name in known and not known[name]):
            return
        if name in known:
            await self._unload(name)
        status, body = await self._load(name, path)
        if status >= 400 and _is_full(body):
            for other in (n for n in known if n.startswith(OURS) and n != name):
                await self._unload(other)
            status, body = await self._load(name, path)
        if status >= 400 and not _is_there(body):
            raise self._refusal(status, body, name, path)

    async def _load(self, name: str, path: str) -> tuple[int, dict[str, Any]]:
        wanted = {"lora_name": name, "lora_path": path}
        return await self._ask("POST", "/load_lora_adapter", wanted, admin=True)

    async def _unload(self, name: str) -> None:
        await self._ask("POST", "/unload_lora_adapter", {"lora_name": name}, admin=True)

    def _refusal(self, status: int, body: dict[str, Any], name: str, path: str) -> TrainerError:
        reason = self._clean(_reason(body))[:MAX_REASON_CHARS]
        searched = reason.lower()
        line = f"{self.base_url} does not load the adapter {name} ({status}, {reason})"
        if status in (401, 403):
            return TrainerError(f"{line}: the key may not")
        if (status in (404, 405) and "adapter" not in searched) or "not enabled" in searched:
            return TrainerError(f"{line}: {_HOW[self.kind]}")
        if status == 404 or "no adapter found" in searched or "not exist" in searched:
            return TrainerError(
                f"{line}: it does not see {path}; endpoint.serving.path says where it does"
            )
        if "rank" in searched:
            return TrainerError(f"{line}: start it with a --max-lora-rank of the adapter's")
        return TrainerError(line)

    async def _ask(
        self, method: str, route: str, body: dict[str, Any] | None = None, *, admin: bool = False
    ) -> tuple[int, dict[str, Any]]:
        root = self.base_url.rstrip("/")
        if admin and self.kind == "sglang":
            root = root.removesuffix("/v1")
        patience = aiohttp.ClientTimeout(total=LOAD_S, sock_connect=10)
        try:
            async with (
                aiohttp.ClientSession(timeout=patience, trust_env=not is_loopback(root)) as session,
                session.request(method, root + route, json=body, headers=self.headers) as answer,
            ):
                return answer.status, _as_object(await answer.text())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            line = self._clean(f"{root}: {type(error).__name__} {error}")
            raise TrainerUnavailable(line) from None

    def _clean(self, text: str) -> str:
        key = self.key.get_secret_value()
        text = without_secrets(text)
        return printable_line(text.replace(key, "***") if key else text)


def _as_object(text: str) -> dict[str, Any]:
    """A reply as JSON; what is none, vLLM's word of success for one, is a message."""
    try:
        body = json.loads(text)
    except ValueError:
        return {"message": text}
    return body if isinstance(body, dict) else {"message": text}


def _reason(body: Mapping[str, Any]) -> str:
    """What a server says, in vLLM's old form or its new one, or in SGLang's.

    >>> _reason({"error": {"message": "a"}}), _reason({"message": "b"}), _reason({"detail": "c"})
    ('a', 'b', 'c')
    >>> _reason({"success": False, "error_message": "d"})
    'd'
    """
    error = body.get("error")
    inner = error if isinstance(error, dict) else {}
    words = [inner.get("message"), body.get("error_message"), body.get("message")]
    return str(next((w for w in [*words, body.get("detail"), error] if w), ""))


def _is_there(body: Mapping[str, Any]) -> bool:
    reason = _reason(body).lower()
    return "already been loaded" in reason or "already exists" in reason


def _is_full(body: Mapping[str, Any]) -> bool:
    reason = _reason(body).lower()
    return "maximum" in reason and "loaded" in reason

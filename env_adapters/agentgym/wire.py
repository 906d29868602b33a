"""Send requests to an AgentGym server, and read its answers and faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from agent_r.errors import ConfigError, EnvironmentFault
from agent_r.printable import printable_line
from env_adapters.agentgym.profiles import Profile

LONGEST = 20_000  # characters of an observation
ENDING_S = 5.0  # a server that is asked to close an environment gets no longer
_TRIES_TO_END = 2
_KEPT_S = 4.0  # uvicorn cuts idle connections after 5 s: a request must not meet that moment
_BUSY = {408, 425, 429}


class Fault(Exception):
    """The environment is lost, or nobody knows its state; another one may answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said of an action; `value` is its own reward, None of an error."""

    observation: str
    value: float | None
    terminated: bool = False
    truncated: bool = False


class GymClient:
    """Connections to one server: made when first needed, in the loop that needs them."""

    def __init__(self, profile: Profile, base_url: str, timeout_s: float) -> None:
        self._profile, self._timeout_s = profile, timeout_s
        self._base = URL(base_url).with_user(None).with_password(None).with_query(None)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def trouble(self, what: object) -> EnvironmentFault:
        """A fault as one line that names the server."""
        return EnvironmentFault(f"AgentGym's {self._profile.server} at {self._base}: {what}")

    async def check(self) -> None:
        """Ask who is there, over a connection of its own.

        Raises:
            EnvironmentFault: nobody.
            ConfigError: something else.
        """
        timeout = aiohttp.ClientTimeout(total=min(self._timeout_s, 10.0))
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._base, allow_redirects=False) as response,
            ):
                page = await response.content.read(1000)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self.trouble(f"no server answers ({_why(error)})") from error
        text = printable_line(page.decode(errors="replace"), mark="?").strip('"')
        if response.status != 200 or text != self._profile.hello:
            raise ConfigError(
                f"{self._base} is not AgentGym's {self._profile.server}: it answers "
                f"HTTP {response.status} '{text[:60]}', not '{self._profile.hello}'"
            )

    async def create(self) -> int:
        """A new environment; its number may be one that was given out before."""
        answer = await self._post("create", self._profile.create)
        number = answer.get(self._profile.id_key) if isinstance(answer, dict) else answer
        if isinstance(number, int) and not isinstance(number, bool):
            return number
        raise Fault(_complaint(answer) or "create gave no environment")

    async def begin(self, number: int, index: int) -> str:
        """Reset to a task; the prompt."""
        profile = self._profile
        body = {profile.id_key: number, profile.task_key: index, **profile.reset}
        answer = await self._post("reset", body)
        if complaint := _complaint(answer):
            raise Fault(f"reset to task {index} failed: {complaint}")
        first = profile.opening[0]
        text = (
            await self._get(first, number) if first.startswith("/") else _opening(profile, answer)
        )
        if not isinstance(text, str) or not text.strip():
            raise Fault("reset gave no observation")
        return _cut(text + await self._choices(number, answer))

    async def act(self, number: int, action: str) -> Answer:
        """Take an action."""
        profile = self._profile
        body = {profile.id_key: number, "action": profile.sent.format(action)}
        answer = await self._post("step", body)
        if complaint := _complaint(answer):
            if re.search(profile.gone, complaint):
                raise Fault(complaint)
            return Answer(complaint, None)
        read = _answer(profile, answer)
        if profile.gone_seen and re.fullmatch(profile.gone_seen, read.observation):
            raise Fault("it has no such environment")
        ends = read.terminated or read.truncated
        more = "" if ends else await self._choices(number, answer)
        observation = _cut(read.observation + more)
        return Answer(observation, read.value, read.terminated, read.truncated)

    async def end(self, number: int) -> None:
        """Close an environment, if the server can; what it answers changes nothing."""
        path, body = self._profile.close, {self._profile.id_key: number}
        for _ in range(_TRIES_TO_END if path else 0):
            with contextlib.suppress(Fault, TimeoutError):
                async with asyncio.timeout(min(ENDING_S, self._timeout_s)):
                    with contextlib.suppress(EnvironmentFault):  # 404: it cannot
                        await self._ask("POST", path or "", json=body)
                return

    async def aclose(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _choices(self, number: int, answer: object) -> str:
        """The legal actions, where the server tells them apart from the observation."""
        where = self._profile.choices
        if not where:
            return ""
        if not where.startswith("/"):
            legal = answer.get(where) if isinstance(answer, dict) else None
            names = [str(name) for name in legal] if isinstance(legal, list) else []
            return "\nAvailable actions: " + ", ".join(names)
        answer = await self._get(where, number)
        if not isinstance(answer, dict) or not isinstance(answer.get("clickables"), list):
            raise Fault(_complaint(answer) or f"{where} gave no actions")
        search = ["search[keywords]"] if answer.get("has_search_bar") else []
        clicks = [f"click[{name}]" for name in answer["clickables"] if name != "search"]
        return "\nAvailable actions: " + ", ".join(search + clicks)

    async def _post(self, path: str, body: Mapping[str, object]) -> Any:
        return _parsed(path, await self._ask("POST", f"/{path}", json=dict(body)))

    async def _get(self, path: str, number: int) -> Any:
        return _parsed(path, await self._ask("GET", path, params={self._profile.id_key: number}))

    async def _ask(self, method: str, path: str, **sent: Any) -> bytes:
        session = self._open()
        url = self._base.with_path(self._base.path.rstrip("/") + path)
        try:
            async with session.request(method, url, allow_redirects=False, **sent) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Fault(_why(error)) from error
        if response.status >= 500 or response.status in _BUSY:
            raise Fault(f"HTTP {response.status} to {path}")
        if response.status != 200:
            raise self.trouble(f"HTTP {response.status} to {path}: is it that server?")
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise self.trouble("its connections were closed already")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _opening(profile: Profile, answer: Any) -> Any:
    if isinstance(answer, dict):
        parts = [part for name in profile.opening if isinstance(part := answer.get(name), str)]
        return "\n".join(parts) if len(parts) == len(profile.opening) else None
    return answer[0] if isinstance(answer, list) and answer else answer


def _answer(profile: Profile, answer: Any) -> Answer:
    if not isinstance(answer, dict):
        raise Fault("step gave no fields")
    seen, value = answer.get(profile.observation), answer.get(profile.reward)
    ended = answer.get(profile.ended)
    truncated = answer.get(profile.truncated, False) if profile.truncated else False
    if not isinstance(seen, str) or not isinstance(ended, bool) or not isinstance(truncated, bool):
        raise Fault("step gave no observation, or did not say whether it is over")
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return Answer(seen, float(value), ended, truncated and not ended)
    raise Fault("step gave no reward")


def _complaint(answer: object) -> str:
    """The error that came as an answer, as one line; "" where there is none."""
    if isinstance(answer, dict) and "error" in answer:
        return printable_line(str(answer["error"]), mark="?")[:200] or "an error without a word"
    return ""


def _parsed(path: str, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Fault(f"{path.strip('/')} was answered with something that is not JSON") from error


def _why(error: BaseException) -> str:
    """A reason without aiohttp's own words, which name addresses."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cannot = isinstance(error, aiohttp.ClientConnectorError)
    return "cannot connect" if cannot else "the connection was cut"


def _cut(text: str) -> str:
    whole = text.encode(errors="replace").decode()
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 1] + "…"

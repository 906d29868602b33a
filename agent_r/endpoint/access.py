"""How requests are let in: the key, further headers and the query, and how these may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import httpx2

from agent_r.endpoint.responses import NO_KEY, Server
from agent_r.errors import ConfigError
from agent_r.settings import OpenAIEndpoint
from agent_r.settings.request_shape import filled

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Access:
    """What goes out with every request beside its body; `shown` is without what may be secret."""

    headers: Mapping[str, str] = field(repr=False)
    shown: Mapping[str, str]
    query: Mapping[str, str]

    @classmethod
    def of(cls, config: OpenAIEndpoint, server: Server, held: Mapping[str, str]) -> Self:
        """With what the variables and blocks hold that the settings name.

        Raises:
            ConfigError: a value cannot be sent in a header, or is not known.
        """
        named = [*config.variables, *(f"block:{name}" for name in config.blocks)]
        if unknown := next((name for name in named if name not in held), ""):
            raise ConfigError(f"endpoint.headers names {unknown}, which nobody holds")
        key = server.key.get_secret_value()
        _require_sendable(key, f"the key in {server.key_holder}")
        headers = filled(config.headers, held)
        for name, value in headers.items():
            _require_sendable(value, f"the value of endpoint.headers.{name}")
        own = (
            {config.auth_header: key} if config.auth_header else {"Authorization": f"Bearer {key}"}
        )
        taken = {name.lower() for name in headers}
        own = {name: value for name, value in own.items() if name.lower() not in taken}
        hidden = {n: v if key == NO_KEY else v.replace(key, HIDDEN) for n, v in own.items()}
        return cls(own | headers, hidden | dict.fromkeys(headers, HIDDEN), config.query)

    async def let_in(self, request: httpx2.Request) -> None:
        """Put the headers on a request of the openai library, which would send the key itself."""
        request.headers.pop("Authorization", None)
        request.headers.update(self.headers)


def _require_sendable(value: str, what: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{what} has characters that no HTTP header can carry")

"""Open the Hub repository of the settings, and list what must never be published there."""

from __future__ import annotations

import contextlib
import getpass
import socket
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import get_token
from pydantic import SecretStr

from agent_r.config import read_token, secrets
from agent_r.errors import ConfigError, HubRejected
from agent_r.hub.known_values import Private
from agent_r.hub.repository import Hub, spoken
from agent_r.hub.secret_rules import Detector
from agent_r.hub.secret_scan import Allowing
from agent_r.settings import Config, HubConfig, OpenAIEndpoint
from tasks.keys import held_of, key_of


async def hub_of(settings: HubConfig, repo: str = "") -> Hub:
    """The repository of the settings, or another on the same Hub, with the token that there is.

    Raises:
        ConfigError: no repository is named.
    """
    name = repo or settings.repo
    if not name:
        raise ConfigError("no repository is named: set hub.repo = 'owner/name'")
    token = await _token(settings)
    holder = settings.token_env
    return Hub(repo=name, endpoint=settings.endpoint, token=SecretStr(token), holder=holder)


async def _token(settings: HubConfig) -> str:
    """From a Prefect block if one is named, else the environment, else `hf auth login`."""
    token = (await _held_token(settings)).strip()  # a file or a block often ends with a newline
    if not (token.isascii() and token.isprintable()):
        raise ConfigError("the Hub's token has characters that no HTTP header can carry")
    return token


async def _held_token(settings: HubConfig) -> str:
    if not settings.token_block:
        token = read_token(settings)
        if not token and settings.token_env != "HF_TOKEN":  # never somebody else's by accident
            raise ConfigError(f"hub.token_env names ${settings.token_env}, which is not set")
        return token or get_token() or ""
    from tasks.blocks import secret_of

    return await secret_of(settings.token_block)


async def private_here(config: Config, hub: Hub) -> Private:
    """Private values of this machine and this run, which must not be published."""
    held = [hub.token.get_secret_value(), *secrets()]
    hosts = [socket.gethostname(), socket.getfqdn()]
    if isinstance(config.endpoint, OpenAIEndpoint):
        with contextlib.suppress(ConfigError):  # no block, no key that could get out
            held.append(await key_of(config.endpoint))
            held += (await held_of(config.endpoint)).values()
        hosts.append(urlsplit(config.endpoint.base_url).hostname or "")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = ""
    return Private(
        secrets=tuple(dict.fromkeys(s for s in held if len(s) >= 8)),
        hosts=tuple(dict.fromkeys(h for h in hosts if len(h) >= 4 and h != "localhost")),
        # Whoever publishes under the name of their own account has made it public.
        users=(user,) if user and user != hub.repo.partition("/")[0] else (),
        paths=tuple(str(p) for p in (Path.home(), Path.cwd()) if len(p.parts) > 1),
    )


async def detector_of(config: Config) -> Allowing:
    """What publishing with these settings looks for, without what they allow."""
    hub = await hub_of(config.hub, config.hub.repo or "nobody/nothing")
    return Allowing(Detector(await private_here(config, hub)), frozenset(config.hub.allow))


def ask_hub(hub: Hub) -> None:
    """Find out before hours of work whether the token is one that may write.

    Raises:
        HubError: it is not, or the Hub does not answer.
    """
    if not hub.token.get_secret_value():
        raise HubRejected("publishing needs the Hub's token: set $HF_TOKEN, hub.token_env or "
                          "hub.token_block")  # fmt: skip
    with spoken(hub):
        who = hub.api.whoami()
    if who.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubRejected("the Hub's token may only read: publishing needs one that may write")

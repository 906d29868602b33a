"""Ask a provider's fine-tuning API; what goes wrong is one line, without the key."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai import AsyncOpenAI
from openai.types.fine_tuning import FineTuningJob
from pydantic import SecretStr

from agent_r.config import read_secret, without_secrets
from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.printable import printable_line
from agent_r.settings.remote_training import ProviderConfig

MAX_SAID_CHARS = 300  # of a server's own words
PASSING = (408, 409, 425, 429)  # as any 5xx: to be asked again
OPTIONAL = ("metadata", "seed", "suffix")  # of a job: left out where a provider knows none
_NO_MONEY = re.compile(r"insufficient_quota|billing|payment|exceeded.your.current.quota", re.I)


class ProviderClient:
    """Connections to one provider, opened for each question: a job takes hours."""

    def __init__(self, config: ProviderConfig, timeout_s: float = 60.0) -> None:
        self._url, self._holder = config.base_url.rstrip("/"), config.api_key_env
        self._key, self._timeout_s = SecretStr(read_secret(config.api_key_env)), timeout_s
        self._tls = ssl.create_default_context()  # read once: it costs more than a question

    @asynccontextmanager
    async def asking(
        self, what: str, *, unless: Collection[int] = ()
    ) -> AsyncIterator[AsyncOpenAI]:
        """The openai library's client; one try, since a job must not be begun twice.

        Args:
            what: is asked for, for the error's line.
            unless: statuses that end the block, and are no error.

        Raises:
            TrainerUnavailable: another try may help.
            TrainerError: none will.
        """
        key = self._key.get_secret_value()
        if not key:
            raise TrainerError(f"{self._url} wants a key: set ${self._holder}")
        try:
            web = openai.DefaultAsyncHttpxClient(verify=self._tls)
            async with AsyncOpenAI(
                base_url=self._url,
                api_key=key,
                max_retries=0,
                timeout=self._timeout_s,
                http_client=web,
            ) as api:
                yield api
        except openai.APIStatusError as error:
            if error.status_code not in unless:
                raise self._judged(error, what) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            line = f"{self._url}: {type(cause).__name__} {cause}"
            raise TrainerUnavailable(self._clean(line)) from None
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            # A page of a proxy, or JSON of another shape: the library reads without looking.
            line = f"{self._url} does not answer like a fine-tuning API, asked for {what}: {error}"
            raise TrainerError(self._clean(line)) from None

    async def create(self, wanted: dict[str, Any]) -> FineTuningJob:
        """Begin a job; what the provider does not know of the optional settings is left out."""
        while True:
            try:
                async with self.asking("a new job") as api:
                    return await api.fine_tuning.jobs.create(**wanted)
            except _Refused as refusal:
                named = [name for name in OPTIONAL if name in wanted and name in refusal.words]
                if not named:
                    raise
                wanted = {name: wanted[name] for name in wanted if name not in named}

    def _judged(self, error: openai.APIStatusError, what: str) -> TrainerError:
        status = error.status_code
        body = error.body if isinstance(error.body, dict) else {}
        words = str(body.get("message") or error.body or error.message)
        reason = self._clean(words)[:MAX_SAID_CHARS]
        spent = status in (402, 429) and _NO_MONEY.search(f"{error.code} {words}")
        if not spent and (status in PASSING or status >= 500):
            return TrainerUnavailable(f"{self._url} answers {status} ({reason})")
        if spent:
            return TrainerError(f"{self._url}: the account has no money left ({status}, {reason})")
        if status in (401, 403):
            return TrainerError(
                f"{self._url} refuses the key in ${self._holder} ({status}, {reason})"
            )
        if status == 404:
            return TrainerError(
                f"{self._url} knows nothing of {what} (404, {reason}): is base_url a fine-tuning "
                "API in OpenAI's protocol, with its /v1?"
            )
        line = f"{self._url} refuses {what} ({status}, {reason})"
        return _Refused(line, words=f"{error.param} {error.code} {words}")

    def _clean(self, text: str) -> str:
        text = without_secrets(text).replace(self._key.get_secret_value(), "***")
        return printable_line(text)


class _Refused(TrainerError):
    """A request that is wrong; `words` are the server's: searched, never shown."""

    def __init__(self, message: str, *, words: str) -> None:
        super().__init__(message)
        self.words = words

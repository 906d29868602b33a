"""Find out whose matter a refusal is: a name's, a setting's, one conversation's, or everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from agent_r.endpoint.exchange import Body, Exchange
from agent_r.endpoint.habits.conversation_trial import FOLDED, LONG, ConversationTrial, Verdict
from agent_r.endpoint.habits.learnt import Learnt
from agent_r.endpoint.refusals.model_list import is_among, misnamed
from agent_r.endpoint.refusals.request_refused import RequestRefused
from agent_r.endpoint.responses import Server
from agent_r.errors import ContextOverflow, ConversationRefused, EndpointRejected

# Refusals that may be one conversation's matter, or that of the settings it is sent with.
OF_ONE = (400, 403, 404, 413, 415, 422, 451, 501)
HARMLESS = [{"role": "user", "content": "Hi"}]
FEW = 2  # tries of a request that breaks the server itself

Shaped = Callable[[], Body]  # the request as it would be sent now


class Inquiry:
    """Asks harmless questions until it is known; where a setting is in doubt, one at a time.

    Args:
        listed: the models served, where the server says.
        attempts: of each question.
    """

    def __init__(
        self,
        server: Server,
        learnt: Learnt,
        exchange: Exchange,
        trial: ConversationTrial,
        listed: Callable[[], Awaitable[list[str]]],
        *,
        attempts: int,
    ) -> None:
        self._server, self._learnt, self._exchange = server, learnt, exchange
        self._trial, self._listed, self._attempts = trial, listed, attempts
        self._one_by_one = asyncio.Lock()

    async def of_refusal(
        self, error: RequestRefused, asked: Body, shaped: Shaped
    ) -> EndpointRejected | None:
        """What a refusal is; None where it was a setting's, and the request may be sent again.

        Raises:
            EndpointUnavailable: the server has other troubles, and nothing could be found out.
        """
        acceptance = self._learnt.acceptance
        async with self._one_by_one if acceptance.doubts(asked) else nullcontext():
            if shaped() != asked:
                return None
            if error.status in (400, 404):  # a router's, and a server's
                served = await self._listed()
                if served and not is_among(self._server.model, served):
                    return misnamed(error, served, self._server)
                if error.status == 404 and not served:
                    return error
            if error.status not in OF_ONE:
                return error
            if not await self._harmless(asked):
                found = await acceptance.try_without(asked, self._harmless)
                found = found or await self._learnt.streaming.helps(asked, self._harmless)
                return None if found else error
        if (verdict := await self._of_conversation(error.answer, asked, shaped)) == FOLDED:
            return None
        how = ContextOverflow if verdict == LONG else ConversationRefused
        return how(str(error), status=error.status)

    async def of_breakage(self, kind: str, asked: Body, shaped: Shaped) -> bool:
        """Whether a server breaks at a request since its conversation is too long."""
        return await self._of_conversation(kind, asked, shaped, passing=True) == LONG

    async def breaks_at_settings(self, asked: Body, shaped: Shaped) -> bool:
        """Whether a server broke at the settings in all tries: they are left out from now on."""
        acceptance = self._learnt.acceptance
        async with self._one_by_one if acceptance.doubts(asked) else nullcontext():
            in_doubt = shaped() == asked and acceptance.doubts(asked)
            if in_doubt and not await self._unbroken(asked):
                await acceptance.try_without(asked, self._unbroken)
        return shaped() != asked

    async def _of_conversation(
        self, words: str, asked: Body, shaped: Shaped, *, passing: bool = False
    ) -> Verdict:
        """What of this conversation is not taken."""
        if not self._trial.suspects(asked):
            return ""
        async with self._one_by_one:
            known = shaped() != asked
            return FOLDED if known else await self._trial.verdict(words, asked, passing=passing)

    async def _harmless(self, asked: Body) -> bool:
        """Whether a harmless conversation is answered with the same settings."""
        return await self._exchange.answers(asked | {"messages": HARMLESS}, tries=self._attempts)

    async def _unbroken(self, asked: Body) -> bool:
        return await self._exchange.answers(asked | {"messages": HARMLESS}, tries=FEW)

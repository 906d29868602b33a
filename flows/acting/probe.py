"""Send one request like a run's own before it spends anything: a small version of `try`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from agent_r import files
from agent_r.actor import Actor, Completion, Message, SamplingParams
from agent_r.algorithm.episode import begin
from agent_r.algorithm.prompts import conversation
from agent_r.closing import lent
from agent_r.collection.plan import tasks_of_iteration, work_folder
from agent_r.config import digest
from agent_r.diagnostics.remedies import remedy, surely_refused
from agent_r.diagnostics.symptoms import Symptoms, advice
from agent_r.diagnostics.trial import only_reasons
from agent_r.endpoint.client import EndpointActor
from agent_r.environment import EnvInfo
from agent_r.errors import AgentRError, EndpointRejected
from agent_r.reading.reply import Reading, read
from agent_r.settings import Config, OpenAIEndpoint
from flows.run_context import worlds_of

_log = logging.getLogger("agent_r.progress")


async def probe(actor: Actor, config: Config) -> None:
    """Refuse what surely cannot work; warn of what looks bad, for one odd reply is no proof.

    Once for the same settings: a run that goes on asks nothing. An actor of ours is not asked.

    Raises:
        EndpointRejected, EndpointUnavailable: the run's requests would fail as this one does.
    """
    if not isinstance(actor, EndpointActor) or not isinstance(config.endpoint, OpenAIEndpoint):
        return
    endpoint = config.endpoint.model_copy(update={"headers": {}})  # these are stored nowhere
    key = digest(actor.name, endpoint, config.env, config.search)
    healthy = work_folder(config) / f"answered-{key}.json"
    if healthy.exists() or not (opened := await openings(config, 1)):
        return
    bad = await _doubts(actor, *opened[0], config, config.endpoint)
    for line in bad:
        _log.warning("a first request, in the shape of this run's: %s", line)
    if bad:
        _log.warning("`agent-r try` with the same config shows what is asked and answered")
    else:
        files.write_json(healthy, {"actor": actor.name})


async def _doubts(
    actor: EndpointActor,
    world: EnvInfo,
    messages: Sequence[Message],
    config: Config,
    endpoint: OpenAIEndpoint,
) -> list[str]:
    """What looks bad about the replies to a first conversation, or a refusal of that one alone."""
    try:
        replies = await _ask(actor, messages, config)
    except EndpointRejected as refusal:
        if not surely_refused(refusal):
            return [str(refusal)]
        change = remedy(refusal, endpoint, max_tokens=config.search.max_tokens)
        raise EndpointRejected(f"{refusal}: {change}", status=refusal.status) from None
    return advice(_seen(replies, [read(one, world.grammar) for one in replies], config))


async def openings(config: Config, count: int) -> list[tuple[EnvInfo, list[Message]]]:
    """A run's first conversations; none of a task whose world fails: that is one tree's matter."""
    opened: list[tuple[EnvInfo, list[Message]]] = []
    async with worlds_of(config) as worlds:
        for task in tasks_of_iteration(worlds, config, 1)[:count]:
            env = worlds.environment(task.world)
            try:
                async with lent(env, env.info.name, worlds.unclosed):
                    prompt = await begin(env, task.id)
            except AgentRError as fault:
                _log.warning("%s: %s; so the endpoint was not tried beforehand", task.id, fault)
                continue
            opened.append((env.info, conversation(env.info.instruction, prompt, [])))
    return opened


async def _ask(
    actor: EndpointActor, messages: Sequence[Message], config: Config
) -> list[Completion]:
    how = config.search
    params = SamplingParams(how.temperature, how.max_tokens, seed=config.seed % 2**31)
    replies = await actor.once(messages, n=how.candidates, params=params)
    return replies or await actor.once(messages, n=1, params=params)  # `n` is refused


def _seen(replies: Sequence[Completion], readings: Sequence[Reading], config: Config) -> Symptoms:
    samples: dict[str, list[str]] = {}
    for one, reading in zip(replies, readings, strict=True):
        samples.setdefault(reading.outcome, []).append(one.text)
    return Symptoms(
        outcomes=Counter(str(reading.outcome) for reading in readings),
        samples=samples,
        finish_reasons=Counter(one.finish_reason for one in replies),
        reasoned_away=sum(map(only_reasons, readings)),
        max_tokens=config.search.max_tokens,
    )

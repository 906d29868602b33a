"""See that a newly trained model is the one that answers, by what it and the one before say."""

from __future__ import annotations

from pydantic import TypeAdapter

from agent_r import files
from agent_r.config import digest
from agent_r.settings import OpenAIEndpoint
from agent_r.training.backends.train_job import report_in
from agent_r.training.serving.replies import Replies, Switched, replies_of
from flows.acting.actor_factory import acting
from flows.acting.probe import openings
from flows.page.run_log import tell, warn
from flows.run_context import RunContext

PROMPTS = 3  # the first conversations of a run
REPLIES = TypeAdapter(Replies)


async def noted_replies(context: RunContext) -> Replies | None:
    """What the actor that is served now says, asked once for each model; None for one of ours.

    The embedded actor is known by its weights.

    Raises:
        EndpointError: it does not answer.
        TrainerError: it cannot be served.
    """
    endpoint = context.as_trained.endpoint
    if not isinstance(endpoint, OpenAIEndpoint):
        return None
    report = report_in(context.model) if context.model is not None else None
    plain = endpoint.model_copy(update={"headers": {}})  # these are stored nowhere
    key = digest(plain, context.trained, report.digest if report else "", context.config.env)
    path = context.work_folder / f"replies-{context.trained}-{key}.json"
    if (known := files.load(path, REPLIES)) is not None:
        return known
    prompts = [messages for _, messages in await openings(context.config, PROMPTS)]
    if not prompts:
        return None
    async with acting(context) as actor:
        replies = await replies_of(actor, prompts)
    files.save(path, REPLIES, replies)
    return replies


async def switched(context: RunContext, before: Replies | None) -> Switched | None:
    """The actor of a context in place of the one that has said `before`; doubts are warned of."""
    endpoint, after = context.config.endpoint, await noted_replies(context)
    if before is None or after is None or not isinstance(endpoint, OpenAIEndpoint):
        return None
    provider = context.config.train.provider is not None
    by = endpoint.serving.by if endpoint.serving else "provider" if provider else ""
    switch = Switched(by=by, before=before, after=after)
    warn(switch.doubts())
    tell(switch.line())
    return switch

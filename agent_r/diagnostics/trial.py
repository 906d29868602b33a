"""Try an actor: play real episodes, let it judge one step, observe its server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent_r.actor import Actor, Completion, Message, SamplingParams
from agent_r.algorithm.critique import Critique, judge_step
from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.closing import lent
from agent_r.diagnostics.live_episode import Audience, LiveTurn, Played, hear
from agent_r.diagnostics.server_behaviour import Manners, observe
from agent_r.diagnostics.symptoms import Symptoms, form_of
from agent_r.endpoint.client import EndpointActor
from agent_r.endpoint.transport import Sent
from agent_r.environment import Forkable, TaskSpec
from agent_r.errors import EndpointError
from agent_r.reading.reply import DEFAULT, Outcome, Reading, read
from agent_r.run_worlds import Worlds
from agent_r.settings import Config


@dataclass(slots=True)
class Judged:
    """What the actor said of one of its steps, from 1."""

    step: int
    critique: Critique
    cut: bool


@dataclass(slots=True)
class Trial:
    """All that was found out; a trial that a refusal ends has what came before."""

    actor: str
    played: list[Played] = field(default_factory=list)
    forks: dict[str, bool] = field(default_factory=dict)  # by world
    judged: Judged | None = None
    reads_at_most: int = 0  # tokens to which the server cuts prompts without a word
    manners: Manners | None = None  # None: there is no server, or it answers nothing
    sent: Sent | None = None  # the request that shows what is asked
    failure: EndpointError | None = None  # what the server could not be brought to do

    @property
    def turns(self) -> list[LiveTurn]:
        return [turn for played in self.played for turn in played.turns]

    @property
    def replies(self) -> list[tuple[Completion, Reading]]:
        """All that were asked for as a search asks: an episode's, and those of one request."""
        more = self.manners.choices if self.manners else ()
        grammar = self.played[0].world.grammar if self.played else DEFAULT
        return [
            *((turn.completion, turn.reading) for turn in self.turns),
            *((completion, read(completion, grammar)) for completion in more),
        ]

    @property
    def usable(self) -> bool:
        """Whether a run with this actor could come to anything."""
        acted = any(reading.outcome is Outcome.ACTION for _, reading in self.replies)
        return acted and self.failure is None


async def try_out(
    actor: Actor, worlds: Worlds, tasks: Sequence[TaskSpec], config: Config, audience: Audience
) -> Trial:
    """Play the tasks, judge the last step of the first, and see what the server takes.

    Raises:
        EnvironmentFault: a world broke. What the endpoint does wrong is in the trial.
    """
    trial = Trial(actor.name)
    try:
        for task in tasks:
            await _play(trial, actor, worlds, task, config, audience)
        await _judge(trial, actor, config, audience)
        if isinstance(actor, EndpointActor) and trial.turns:
            trial.manners = await observe(actor, _first(trial.played[0]), _params(config))
            trial.sent = trial.manners.sent
    except EndpointError as failure:
        trial.failure = failure
    if isinstance(actor, EndpointActor):
        trial.reads_at_most = actor.reads_at_most
    if not trial.turns:
        trial.failure = next((p.failure for p in trial.played if p.failure), trial.failure)
    if trial.sent is None and isinstance(actor, EndpointActor):
        trial.sent = actor.sent
    return trial


async def _play(
    trial: Trial,
    actor: Actor,
    worlds: Worlds,
    task: TaskSpec,
    config: Config,
    audience: Audience,
) -> None:
    env = worlds.environment(task.world)
    trial.forks[env.info.name] = isinstance(env, Forkable)
    params = replace(_params(config), seed=(config.seed + len(trial.played)) % 2**31)
    trial.played.append(played := Played(task, env.info))
    depth = config.search.max_depth
    async with lent(env, env.info.name, worlds.unclosed):
        await hear(env, actor, played, audience, max_steps=depth, params=params)


async def _judge(trial: Trial, actor: Actor, config: Config, audience: Audience) -> None:
    """The last step of the first episode that has one, as a search would have it judged."""
    shown = [(p, p.episode) for p in trial.played if p.episode and p.episode.steps]
    if not shown or config.critique.localiser in ("value", "direct"):
        return
    played, episode = shown[0]
    tree = SearchTree(episode.task, episode.prompt, config.seed)
    for step in episode.steps:
        tree.nodes.append(Node(parent=len(tree.nodes) - 1, step=step))
    overgrown = episode.stop is StopReason.CONTEXT_OVERFLOW
    at = 1 if overgrown else len(tree.nodes) - 1  # what was too long for a step is for its judge
    critique = await judge_step(
        actor,
        tree,
        at,
        instruction=played.world.instruction,
        config=config.critique,
        grammar=played.world.grammar,
    )
    trial.judged = Judged(at, critique, cut="cut" in critique.replies)
    audience.judges(at, critique)


def _params(config: Config) -> SamplingParams:
    """As a search asks for its replies."""
    how = config.search
    return SamplingParams(
        temperature=how.temperature, max_tokens=how.max_tokens, seed=config.seed % 2**31
    )


def _first(played: Played) -> list[Message]:
    return conversation(played.world.instruction, played.prompt, [])


def symptoms(trial: Trial, config: Config) -> Symptoms:
    """What was seen, as it can be judged."""
    replies, judged = trial.replies, trial.judged
    if judged is not None and "refused" in judged.critique.replies:
        judged = None  # the judge never saw it
    samples: dict[str, list[str]] = {}
    for completion, reading in replies:
        samples.setdefault(reading.outcome, []).append(completion.text)
    ends = Counter(p.episode.stop for p in trial.played if p.episode and p.turns)
    silent = judged is not None and judged.critique.verdict is None
    return Symptoms(
        outcomes=dict(Counter(str(reading.outcome) for _, reading in replies)),
        samples=samples,
        finish_reasons=dict(Counter(completion.finish_reason for completion, _ in replies)),
        reasoned_away=sum(only_reasons(reading) for _, reading in replies),
        max_tokens=config.search.max_tokens,
        form=form_of(trial.played[0].world.grammar) if trial.played else "",
        judged=int(judged is not None),
        verdicts=int(judged is not None and not silent),
        judged_cut=int(judged is not None and silent and judged.cut),
        judge_max_tokens=config.critique.max_tokens,
        judge_sample=judged.critique.text if judged is not None and silent else "",
        overflows=ends[StopReason.CONTEXT_OVERFLOW],
        refusals=ends[StopReason.REFUSED],
        context=(trial.manners and trial.manners.context) or 0,
        needed=_needed(trial, config),
        reads_at_most=trial.reads_at_most,
        rewards=[played.episode.reward for played in trial.played if played.episode],
        alike=trial.manners.alike if trial.manners else None,
    )


def _needed(trial: Trial, config: Config) -> int:
    """Tokens of an episode of full length, by how those played have grown; 0: it cannot be told."""
    longest = 0.0
    for played in trial.played:
        prompts = [turn.completion.prompt_tokens for turn in played.turns]
        if len(prompts) < 2 or prompts[-1] <= prompts[0]:
            continue
        a_step = (prompts[-1] - prompts[0]) / (len(prompts) - 1)
        longest = max(longest, prompts[0] + a_step * (config.search.max_depth - 1))
    return round(longest) + config.search.max_tokens if longest else 0


def only_reasons(reading: Reading) -> bool:
    """Whether there was reasoning, and no word of an answer."""
    idle = reading.outcome in (Outcome.CUT, Outcome.EMPTY)
    return idle and bool(reading.reasoning) and not reading.text.strip()

"""Take one step in a world: shared by search, measurement and replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent_r.actor import Actor, SamplingParams, encodable
from agent_r.algorithm.prompts import NO_ACTION, REVISE, REVISE_REPLY, conversation
from agent_r.algorithm.sampling import reseeded, sample
from agent_r.algorithm.trajectory import Step, StopReason, Trajectory
from agent_r.environment import EnvInfo, Environment, StepResult
from agent_r.errors import AgentRError, EnvironmentFault
from agent_r.loading import one_line
from agent_r.reading.reply import Reading, parse_action

_ROUNDED = 1e-6  # by which a reward may miss the interval it belongs to


async def begin(env: Environment, task: str) -> str:
    """Reset a world to a task; its prompt.

    Raises:
        EnvironmentFault: whatever it raises that a world should not.
    """
    try:
        return encodable(await env.reset(task))
    except AgentRError:
        raise
    except Exception as error:
        raise broken(env.info, error) from error


async def act(
    env: Environment, response: str, *, reward: float, reasoning: str = ""
) -> tuple[Step, StepResult]:
    """Take the action in a response; none at all, and a revision signal's, never reach the world.

    `reward` is the reward so far: it stands where the world is not asked.

    Raises:
        EnvironmentFault: whatever the world raises that it should not, or a reward outside [0, 1].
    """
    action = parse_action(response, env.info.grammar)
    if silent(action):
        reply = REVISE_REPLY if action else env.info.grammar.reminder or NO_ACTION
        return Step(response, action, reply, reasoning), StepResult(reply, reward, terminated=False)
    try:
        result = sound(await env.step(action))
    except AgentRError:
        raise
    except Exception as error:
        raise broken(env.info, error) from error
    return Step(response, action, result.observation, reasoning), result


def silent(action: str) -> bool:
    """Whether the world never sees this response: no action, or a revision signal's turn."""
    return action in ("", REVISE)


def sound(result: StepResult) -> StepResult:
    """A result that can be stored: whole characters, and a reward that is a fraction.

    Raises:
        ValueError: the reward is none.
    """
    if not -_ROUNDED <= result.reward <= 1 + _ROUNDED:  # which NaN is not either
        raise ValueError(f"a reward of {result.reward} is not in [0, 1]")
    seen, reward = encodable(result.observation), min(max(result.reward, 0.0), 1.0)
    if seen is result.observation and reward == result.reward:
        return result
    return replace(result, observation=seen, reward=reward)


def broken(world: EnvInfo, error: Exception) -> EnvironmentFault:
    """Turn an exception of the world's into a one-line fault that ends one tree only."""
    return EnvironmentFault(f"the world '{world.name}' fails: {one_line(error)}")


@dataclass(frozen=True, slots=True)
class Opening:
    """Where an episode begins: a task, and responses played before the actor takes over."""

    task: str
    responses: tuple[str, ...] = ()


async def play(
    env: Environment,
    actor: Actor,
    opening: Opening,
    *,
    max_steps: int,
    params: SamplingParams,
    heard: Callable[[Sequence[Reading]], None] = lambda replies: None,
) -> Trajectory:
    """Play one episode, one reply a step; `max_steps` counts the opening's responses too.

    `heard` is called with all replies of a step, unusable ones too.
    """
    prompt = await begin(env, opening.task)
    steps: list[Step] = []
    reward, stop = 0.0, StopReason.STEP_LIMIT
    while len(steps) < max_steps:
        if len(steps) < len(opening.responses):
            response, reasoning = opening.responses[len(steps)], ""
        else:
            sampled = await sample(
                actor,
                conversation(env.info.instruction, prompt, steps),
                n=1,
                params=reseeded(params, len(steps)),
                grammar=env.info.grammar,
            )
            heard(sampled.all)
            if sampled.stop is not None:
                stop = sampled.stop
                break
            response, reasoning = sampled.usable[0].text, sampled.usable[0].reasoning
        step, result = await act(env, response, reward=reward, reasoning=reasoning)
        steps.append(step)
        reward = result.reward
        if result.terminated or result.truncated:
            stop = StopReason.TERMINATED
            break
    return Trajectory(opening.task, prompt, tuple(steps), reward, stop)

"""What one response does to a world: the step that search, measurement and replay all take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent_r.actor import Actor, SamplingParams, encodable
from agent_r.environment import EnvInfo, Environment, StepResult
from agent_r.errors import AgentRError, ContextOverflow, ConversationRefused, EnvironmentFault
from agent_r.loading import one_line
from agent_r.prompts import NO_ACTION, WAIT, WAIT_REPLY, conversation
from agent_r.reading import parse_action
from agent_r.trajectory import Step, StopReason, Trajectory

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


async def act(env: Environment, response: str, *, reward: float) -> tuple[Step, StepResult]:
    """Take the action in a response; what holds none, or only waits, never reaches the world.

    `reward` is the reward so far: it stands where the world is not asked.

    Raises:
        EnvironmentFault: whatever the world raises that it should not, or a reward outside [0, 1].
    """
    action = parse_action(response)
    if action in ("", WAIT):
        reply = NO_ACTION if not action else WAIT_REPLY
        return Step(response, action, reply), StepResult(reply, reward, terminated=False)
    try:
        result = sound(await env.step(action))
    except AgentRError:
        raise
    except Exception as error:
        raise broken(env.info, error) from error
    return Step(response, action, result.observation), result


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
    """What a world's own mistake is for us: a fault, in one line, and one tree's matter."""
    return EnvironmentFault(f"the world '{world.name}' fails: {one_line(error)}")


@dataclass(frozen=True, slots=True)
class Opening:
    """Where an episode begins: a task, and responses played before the actor takes over."""

    task: str
    responses: tuple[str, ...] = ()


async def play(
    env: Environment, actor: Actor, opening: Opening, *, max_steps: int, params: SamplingParams
) -> Trajectory:
    """Play one episode, one reply a step; `max_steps` counts the opening's responses too."""
    prompt = await begin(env, opening.task)
    steps: list[Step] = []
    reward, stop = 0.0, StopReason.STEP_LIMIT
    while len(steps) < max_steps:
        if len(steps) < len(opening.responses):
            response = opening.responses[len(steps)]
        else:
            messages = conversation(env.info.instruction, prompt, steps)
            try:
                replies = await actor.complete(messages, n=1, params=seeded(params, len(steps)))
            except ContextOverflow:
                stop = StopReason.CONTEXT_OVERFLOW
                break
            except ConversationRefused:
                stop = StopReason.REFUSED
                break
            if not replies:
                stop = StopReason.NO_REPLY
                break
            response = replies[0].text
        step, result = await act(env, response, reward=reward)
        steps.append(step)
        reward = result.reward
        if result.terminated or result.truncated:
            stop = StopReason.TERMINATED
            break
    return Trajectory(opening.task, prompt, tuple(steps), reward, stop)


def seeded(params: SamplingParams, step: int) -> SamplingParams:
    """Every step draws from a seed of its own, so that a repeated state is not a repeated reply."""
    if params.seed is None:
        return params
    return replace(params, seed=(params.seed + 7919 * step) % 2**31)

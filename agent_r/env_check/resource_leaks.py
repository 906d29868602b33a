"""Check that unused, cancelled and closed environments leave no resources behind."""

from __future__ import annotations

import asyncio
from functools import partial

from agent_r.env_check.harness import Bench, Failed
from agent_r.env_check.resources import Resources, countable
from agent_r.env_check.texts import brief

_STARTING_S = 0.2  # in the middle of the start of a JVM, or of a server


async def an_environment_costs_nothing_at_first(bench: Bench) -> str:
    """Check that an environment holds nothing until its first reset."""
    for _ in range(3):
        bench.tasks("train")
    if added := Resources.now().more_than(bench.before):
        raise Failed(f"environments that were never begun hold: {added}")
    return f"three were made: no {countable()} more"


async def a_first_reset_can_be_cancelled(bench: Bench) -> str:
    """Cancel a first reset, while a world still starts what it owns."""
    task = bench.chosen()[0]
    async with bench.environment() as env:
        await bench.cancelled("the first reset()", partial(env.reset, task), after_s=_STARTING_S)
    return f"after {_STARTING_S:g} s, if it took as long"


async def a_cancelled_call_spoils_nothing(bench: Bench) -> str:
    """A reset and a step, each at its begin and half-way; then an episode answers as before."""
    play = (await bench.plays())[0]
    action = play.actions[0] if play.actions else "look"
    for share in (0, 1):
        after_s = share * bench.half_s("reset")
        async with bench.environment() as env:
            await bench.cancelled("reset()", partial(env.reset, play.task), after_s=after_s)
        after_s = share * bench.half_s("step")
        async with bench.environment() as env:
            await bench.reset(env, play.task)
            await bench.cancelled("step()", partial(env.step, action), after_s=after_s)
    async with bench.environment() as env:
        if differs := await bench.again(env, play):
            raise Failed(f"after cancelled calls, task {brief(play.task)}: {differs}")
    return "two resets and two steps were; an episode after them was as before"


async def nothing_is_left_of_what_was_cancelled(bench: Bench) -> str:
    """Two episodes that are cancelled and never closed; the world alone can know of them."""
    play = (await bench.plays())[0]
    first, second = bench.fresh(), bench.fresh()
    await bench.reset(first, play.task)
    await bench.cancelled(
        "reset()", partial(second.reset, play.task), after_s=bench.half_s("reset")
    )
    action = play.actions[0] if play.actions else "look"
    await bench.cancelled("step()", partial(first.step, action), after_s=bench.half_s("step"))
    await bench.quietly("world.aclose()", bench.world.aclose)
    if added := await _left(bench):
        raise Failed(
            f"{bench.limits.patience_s:g} s after a reset and a step were cancelled, and "
            f"world.aclose(), there is more than at the start: {added}"
        )
    return f"a reset and a step, then world.aclose(): no {countable()} more"


async def _left(bench: Bench) -> str:
    """What is more than at the start, after it was given time to go."""
    loop = asyncio.get_running_loop()
    until = loop.time() + bench.limits.patience_s
    while added := Resources.now().more_than(bench.before):
        if loop.time() > until:
            return added
        await asyncio.sleep(0.05)
    return ""


async def a_world_closes_twice(bench: Bench) -> str:
    """Close the world a second time."""
    for turn in ("world.aclose()", "a second world.aclose()"):
        try:
            await bench.call(turn, bench.world.aclose)
        except Exception as error:
            raise Failed(bench.described(error)) from error
    return "world.aclose() once more, and again"

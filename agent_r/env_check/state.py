"""Check how a world keeps its state: closing, snapshots, several episodes at once."""

from __future__ import annotations

from functools import partial

from agent_r.concurrency import gather_bounded
from agent_r.env_check.harness import Bench, Failed, Play, Skipped, Warned
from agent_r.env_check.texts import brief
from agent_r.environment import Environment, Forkable
from agent_r.errors import AgentRError

STRANGE: tuple[object, ...] = (None, "a text", 17, (), {}, object())


async def closing_twice_does_no_harm(bench: Bench) -> str:
    """Close twice, before the first reset and in the middle of an episode."""
    for begun in (False, True):
        env = bench.fresh()
        if begun:
            await bench.reset(env, bench.chosen()[0])
        for turn in ("close()", "a second close()"):
            when = "in an episode" if begun else "before the first reset"
            try:
                await bench.call(turn, env.close)
            except Exception as error:
                raise Failed(f"{when}, {bench.described(error)}") from error
    return "twice before the first reset, and twice in an episode"


async def a_closed_environment_says_so(bench: Bench) -> str:
    """It takes no step; it may be begun again, or refuse to be."""
    env, task = bench.fresh(), bench.chosen()[0]
    await bench.reset(env, task)
    await bench.quietly("close()", env.close)
    try:
        result = await bench.step(env, "look")
    except ValueError:
        pass
    except Exception as error:
        raise Failed(f"after close(), {bench.described(error)}; expected ValueError") from error
    else:
        raise Failed(f"after close(), a step was answered: {brief(result)}; expected ValueError")
    try:
        await bench.reset(env, task)
    except (ValueError, AgentRError) as error:
        return f"no step after close(), and no reset: {type(error).__name__}: {str(error)[:80]}"
    except Exception as error:
        raise Failed(
            f"after close(), {bench.described(error)}; expected an episode or a ValueError"
        ) from error
    finally:
        await bench.quietly("close()", env.close)
    return "no step after close(); a reset begins again"


async def episodes_at_once_are_apart(bench: Bench) -> str:
    """Each closes its own environment: a world with one place lets the next one in then."""
    plays = await bench.plays()
    several = [*plays, plays[0]]  # the same task, too

    async def again(play: Play) -> str:
        async with bench.environment() as env:
            return await bench.again(env, play, pause=True)

    for play, differs in zip(several, await gather_bounded(several, again), strict=True):
        if differs:
            raise Failed(f"{len(several)} at once, task {brief(play.task)}: {differs}")
    return f"{len(several)} episodes at once answered as they did one after the other"


async def a_snapshot_restores_exactly(bench: Bench) -> str:
    """Restore from later in the episode, from its end, and from another episode."""
    kept = 0
    plays = await bench.plays()
    for play in plays:
        half = len(play.results) // 2
        async with bench.environment() as env:
            forkable = _forkable(env)
            await bench.reset(env, play.task)
            for action in play.actions[:half]:
                await bench.step(env, action)
            snapshot = bench.at_once("snapshot()", forkable.snapshot)
            for turn in ("", "restored", "restored again", "restored in another episode"):
                if turn == "restored in another episode":
                    await bench.reset(env, plays[-1].task)
                if turn:
                    bench.at_once("restore()", partial(forkable.restore, snapshot))
                if differs := await bench.goes_on(env, play, half):
                    raise Failed(
                        f"task {brief(play.task)}, {turn or 'after snapshot()'}: {differs}"
                    )
                kept += bool(turn)
    return f"{kept} times restored, it answered as it had without"


async def a_strange_snapshot_is_refused(bench: Bench) -> str:
    """And the episode goes on as if nothing had been asked."""
    play = (await bench.plays())[0]
    async with bench.environment() as env:
        forkable = _forkable(env)
        await bench.reset(env, play.task)
        for strange in STRANGE:
            what = f"restore({brief(strange)})"
            try:
                bench.at_once(what, partial(forkable.restore, strange))
            except ValueError:
                continue
            except Exception as error:
                raise Failed(f"{bench.described(error)}; expected ValueError") from error
            raise Failed(f"{what} was taken; expected ValueError")
        if differs := await bench.goes_on(env, play):
            raise Failed(f"after a refused restore(): {differs}")
    return f"ValueError for {len(STRANGE)} things that are none"


def _forkable(env: Environment) -> Forkable:
    if isinstance(env, Forkable):
        return env
    for name, other in (("snapshot", "restore"), ("restore", "snapshot")):
        if hasattr(env, name):
            raise Warned(f"it has {name}() but no {other}(): it is taken for one without forks")
    raise Skipped("no snapshot() and restore(): a search replays the actions instead")


async def the_event_loop_stays_free(bench: Bench) -> str:
    """Measured in every step so far; another tree waits as long."""
    await bench.plays()
    longest, what = bench.held
    if longest > bench.limits.held_s:
        raise Warned(f"{what} held it for {1000 * longest:.0f} ms: other episodes wait meanwhile")
    return f"held for {1000 * longest:.0f} ms at most by a step"

"""The checks of the contract, one a function: returns what held, raises what did not."""

from __future__ import annotations

import math
import random
import time
from functools import partial

from agent_r.env_check.harness import SPLITS, Bench, Failed, Play, Skipped, Warned
from agent_r.env_check.texts import brief, over, same
from agent_r.environment import EnvInfo, Environment, TaskSpec
from agent_r.errors import AgentRError, UnknownTask
from agent_r.licences import hub_id

LONGEST = 20_000  # characters of an observation: more would fill the context of any model
_UNKNOWN = ("", "no such task \x00 \ud800", "x" * 10_000)
ODD = {
    "nothing": "",
    "blanks": " \t ",
    "garbage": "xyzzy plugh 17",
    "100,000 characters": "take " * 20_000,
    "a number of 5,000 digits": "get " + "9" * 5_000,
    "not ASCII": "взять ключ 鍵を取る 🪵 é",
    "control characters": "take\x00 \x1b[31mkey\x07\x7f",
    "a lone surrogate": "take \ud800 key",
    "two lines": "look\nlook\r\nlook",
    "markup": '{"action": "<b>%s</b>", \'{0}\': ${HOME}}',
}


async def nothing_is_missing(bench: Bench) -> str:
    """Run the world's own check for what is missing."""
    try:
        await bench.call("check()", bench.world.check)
    except AgentRError as error:
        raise Failed(str(error)) from error
    return "world.check() found nothing wrong"


async def tasks_exist(bench: Bench) -> str:
    """Check that there are tasks: a run explores `train`, and measures on `test`."""
    sizes = {split: len(bench.tasks(split)) for split in SPLITS}
    sizes_text = ", ".join(f"{size} {split}" for split, size in sizes.items())
    if not sizes["train"]:
        raise Failed(f"{sizes_text}: a run explores the tasks of `train`")
    if not sizes["test"]:
        raise Warned(f"{sizes_text}: without `test` there is nothing to measure on")
    return sizes_text


async def a_task_has_a_name_of_its_own(bench: Bench) -> str:
    """Check that names are unique: a name is all that a dataset keeps of a task."""
    where: dict[str, str] = {}
    for split in SPLITS:
        for task in bench.tasks(split):
            if not isinstance(task, TaskSpec) or not isinstance(task.id, str):
                raise Failed(f"tasks({split!r}) holds {brief(task)}, not a TaskSpec")
            if not task.id.strip() or not task.id.isprintable():
                raise Failed(f"a task is called {brief(task.id)}: a name is one printable line")
            if task.split != split:
                raise Failed(f"tasks({split!r}) holds {brief(task.id)} of {task.split!r}")
            if task.id in where:
                raise Failed(
                    f"{brief(task.id)} is a task of {where[task.id]}, and of {split} again"
                )
            where[task.id] = split
    return f"{len(where)} names, none twice, and each in one split"


async def tasks_stay_the_same(bench: Bench) -> str:
    """Compare the tasks of two environments, one after the other."""
    for split in SPLITS:
        first, other = ([(t.id, t.depth) for t in bench.tasks(split)] for _ in range(2))
        if first != other:
            pairs = zip([*first, None], [*other, None], strict=False)
            one, two = next(pair for pair in pairs if pair[0] != pair[1])
            raise Failed(f"tasks({split!r}) of two environments: {brief(one)} against {brief(two)}")
    return "two environments name the same tasks in the same order"


async def info_says_what_a_stranger_needs(bench: Bench) -> str:
    """Check name, version, instruction, licence and source, which every dataset holds."""
    info, other = (bench.at_once("info", lambda: bench.fresh().info) for _ in range(2))
    if not isinstance(info, EnvInfo):
        raise Failed(f"info is {brief(info)}, not an EnvInfo")
    for name in ("name", "version", "instruction", "licence", "source"):
        value = getattr(info, name)
        if not isinstance(value, str) or not value.strip():
            raise Failed(f"info.{name} is {brief(value)}: it goes into every dataset")
        if value != getattr(other, name):
            raise Failed(
                f"info.{name} of two environments: {brief(value)} against "
                f"{brief(getattr(other, name))}"
            )
    if info.repeats not in ("text", "score"):
        raise Failed(f"info.repeats is {brief(info.repeats)}; expected 'text' or 'score'")
    if hub_id(info.licence) is None:
        raise Warned(
            f"the licence {brief(info.licence)} is not known as an open one: publishing will ask "
            "for --accept-licence"
        )
    return f"{info.name} {info.version}, {info.licence}; equal in two environments"


async def an_episode_begins(bench: Bench) -> str:
    """Begin the first episodes."""
    chosen = bench.chosen()
    for task in chosen:
        async with bench.environment() as env:
            opening = await bench.reset(env, task)
        if not isinstance(opening, str) or not opening.strip():
            raise Failed(f"reset({brief(task)}) gave {brief(opening)}: a first observation is text")
    return f"{len(chosen)} tasks were begun, and said so in words"


async def an_unknown_task_is_refused(bench: Bench) -> str:
    """Try task names that are empty, unprintable and very long."""
    for name in _UNKNOWN:
        async with bench.environment() as env:
            try:
                opening = await bench.reset(env, name)
            except UnknownTask:
                continue
            except Exception as error:
                raise Failed(f"{bench.described(error)}; expected UnknownTask") from error
            raise Failed(f"{bench.doing} began: {brief(opening)}; expected UnknownTask")
    return f"UnknownTask for {len(_UNKNOWN)} names that there are not"


async def a_reset_repeats(bench: Bench) -> str:
    """Reset again, in the same environment after a few steps and in another."""
    if not bench.texts_repeat():
        raise Skipped("info.repeats is 'score': its texts may differ")
    plays = await bench.plays()
    for play in plays:
        openings = []
        async with bench.environment() as env:
            openings.append(await bench.reset(env, play.task))
            for action, result in zip(play.actions[:2], play.results[:2], strict=False):
                await bench.quietly("step()", partial(env.step, action))
                if over(result):
                    break
            openings.append(await bench.reset(env, play.task))
        async with bench.environment() as other:
            openings.append(await bench.reset(other, play.task))
        for opening in openings:
            if same(opening) != same(play.opening):
                raise Failed(
                    f"reset({brief(play.task)}) gave {brief(opening)}, at first "
                    f"{brief(play.opening)}"
                )
    return f"{len(plays)} tasks, each begun four times: the same text"


async def a_replay_answers_the_same(bench: Bench) -> str:
    """Replay episodes in one environment: nothing of an episode may stay behind."""
    plays = await bench.plays()
    async with bench.environment() as env:
        for play in plays:
            if differs := await bench.again(env, play):
                raise Failed(f"task {brief(play.task)} played again: {differs}")
    steps = sum(len(play.results) for play in plays)
    what = "texts, rewards" if bench.texts_repeat() else "rewards"
    return f"{len(plays)} episodes of {steps} actions: the same {what} and ends"


async def any_action_is_answered(bench: Bench) -> str:
    """Try the actions of ordinary episodes, then what no actor should say but some do."""
    plays = await bench.plays()
    for play in plays:
        if play.trouble:
            raise Failed(f"task {brief(play.task)}: {play.trouble}")
    async with bench.environment() as env:
        ended = True
        for what, action in ODD.items():
            if ended:
                await bench.reset(env, plays[0].task)
            try:
                result = await bench.step(env, action)
            except Exception as error:
                raise Failed(
                    f"{what}: {bench.described(error)}; expected an observation"
                ) from error
            text = getattr(result, "observation", None)
            if not isinstance(text, str):
                raise Failed(f"{what}: {bench.doing} gave {brief(result)}; expected a StepResult")
            if len(text) > LONGEST:
                raise Failed(f"{what}: an observation of {len(text)} characters, over {LONGEST:,}")
            ended = over(result)
    return f"an observation each for {', '.join(list(ODD)[3:])}, …"


async def rewards_are_fractions(bench: Bench) -> str:
    """In all episodes so far."""
    seen = set[float]()
    for play in await bench.plays():
        for action, result in zip(play.actions, play.results, strict=False):
            reward = getattr(result, "reward", None)
            if type(reward) is not float or not math.isfinite(reward) or not 0 <= reward <= 1:
                raise Failed(
                    f"task {brief(play.task)}, {brief(action)}: reward {reward!r}; expected a "
                    "float from 0 to 1"
                )
            seen.add(reward)
    return f"seen: {', '.join(f'{reward:.3g}' for reward in sorted(seen)[:12])}"


async def answers_are_of_their_types(bench: Bench) -> str:
    """In all episodes so far."""
    count = 0
    for play in await bench.plays():
        for action, result in zip(play.actions, play.results, strict=False):
            where = f"task {brief(play.task)}, {brief(action)}"
            text = getattr(result, "observation", None)
            if not isinstance(text, str):
                raise Failed(f"{where}: {brief(result)}; expected a StepResult with a text")
            for name in ("terminated", "truncated"):
                value = getattr(result, name, None)
                if not isinstance(value, bool):
                    raise Failed(f"{where}: {name} is {brief(value)}; expected a bool")
            if text != text.encode(errors="replace").decode():
                raise Failed(f"{where}: {brief(text)} is no Unicode text, and cannot be written")
            count += 1
    return f"{count} answers"


async def a_step_needs_an_episode(bench: Bench) -> str:
    """Step in an environment that was never reset."""
    async with bench.environment() as env:
        await _refused(bench, env, "a step before the first reset")
    return "a step before the first reset raised ValueError"


async def an_end_is_final(bench: Bench) -> str:
    """Step after the end of an episode, where one can be brought to its end."""
    play = next((p for p in await bench.plays() if p.ended), None) or await _ended(bench)
    async with bench.environment() as env:
        await bench.again(env, play)
        await _refused(bench, env, f"a step after the end of {brief(play.task)}")
    return f"a step after the end of {brief(play.task)} raised ValueError"


async def _ended(bench: Bench) -> Play:
    """Long episodes without aim, for a while: one may come to its end at last."""
    until, steps, tasks = time.monotonic() + bench.limits.patience_s, 0, bench.names()
    for number in range(20):
        rng = random.Random(f"{bench.seed} {number}")
        task = rng.choice(tasks)
        play = await bench.play(task, rng, straying=0.2, steps=10 * bench.limits.steps)
        steps += len(play.actions)
        if play.ended:
            return play
        if time.monotonic() > until:
            break
    raise Skipped(f"no episode came to its end in {steps} actions; an expert would find one")


async def _refused(bench: Bench, env: Environment, what: str) -> None:
    try:
        result = await bench.step(env, "look")
    except ValueError:
        return
    except Exception as error:
        raise Failed(f"{what}: {bench.described(error)}; expected ValueError") from error
    raise Failed(f"{what} was answered: {brief(getattr(result, 'observation', result))}")


async def the_expert_knows_a_way(bench: Bench) -> str:
    """Ask the expert twice: its plans are the same, and earn a reward."""
    expert = bench.world.expert
    if expert is None:
        raise Skipped("no expert: endpoint.kind = 'scripted' cannot play this world")
    gains = []
    for task in bench.chosen():
        async with bench.environment() as env:
            opening, reward = await bench.reset(env, task), 0.0
            ask = partial(expert.plan, opening, ())
            ways = [await bench.call("expert.plan()", ask) for _ in range(2)]
            if list(ways[0]) != list(ways[1]):
                raise Failed(f"task {brief(task)}: asked twice, the expert gives two ways")
            for action in ways[0]:
                result = await bench.step(env, action)
                reward = result.reward
                if over(result):
                    break
            await bench.call("expert.mistakes()", partial(expert.mistakes, opening, ()))
        if ways[0] and not reward > 0:
            raise Failed(f"task {brief(task)}: the expert's {len(ways[0])} actions earn {reward!r}")
        gains += [f"{reward:g}"] if ways[0] else []
    if not gains:
        raise Warned(f"the expert knows no way through {len(bench.chosen())} tasks")
    return f"its ways earn {', '.join(gains)}"

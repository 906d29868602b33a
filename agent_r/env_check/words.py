"""Check that the world gets an actor's actions, and never those of a revision signal."""

from __future__ import annotations

from agent_r.algorithm.episode import silent
from agent_r.algorithm.prompts import REVISE
from agent_r.env_check.harness import Bench, Failed, Hung, Skipped, Warned
from agent_r.env_check.texts import brief, over
from agent_r.reading.reply import parse_action

_NONSENSE = "zyxgo plonk"  # what no world knows: its answer is that to any unknown action


async def an_action_is_read_as_it_was_said(bench: Bench) -> str:
    """Every word that the world knows is the world's: also `wait`."""
    grammar = bench.fresh().info.grammar
    if grammar.pattern:
        raise Skipped("info.grammar is a pattern: how an action is written is not known")
    # Without an expert, what is played is picked from texts: it need not be an action at all.
    known = (await bench.plays())[0].actions if bench.world.expert is not None else ()
    words = list(dict.fromkeys([*known, "wait"]))
    for word in words:
        reply = word if grammar.whole else f"{grammar.labels[0].capitalize()}: {word}"
        action = parse_action(reply, grammar)
        if action != " ".join(word.split()) or silent(action):
            raise Failed(
                f"{brief(reply)} is read as {brief(action)}: info.grammar does not read what the "
                "world's own actions look like"
            )
    return f"of {len(words)} actions each is read as it was said, `wait` among them"


async def a_signals_own_turn_is_no_action_of_the_world(bench: Bench) -> str:
    """It is answered by the episode: a world that knew the word would never be asked."""
    answers = []
    for word in (REVISE, _NONSENSE):
        async with bench.environment() as env:
            try:
                await bench.reset(env, bench.chosen()[0])
                result = await bench.step(env, word)
            except Hung:
                raise
            except Exception as error:
                raise Skipped(f"it cannot be tried: {bench.described(error)}") from error
            seen = str(getattr(result, "observation", "")).replace(word, "…")
            answers.append((seen, getattr(result, "reward", None), over(result)))
    if bench.texts_repeat() and answers[0] != answers[1]:
        raise Warned(
            f"the world answers `{REVISE}` otherwise than nonsense, {brief(answers[0][0])}: that "
            "action is a revision signal's and never reaches it; use revision.placement = 'inline'"
        )
    return f"`{REVISE}` is to the world what nonsense is"

"""Turn a trial of an actor into rows of facts, and a line for each thing to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agent_r.diagnostics.live_episode import LiveTurn, Played
from agent_r.diagnostics.remedies import remedy
from agent_r.diagnostics.server_behaviour import Manners
from agent_r.diagnostics.symptoms import Symptoms, advice
from agent_r.diagnostics.trial import Trial, symptoms
from agent_r.loading import one_line
from agent_r.settings import Config, OpenAIEndpoint

Mark = Literal["ok", "failed", "warned", "skipped"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One row: what was looked at, whether it is well, and what was seen."""

    name: str
    mark: Mark
    text: str


def lines(trial: Trial, config: Config) -> list[str]:
    """What to change, one line for each thing that is wrong; empty where all is well."""
    changes = advice(symptoms(trial, config))
    if trial.failure is not None:
        endpoint = config.endpoint
        asked = config.search.max_tokens
        first = "the model's own server failed: start the trial again, and tell us if it stays so"
        if isinstance(endpoint, OpenAIEndpoint):
            first = remedy(trial.failure, endpoint, max_tokens=asked)
        changes = [first, *changes]
    return changes


def facts(trial: Trial, config: Config) -> list[Fact]:
    """The rows of the diagnosis."""
    seen = symptoms(trial, config)
    rows = [*_of_replies(trial, seen, config)] if trial.turns else []
    if trial.judged is not None:
        verdict = trial.judged.critique.verdict
        text = f"step {trial.judged.step} is judged {verdict}" if verdict else "no verdict"
        if not verdict and "refused" in trial.judged.critique.replies:
            text = f"step {trial.judged.step} is not judged: the server refuses the question"
        rows.append(Fact("judgement", "ok" if verdict else "warned", text))
    elif trial.turns and config.critique.localiser in ("value", "direct"):
        text = f"critique.localiser = '{config.critique.localiser}' asks for none"
        rows.append(Fact("judgement", "skipped", text))
    if trial.manners is not None:
        rows += _of_manners(trial.manners)
    for world, forks in trial.forks.items():
        text = "forks: a search needs no replay" if forks else "cannot fork: a search replays"
        rows.append(Fact("world", "ok", f"{world} {text}"))
    if trial.failure is not None:
        rows.append(Fact("endpoint", "failed", str(trial.failure)))
    return rows


def _of_replies(trial: Trial, seen: Symptoms, config: Config) -> Iterator[Fact]:
    acted, all_of_them = seen.count("action"), seen.replies
    others = [f"{n} {outcome}" for outcome, n in seen.outcomes.items() if outcome != "action"]
    mark: Mark = "ok" if not others else "warned" if acted else "failed"
    text = ", ".join([f"{acted} of {all_of_them} replies hold an action", *others])
    yield Fact("actions", mark, f"{text} ({acted / all_of_them:.0%})")
    spent = [turn.completion.completion_tokens for turn in trial.turns]
    if any(spent):
        mean, limit = sum(spent) / len(spent), config.search.max_tokens
        full: Mark = "warned" if max(spent) >= limit else "ok"
        text = f"{mean:.0f} a reply, {max(spent)} at most, of search.max_tokens = {limit}"
        if trial.manners is not None and trial.manners.estimated:
            full, text = "warned", f"{text}: estimated, for the server does not count them all"
        yield Fact("tokens", full, text)
    else:
        yield Fact("tokens", "skipped", "the endpoint does not count them")
    ends = ", ".join(f"{n} × {reason or 'none'}" for reason, n in seen.finish_reasons.items())
    healthy = set(seen.finish_reasons) <= {"stop", ""}
    yield Fact("finish reasons", "ok" if healthy else "warned", ends)
    if reasoned := sum(bool(reading.reasoning) for _, reading in trial.replies):
        yield Fact("reasoning", "ok", f"{reasoned} of {all_of_them} replies have some, set apart")
    seconds = [turn.seconds for turn in trial.turns]
    text = f"{sum(seconds) / len(seconds):.2f} s a reply, {max(seconds):.2f} s at most"
    yield Fact("time", "ok", text)
    for played in trial.played:
        yield Fact("reward", "ok", _ending(played))


def _ending(played: Played) -> str:
    if played.episode is None:
        return f"{played.task.id}: broken off after {len(played.turns)} replies"
    steps, stop = len(played.episode.steps), str(played.episode.stop).replace("_", " ")
    return f"{played.task.id}: {played.episode.reward:g} after {steps} steps ({stop})"


def _of_manners(seen: Manners) -> Iterator[Fact]:
    for line in seen.found:
        yield Fact("settings", "warned", f"the server {line}")
    if not seen.found:
        yield Fact("settings", "ok", "the server takes all that is sent")
    if len(seen.choices) >= 2:
        yield Fact("n", "ok", "honoured: several replies come of one request")
    else:
        what = "gives one reply all the same" if seen.choices else "is refused"
        yield Fact("n", "ok", f"n = 2 {what}: a request for each reply, which costs more prompt "
                   "tokens and is well otherwise")  # fmt: skip
    yield _of_seeds(seen)
    if seen.context:
        yield Fact("context", "ok", f"{seen.context:,} tokens, as the server says")


def _of_seeds(seen: Manners) -> Fact:
    honoured = seen.honours_seed
    if honoured:
        return Fact("seed", "ok", "honoured: equal seeds give equal replies, others differ")
    if honoured is None:
        why = "replies are the same with any seed" if seen.alike else "the replies are empty"
        return Fact("seed", "warned", f"it cannot be told: {why}")
    return Fact("seed", "ok", "not honoured: a finished tree is kept all the same, but the same "
                "run made anew gives other data")  # fmt: skip


def document(trial: Trial, config: Config) -> dict[str, Any]:
    """The same for a script: plain values, the texts as they are."""
    seen, judged = trial.manners, trial.judged
    return {
        "usable": trial.usable,
        "advice": lines(trial, config),
        "actor": trial.actor,
        "error": one_line(trial.failure) if trial.failure else None,
        "request": asdict(trial.sent) if trial.sent else None,
        "facts": [_row(fact) for fact in facts(trial, config)],
        "symptoms": asdict(symptoms(trial, config)),
        "refused": list(seen.refused) if seen else [],
        "found": list(seen.found) if seen else [],
        "context": seen.context if seen else None,
        "honours_n": len(seen.choices) >= 2 if seen else None,
        "honours_seed": seen.honours_seed if seen else None,
        "forks": trial.forks,
        "judgement": _judgement(trial) if judged else None,
        "episodes": [_episode(played) for played in trial.played],
    }


def _row(fact: Fact) -> dict[str, str]:
    return {"name": fact.name, "mark": fact.mark, "said": fact.text}


def _judgement(trial: Trial) -> Mapping[str, Any] | None:
    if trial.judged is None:
        return None
    critique = trial.judged.critique
    return {
        "step": trial.judged.step,
        "verdict": critique.verdict,
        "reasoning": critique.reasoning,
        "text": critique.text,
    }


def _episode(played: Played) -> dict[str, Any]:
    episode = played.episode
    return {
        "world": played.world.name,
        "version": played.world.version,
        "task": played.task.id,
        "instruction": played.world.instruction,
        "prompt": played.prompt,
        "replies": [_turn(turn) for turn in played.turns],
        "reward": episode.reward if episode else None,
        "stop": str(episode.stop) if episode else None,
    }


def _turn(turn: LiveTurn) -> dict[str, Any]:
    completion = turn.completion
    return {
        "step": turn.number,
        "outcome": str(turn.reading.outcome),
        "reply": completion.text,
        "reasoning": turn.reading.reasoning,
        "text": turn.reading.text,
        "action": turn.reading.action,
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "seconds": round(turn.seconds, 3),
        "observation": turn.observation,
        "reward": turn.reward,
    }

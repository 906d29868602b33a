"""Turn trees into dataset rows: one config for each kind of trainer.

A row is a plain dict whose keys and types are the schema of its config
(`agent_r.algorithm.schema`); the functions here are pure, and the same trees give the same rows
in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent_r.actor import Message
from agent_r.algorithm.critique import (
    Critique,
    Critiques,
    Effects,
    contradicted,
    largest_fall,
    proved_verdict,
)
from agent_r.algorithm.prompts import conversation, judge_request, prompt_digest
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.proof.interleaving import Interleaved
from agent_r.algorithm.revision import TRAINED, Part, Revision, Turn
from agent_r.algorithm.schema import SCHEMAS
from agent_r.algorithm.trajectory import Step, Trajectory
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.digests import sha256_of
from agent_r.environment import EnvInfo, TaskSpec
from agent_r.reading.reasoning import split_reasoning, with_reasoning

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """A tree, and the columns that all rows cut from it have in common."""

    info: EnvInfo
    tree: SearchTree
    columns: Row
    reasons: bool = False  # trained replies begin with their reasoning
    misstated: Container[str] = ()  # replies whose words are false: trained nowhere

    @classmethod
    def of(
        cls,
        info: EnvInfo,
        task: TaskSpec,
        tree: SearchTree,
        *,
        actor: str,
        iteration: int,
        reasons: bool = False,
        misstated: Container[str] = (),
    ) -> Origin:
        nodes = [[node.parent, node.step.response if node.step else ""] for node in tree.nodes]
        return cls(
            info,
            tree,
            {
                "env": info.name,
                "env_version": info.version,
                "task": task.id,
                "task_digest": short_digest([info.instruction, tree.prompt]),
                "split": task.split,
                "depth": task.depth,
                "iteration": iteration,
                "actor": actor,
                "prompt_digest": prompt_digest(),
                "tree": name_row("tree", info.name, task.id, [iteration, actor, tree.seed, nodes]),
            },
            reasons,
            misstated,
        )

    def name(self, kind: str, content: Any) -> str:
        return name_row(kind, self.columns["env"], self.columns["task"], content)

    def conversation(self, steps: Sequence[Step], trained: Iterable[bool]) -> list[Row]:
        """Messages with their flags, the last observation at the end."""
        flags = list(trained)
        if self.reasons:
            steps = [
                replace(step, response=with_reasoning(step.reasoning, step.response))
                if own
                else step
                for step, own in zip(steps, flags, strict=True)
            ]
        return to_messages(conversation(self.info.instruction, self.tree.prompt, steps), flags)


def name_row(kind: str, env: str, task: str, content: Any) -> str:
    """An id that is the content's own: equal rows have equal ids, in any run."""
    return f"{kind}-{short_digest([env, task, content])}"


def short_digest(content: Any) -> str:
    """16 hexadecimal digits that name plain values."""
    text = json.dumps(content, sort_keys=True)
    return sha256_of(text, 16)


def to_messages(messages: Sequence[Message], trained: Iterable[bool]) -> list[Row]:
    """Messages with a train flag (axolotl, our trainer) and a 0/1 weight (OpenAI)."""
    flags = iter(trained)
    rows = []
    for message in messages:
        train = message.role == "assistant" and next(flags)
        rows.append(
            {
                "role": message.role,
                "content": message.content,
                "train": train,
                "weight": int(train),
            }
        )
    return rows


def revision_row(origin: Origin, revision: Revision, critiques: Critiques) -> Row:
    """A revision trajectory as an `sft` row; only the signal and the good tail are trained."""
    tree = origin.tree
    wrong = tree.path(revision.pair.bad)[revision.error.position]
    judged = critiques.get(wrong)
    return _sft_row(origin, "revision", revision.turns, revision.reward) | {
        "verified": revision.verified,
        "fork_step": revision.count(Part.INITIAL),
        "error_step": revision.count(Part.INITIAL, Part.BAD) - 1,
        "error_kind": revision.error_kind or None,
        "localiser": revision.error.source,
        "agrees_with_value": revision.error.agrees_with_value,
        "witnesses": list(revision.error.witnesses),
        "judge_text": judged.text if judged else "",
        "signal_source": revision.signal,
        "reward_bad": tree.nodes[revision.pair.bad].reward,
        "reward_good": tree.nodes[revision.pair.good].reward,
        "bad_leaf": revision.pair.bad,
        "good_leaf": revision.pair.good,
        "error_node": wrong,
    }


def interleaved_row(origin: Origin, interleaved: Interleaved) -> Row:
    """A good trajectory with errors in it as an `sft` row; every reply that is no error is trained.

    What a revision row says of its error is said of the first one here.
    """
    return _sft_row(origin, "interleaved", interleaved.turns, interleaved.reward) | {
        "error_step": [turn.part for turn in interleaved.turns].index(Part.BAD),
        "error_kind": interleaved.errors[0] or None,
        "localiser": "replay",
        "witnesses": ["replay"],
    }


def good_row(origin: Origin, episode: Trajectory) -> Row:
    """A good trajectory as an `sft` row; every reply with an action is trained."""
    turns = [Turn(step, Part.GOOD) for step in episode.steps]
    return _sft_row(origin, "good", turns, episode.reward)


def _sft_row(origin: Origin, kind: str, turns: Sequence[Turn], reward: float) -> Row:
    """A row of which no error is known; it was executed, as is all that the search has seen.

    A reply without an action is trained nowhere: the world was not asked. Nor is one whose words
    are false, though its action was right.
    """
    trained = [
        turn.part in TRAINED
        and bool(turn.step.action)
        and turn.step.response not in origin.misstated
        for turn in turns
    ]
    *messages, last = origin.conversation([turn.step for turn in turns], trained)
    return {
        "id": origin.name(kind, messages),
        "messages": messages,
        "final_observation": last["content"],
        "kind": kind,
        **origin.columns,
        "reward": reward,
        "verified": True,
        "steps": len(turns),
        "tokens": None,  # counted where a tokenizer is at hand
        "parts": [turn.part.value for turn in turns],
        "reasoning": [turn.step.reasoning for turn in turns],
        "fork_step": None,
        "error_step": None,
        "error_kind": None,
        "localiser": None,
        "agrees_with_value": None,
        "witnesses": [],
        "judge_text": "",
        "signal_source": None,
        "reward_bad": None,
        "reward_good": None,
        "bad_leaf": None,
        "good_leaf": None,
        "error_node": None,
    }


def preference_row(origin: Origin, revision: Revision) -> Row | None:
    """What to do at one point of a revision, and what not to: one step each way (TRL's layout).

    None where neither is clearly better.
    """
    tree, preference = origin.tree, revision.preference
    if preference is None:
        return None
    shared = [turn.step for turn in revision.turns[: preference.turns]]
    prompt = conversation(origin.info.instruction, tree.prompt, shared)
    content = {
        "prompt": [_plain(message) for message in prompt],
        "chosen": [{"role": "assistant", "content": preference.chosen.response}],
        "rejected": [{"role": "assistant", "content": preference.rejected.response}],
    }
    return {
        "id": origin.name("preference", content),
        **content,
        **origin.columns,
        "fork_step": preference.turns,
        "error_kind": revision.error_kind or None,
        "value_chosen": preference.value_chosen,
        "value_rejected": preference.value_rejected,
        "reward_chosen": tree.nodes[revision.pair.good].reward,
        "reward_rejected": tree.nodes[revision.pair.bad].reward,
    }


def critique_rows(origin: Origin, critiques: Critiques, effects: Effects) -> Iterator[Row]:
    """The judge's prompt and its judgement, for every node with a verdict.

    A judgement that replay contradicts is left out: it would teach the opposite of what is so.
    """
    tree = origin.tree
    for index in sorted(critiques):
        judged = critiques[index]
        if judged.verdict is None or contradicted(judged.verdict, effects.get(index)):
            continue
        path = tree.path(index)
        asked = judge_request(origin.info.instruction, tree.prompt, tree.steps(index))
        messages = to_messages(
            [*asked, Message("assistant", judged.text)], [False] * len(path) + [True]
        )
        worst = largest_fall(tree, path, 0)
        fell = worst is not None and path[worst] == index
        proved = proved_verdict(effects.get(index))
        yield {
            "id": origin.name("critique", messages),
            "messages": messages,
            "verdict": judged.verdict.value,
            "agrees_with_value": (judged.verdict.value == "Bad") == fell,
            "proved": proved.value if proved else None,
            "proved_by": "replay" if proved else None,
            **origin.columns,
            "step": len(path) - 1,
        }


def tree_row(origin: Origin, critiques: Critiques, effects: Effects) -> Row:
    """The whole tree as a table of nodes, for research."""
    tree = origin.tree
    columns = {name: value for name, value in origin.columns.items() if name != "tree"}
    return {
        "id": origin.columns["tree"],
        **columns,
        "seed": tree.seed,
        "calls": tree.calls,
        "env_steps": tree.env_steps,
        "prompt_tokens": tree.prompt_tokens,
        "completion_tokens": tree.completion_tokens,
        "nodes": [
            _node_row(tree, node, critiques.get(index), effects.get(index))
            for index, node in enumerate(tree.nodes)
        ],
    }


def _node_row(tree: SearchTree, node: Node, judged: Critique | None, effect: Effect | None) -> Row:
    step = node.step or Step("", "", tree.prompt)
    return {
        "parent": node.parent,
        "response": step.response,
        "action": step.action,
        "observation": step.observation,
        "reward": node.reward,
        "stop": node.stop.value if node.stop else None,
        "visits": node.visits,
        "total_return": node.total_return,
        "verdict": judged.verdict.value if judged and judged.verdict else None,
        "reasoning": step.reasoning,
        "effect": effect.value if effect else None,
    }


def prompt_completion_rows(row: Row) -> Iterator[Row]:
    """An `sft` row as one row per trained reply: all before it is the prompt, it alone is trained.

    TRL trains on the whole completion, so a completion of several turns would train on
    observations too.
    """
    trained = [at for at, message in enumerate(row["messages"]) if message["train"]]
    for count, at in enumerate(trained):
        own = {
            "id": f"{row['id']}-{count}",
            "prompt": [_unreasoned(m) for m in row["messages"][:at]],
            "completion": [_plain_row(row["messages"][at])],
            "sft_id": row["id"],
        }
        yield {name: own.get(name, row.get(name)) for name in SCHEMAS["prompt_completion"]}


def _plain(message: Message) -> Row:
    return {"role": message.role, "content": message.content}


def _plain_row(message: Row) -> Row:
    return {"role": message["role"], "content": message["content"]}


def _unreasoned(message: Row) -> Row:
    """An earlier turn as the actor sees it: what it thought then is not before it any more."""
    plain = _plain_row(message)
    if not (message["role"] == "assistant" and message["train"]):
        return plain
    return plain | {"content": split_reasoning(message["content"])[1]}

"""The columns of every config: name, type and meaning; one place for parquet, card and docs.

`SCHEMA_VERSION` is the major number of a dataset version: a consumer's code goes on working while
it stays the same.
"""

from __future__ import annotations

from typing import Any, TypeAlias

# A type is spelt as in `datasets` (int64, float64, bool, string); [x] is a list, {..} a struct.
Type: TypeAlias = Any

SCHEMA_VERSION = 1

MESSAGE = {"role": "string", "content": "string"}
FLAGGED = MESSAGE | {"train": "bool", "weight": "int64"}
NODE = {
    "parent": "int64",
    "response": "string",
    "action": "string",
    "observation": "string",
    "reward": "float64",
    "stop": "string",
    "visits": "int64",
    "total_return": "float64",
    "verdict": "string",
    "reasoning": "string",
    "effect": "string",
}
# Columns, and fields of a list's structs, that came later: older files of this schema lack them,
# and where nothing is in them a row is what it was without.
LATER = {
    "sft": (
        "reasoning",
        "tokens",
        "error_kind",
        "witnesses",
        "bad_leaf",
        "good_leaf",
        "error_node",
    ),
    "preference": ("error_kind", "value_chosen", "value_rejected"),
    "critique": ("proved", "proved_by"),
    "trees": ("nodes.reasoning", "nodes.effect"),
}

_ORIGIN = {
    "env": ("string", "the world"),
    "env_version": ("string", "the world's version: the same actions give the same observations"),
    "task": ("string", "the task's name in that world"),
    "task_digest": ("string", "of the world's instruction and the task's first text, as shown"),
    "split": ("string", "`train`, or `validation`: whole tasks that are kept from training"),
    "depth": ("int64", "how deep the task is, as the world counts; 0 where it cannot say"),
    "iteration": ("int64", "the iteration of Agent-R that made the row, from 1"),
    "actor": ("string", "the model that explored and judged"),
    "prompt_digest": ("string", "of all prompts of ours: the judge's, and the revision signals"),
}
_TREE = {"tree": ("string", "the `trees` row that it was cut from")}

SCHEMAS: dict[str, dict[str, tuple[Type, str]]] = {
    "sft": {
        "id": ("string", "a digest of the content"),
        "messages": (
            [FLAGGED],
            "the conversation, ending with a reply; the loss falls where `train` is true",
        ),
        "final_observation": ("string", "what the world answered to the last reply"),
        "kind": ("string", "`revision`, `interleaved` or `good`"),
        **_ORIGIN,
        **_TREE,
        "reward": (
            "float64",
            "measured by executing the row, in [0, 1]; assumed where `verified` is false",
        ),
        "verified": ("bool", "the row was executed and reached alpha"),
        "steps": ("int64", "replies in the row"),
        "tokens": (
            "int64",
            "of the conversation, by the actor's own tokenizer and chat template; empty where they "
            "were not at hand",
        ),
        "parts": (
            ["string"],
            "per reply: initial, bad, signal or good; several are bad in `interleaved`",
        ),
        "reasoning": (["string"], "per reply: what was thought before it; empty where nothing"),
        "fork_step": ("int64", "replies that the bad and the good trajectory share"),
        "error_step": ("int64", "position of the first wrong reply in this row, from 0"),
        "error_kind": (
            "string",
            "what sort of mistake it is, by replay: no effect, too early, wrong count, repeated, "
            "silent waste, setback or dead end; null where nothing is proved",
        ),
        "localiser": (
            "string",
            "what found it: actor, value, both, vote, replay, witnesses or direct",
        ),
        "agrees_with_value": (
            "bool",
            "the tree's value falls most within `agreement_tolerance` steps of it",
        ),
        "witnesses": (["string"], "of actor, value and replay, those that call that step wrong"),
        "judge_text": ("string", "what the actor said of that step"),
        "signal_source": ("string", "critique, proof, template, none, or recovery"),
        "reward_bad": ("float64", "final reward of the bad trajectory"),
        "reward_good": ("float64", "final reward of the good trajectory"),
        "bad_leaf": ("int64", "where the bad trajectory ends, among the nodes of its tree"),
        "good_leaf": ("int64", "where the good trajectory ends"),
        "error_node": ("int64", "where the first wrong step led"),
    },
    "prompt_completion": {
        "id": ("string", "the `sft` row's id and the number of the reply"),
        "prompt": ([MESSAGE], "all that comes before the reply"),
        "completion": ([MESSAGE], "the reply, the only thing trained"),
        "kind": ("string", "`revision`, `interleaved` or `good`"),
        "sft_id": ("string", "the `sft` row, which has the rest of what is known"),
        **_ORIGIN,
        **_TREE,
        "reward": ("float64", "of the whole trajectory"),
    },
    "preference": {
        "id": ("string", "a digest of the content"),
        "prompt": ([MESSAGE], "the conversation up to where the two part"),
        "chosen": ([MESSAGE], "the next reply of a way that reaches the goal"),
        "rejected": ([MESSAGE], "the error"),
        **_ORIGIN,
        **_TREE,
        "fork_step": ("int64", "steps before the two part"),
        "error_kind": ("string", "what sort of mistake `rejected` is, as in `sft`"),
        "value_chosen": (
            "float64",
            "mean reward of what the tree holds beyond `chosen`; where it holds nothing, the "
            "reward that a replay measured",
        ),
        "value_rejected": ("float64", "the same of `rejected`"),
        "reward_chosen": ("float64", "final reward of the good trajectory"),
        "reward_rejected": ("float64", "final reward of the bad trajectory"),
    },
    "critique": {
        "id": ("string", "a digest of the content"),
        "messages": ([FLAGGED], "the judge's prompt and its judgement"),
        "verdict": ("string", "Good, Bad or Uncertain"),
        "agrees_with_value": ("bool", "Bad just where the tree's value falls most"),
        "proved": ("string", "Good or Bad, where replay has proved what the step is; else null"),
        "proved_by": ("string", "replay, or null"),
        **_ORIGIN,
        **_TREE,
        "step": ("int64", "position of the judged step, from 0"),
    },
    "trees": {
        "id": ("string", "a digest of the content"),
        **_ORIGIN,
        "seed": ("int64", "of the tree's own random choices"),
        "calls": ("int64", "completion requests that the search made"),
        "env_steps": ("int64", "actions that the world answered"),
        "prompt_tokens": ("int64", "that the search sent; 0 where the endpoint does not count"),
        "completion_tokens": ("int64", "that came back"),
        "nodes": ([NODE], "all nodes; `parent` is an index into this list"),
    },
}

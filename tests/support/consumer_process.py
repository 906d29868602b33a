"""Run snippets of docs/datasets.md as they stand, and tell what they made of the rows.

A process of its own: the Hub's clients read their settings when they are imported, and trainers
take seconds to import. In: `{"names": …, "snippets": {title: code}}`; out: `{title: facts}`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

Names = dict[str, Any]


def loaded(names: Names) -> dict[str, Any]:
    rows, revisions = names["rows"], names["revisions"]
    return {
        "ids": rows["id"][:],
        "columns": rows.column_names,
        "revisions": revisions["id"][:],
        "streamed": [row["id"] for row in names["stream"]],
    }


def streamed(names: Names) -> dict[str, Any]:
    first = list(islice(names["stream"], 2))
    kept = [p for p in Path(os.environ["HF_HOME"]).rglob("*") if p.suffix in (".parquet", ".arrow")]
    return {"first": first, "kept": [path.name for path in kept]}


def framed(names: Names) -> dict[str, Any]:
    rows, recovered = names["rows"], names["recovered"]
    return {
        "ids": rows["id"].tolist(),
        "contents": [m["content"] for m in rows["messages"][0]],
        "recovered": int(recovered["count"].sum()),
    }


def supervised(names: Names) -> dict[str, Any]:
    trainer = names["trainer"]
    decode = trainer.processing_class.decode
    rows = [
        {
            "id": row["id"],
            "text": decode(row["input_ids"]),
            "trained": [decode(span) for span in spans(row["input_ids"], row["labels"])],
        }
        for row in trainer.train_dataset
    ]
    return {"rows": rows, "gates": gates(names), **progress(trainer)}


def spans(ids: list[int], labels: list[int]) -> list[list[int]]:
    """The runs of tokens that carry a loss."""
    found: list[list[int]] = [[]]
    for token, label in zip(ids, labels, strict=True):
        if label == -100:
            found.append([])
        else:
            assert label == token
            found[-1].append(token)
    return [span for span in found if span]


def preferred(names: Names) -> dict[str, Any]:
    trainer = names["trainer"]
    decode = trainer.processing_class.decode
    columns = {"prompt": "prompt_ids", "chosen": "chosen_ids", "rejected": "rejected_ids"}
    rows = [
        {"id": row["id"]} | {name: decode(row[ids]) for name, ids in columns.items()}
        for row in trainer.train_dataset
    ]
    return {"rows": rows, **progress(trainer)}


def progress(trainer: Any) -> dict[str, Any]:
    return {"steps": trainer.state.global_step, "loss": trainer.state.log_history[-1]["train_loss"]}


def gates(names: Names) -> dict[str, str]:
    """What the snippet's gate does with each training template that TRL has."""
    if "GATED" not in names:
        return {}
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    return {
        path.name.removesuffix("_training.jinja"): gate(names, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*_training.jinja"))
    }


def gate(names: Names, template: str) -> str:
    gated = re.sub(names["TRAINED"], names["GATED"], template, flags=re.DOTALL)
    said = []
    for content in (str, lambda text: [{"type": "text", "text": text}]):  # the latter: with images
        talk = [("user", "u", False), ("assistant", "error", False)]
        talk += [("user", "v", False), ("assistant", "recovery", True)]
        messages = [{"role": r, "content": content(c), "train": t} for r, c, t in talk]
        try:
            text, _ = rendered(names["tokenizer"], template, messages)
            same, trained = rendered(names["tokenizer"], gated, messages)
        except Exception as error:  # noqa: BLE001 (whatever a template does)
            said.append(str(error))
            continue
        if "recovery" in trained:
            return "gated" if same == text and "error" not in trained else "leaks"
    return said[0]


def rendered(tokenizer: Any, template: str, messages: list[Any]) -> tuple[str, str]:
    """All the text, and the part that is trained."""
    made = tokenizer.apply_chat_template(
        messages, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = made["input_ids"], made["assistant_masks"]
    trained = [token for token, on in zip(ids, mask, strict=True) if on]
    return tokenizer.decode(ids), tokenizer.decode(trained)


def small_steps() -> None:
    """Two steps on the CPU; all else is as the snippet says."""
    import trl

    small = {"use_cpu": True, "max_steps": 2, "report_to": "none", "save_strategy": "no"}
    for name in ("SFTConfig", "DPOConfig"):
        setattr(trl, name, partial(getattr(trl, name), per_device_train_batch_size=2, **small))


FACTS = {
    "Load, stream, filter": loaded,
    "stream": streamed,
    "pandas": framed,
    "TRL: one row a reply": supervised,
    "TRL: whole trajectories": supervised,
    "TRL: preferences": preferred,
    "critique": supervised,
}


def main() -> None:
    asked = json.load(sys.stdin)
    if any("trl" in code for code in asked["snippets"].values()):
        small_steps()
    told = {}
    for title, code in asked["snippets"].items():
        names = dict(asked["names"])
        exec(compile(code, title, "exec"), names)
        told[title] = FACTS[title](names)
    Path(asked["out"]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A job's rows as a provider reads them: chat lines, with a weight of 0 on what is not trained."""

from __future__ import annotations

import json
from typing import NamedTuple

from agent_r.dataset.formats.chat_lines import openai_row
from agent_r.errors import TrainerError
from agent_r.training.backends.elsewhere.outgoing import outgoing
from agent_r.training.backends.train_job import TrainJob


class RowCounts(NamedTuple):
    """Rows drawn, and of these the ones that are left out: no reply of them is trained."""

    rows: int
    untrained: int


def chat_file(job: TrainJob) -> tuple[bytes, RowCounts]:
    """The file that goes up, JSON lines in order of training.

    The format: developers.openai.com/api/docs/guides/supervised-fine-tuning.

    Raises:
        TrainerError: there is nothing to train on, or a row must not leave this machine.
    """
    lines: list[str] = []
    rows = [json.loads(line)["messages"] for line in outgoing(job)]
    for messages in rows:
        weighed = [m | {"weight": int(bool(m.get("train")))} for m in messages]
        replies = [at for at, m in enumerate(weighed) if m["role"] == "assistant"]
        if any(weighed[at]["weight"] for at in replies):
            whole = weighed[: replies[-1] + 1]  # a row must end with a reply
            lines.append(json.dumps(openai_row({"messages": whole}), ensure_ascii=False) + "\n")
    if not lines:
        raise TrainerError(f"no row can be trained on: none of {len(rows)} has a trained reply")
    return "".join(lines).encode(), RowCounts(len(rows), len(rows) - len(lines))

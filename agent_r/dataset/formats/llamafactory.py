"""What LLaMA-Factory must know of the files that are exported for it."""

from __future__ import annotations

_COLUMNS = {"messages": "messages"}
_RANKED = _COLUMNS | {"chosen": "chosen", "rejected": "rejected"}
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "system_tag": "system",
    "user_tag": "user",
    "assistant_tag": "assistant",
}
# Its `openai` formatting would add a line to every system message; `sharegpt` changes nothing.
_SHAREGPT = {"formatting": "sharegpt", "tags": _TAGS}
# LLaMA-Factory knows no flag on a message: one row a reply, and all before it masked by a setting
# of the run. The data set's name says so, since without the setting mistakes would be learnt.
LLAMAFACTORY_INFO = {
    "agent_r_sft_mask_history": {"file_name": "sft.jsonl", "columns": _COLUMNS, **_SHAREGPT},
    "agent_r_preference": {
        "file_name": "preference.jsonl",
        "ranking": True,
        "columns": _RANKED,
        **_SHAREGPT,
    },
}

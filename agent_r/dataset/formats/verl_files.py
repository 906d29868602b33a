"""Write the files of verl, and the class that makes it train what a row says."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from agent_r.algorithm.rows import Row
from agent_r.files import write_bytes

_GROUP = 1000  # rows in memory at once
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("loss_mask", pa.int64())])
_SCHEMA = pa.schema([("id", pa.string()), ("messages", pa.list_(_MESSAGE))])
# verl trains every reply of a conversation, and lets a run name a data set class of its own.
VERL_CLASS = '''"""For verl's SFT trainer: only the replies with `loss_mask` 1 are trained.

    data.custom_cls.path=agent_r_verl.py data.custom_cls.name=MaskedSFTDataset
"""

from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset


class MaskedSFTDataset(MultiTurnSFTDataset):
    def _process_single_message(self, index, message, *args, **kwargs):
        tokens, mask, *others = super()._process_single_message(index, message, *args, **kwargs)
        return tokens, mask * int(message["loss_mask"]), *others
'''


def write_verl(folder: Path, rows: Iterable[Row]) -> int:
    """Write `sft` rows as verl's conversations, with the class beside them; how many there were."""
    write_bytes(folder / "agent_r_verl.py", VERL_CLASS.encode())
    written, left = 0, iter(rows)
    with pq.ParquetWriter(folder / "sft.parquet", _SCHEMA) as file:
        while group := [_conversation(row) for row in islice(left, _GROUP)]:
            file.write_table(pa.Table.from_pylist(group, _SCHEMA))
            written += len(group)
    return written


def _conversation(row: Row) -> Row:
    messages = [
        {"role": m["role"], "content": m["content"], "loss_mask": int(m["train"])}
        for m in row["messages"]
    ]
    return {"id": row["id"], "messages": messages}

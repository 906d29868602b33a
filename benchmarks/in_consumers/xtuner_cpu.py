"""xtuner's trainer on a CPU, with the tokens of every row of its config kept in $TOKENS."""

import json
import os
import sys
from pathlib import Path

import torch
from mmengine.config import Config

torch.cpu.is_bf16_supported = lambda: False  # what it asks of any device
from xtuner.registry import BUILDER  # noqa: E402
from xtuner.tools.train import main  # noqa: E402

with Path(os.environ["TOKENS"]).open("w", encoding="utf-8") as kept:
    for row in BUILDER.build(Config.fromfile(sys.argv[1]).train_dataset):
        kept.write(json.dumps({name: row[name] for name in ("input_ids", "labels")}) + "\n")
main()

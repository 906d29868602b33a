"""In place of the training script: trains nothing, and puts the model that it starts from again.

It says of two steps and waits where it is told to, until a file is there; then it goes on.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import time

from huggingface_hub import HfApi

parser = argparse.ArgumentParser()
for name in ("model", "dataset"):
    parser.add_argument("--" + name)
asked = parser.parse_args()
rows = pathlib.Path(asked.dataset).read_text().splitlines()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


say(f"my token is {os.environ['HF_TOKEN']}")
for step in (1, 2):
    say(json.dumps({"step": step, "of": 2, "loss": 2 / step}))
while "WAITS_FOR" in os.environ and not pathlib.Path(os.environ["WAITS_FOR"]).exists():
    time.sleep(0.01)
if "FAILS" in os.environ:
    sys.exit("train: no row can be trained on")
shutil.copytree(asked.model, "trained")
kept = {"digest": "its own", "rows": len(rows), "seconds": 1.0, "steps": 2, "tokens": 9}
pathlib.Path("trained/done.json").write_text(json.dumps(kept))
hub = HfApi()
hub.create_repo("acme/actor", private=True, exist_ok=True)
done = hub.upload_folder(repo_id="acme/actor", folder_path="trained", commit_message="Fine-tuned")
say(f"published: acme/actor@{done.oid}")

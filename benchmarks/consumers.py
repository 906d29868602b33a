"""What five trainers read of a published version, told by their own loaders.

Each gets a virtual environment of its own (2 to 4 GB), its pinned release with the dependencies
that this names, and the settings of docs/datasets.md with what a run needs besides: a model, a
folder. All train two steps on the CPU, and the tokens with their labels are compared with the
rows: a row is right when what is trained in it is exactly the replies that should be, each to its
end-of-turn token, and when all of its messages are there.
The version is published to a Hub on loopback first; axolotl reads it there, at its tag, the others
read what `agent-r export` writes. Rows of the table that leave out what masks show what it is for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from consumer_code import ms_swift, verl, xtuner  # noqa: E402
from consumer_kit import HEAD  # noqa: E402
from consumer_yaml import axolotl, llamafactory  # noqa: E402

from tests.dataset.test_consumers import PUBLISH, REPO  # noqa: E402
from tests.support.hub_server import LoopbackHub  # noqa: E402

CONSUMERS = {
    "axolotl": axolotl,
    "llamafactory": llamafactory,
    "ms-swift": ms_swift,
    "verl": verl,
    "xtuner": xtuner,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", type=Path, help="folder of a dataset version")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the environments")
    parser.add_argument("--only", nargs="+", choices=CONSUMERS, help="all of them without this")
    arguments = parser.parse_args()
    asked = [CONSUMERS[name] for name in arguments.only or CONSUMERS]
    version = arguments.version.resolve()
    own = {"OMP_NUM_THREADS": "1", "AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1"}
    rows = json.loads((version / "manifest.json").read_text(encoding="utf-8"))["rows"]
    print(f"{version.name}: {rows}\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as scratch, LoopbackHub(Path(scratch) / "hub") as hub:
        folder = Path(scratch)
        env = hub.client_env(folder / "home") | own
        publish = [sys.executable, "-c", PUBLISH, str(version), REPO, hub.url, env["HF_TOKEN"]]
        subprocess.run(publish, env=env, cwd=ROOT, check=True)
        for consumer in asked:
            for line in consumer(version, folder, arguments.cache.resolve(), env):
                print(line, flush=True)
    print(
        "right: rows in which exactly the replies that should be are trained, and all that comes "
        "before is there"
    )


if __name__ == "__main__":
    main()

"""Load a published version as a stranger would: another process, an empty cache, by commit.

Run as a script it is that stranger: a question as JSON comes in, an answer as JSON goes out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from agent_r.algorithm.schema import SCHEMAS
from agent_r.config import process_environment
from agent_r.errors import HubError, HubUnavailable
from agent_r.files import scratch_folder
from agent_r.hub.repository import Hub, clean
from agent_r.hub.web_page import WebPage, session

LOAD_TIMEOUT_S = 600.0
PASSING = 75  # EX_TEMPFAIL of sysexits.h: try again
OTHER_CACHES = ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HUGGINGFACE_HUB_CACHE")


def load_back(hub: Hub, commit: str, rows: dict[str, int]) -> None:
    """Stream the first rows of every config with `datasets`, from the Hub, at a commit.

    Raises:
        HubUnavailable: it did not come through.
        HubError: it came through, and is not what was published.
    """
    question = {
        "repo": hub.repo,
        "commit": commit,
        "token": hub.token.get_secret_value(),  # by the pipe: a command line can be read by all
        "rows": rows,
    }
    with scratch_folder() as folder:
        home = question["home"] = str(folder)
        # `datasets` reads the Hub's address once, when it is imported.
        settings = {
            "HF_HOME": home,
            "HF_ENDPOINT": hub.api.endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "agent_r.hub.load_check"],
                env=process_environment(settings, without=OTHER_CACHES),
                input=json.dumps(question),
                capture_output=True,
                text=True,
                timeout=LOAD_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HubError(f"{hub.url} could not be loaded in {LOAD_TIMEOUT_S:g} s") from None
    if done.returncode:
        reason = clean(hub, (done.stderr.strip().splitlines() or ["no word"])[-1])[:300]
        failure = HubUnavailable if done.returncode == PASSING else HubError
        raise failure(f"{hub.url} could not be loaded back: {reason}")
    problems = json.loads(done.stdout)
    if problems:
        raise HubError(f"{hub.url} cannot be loaded as it should be: {problems[0]}")


def problems(question: dict[str, Any]) -> list[str]:
    """What a consumer would stumble over."""
    from datasets import load_dataset

    found = []
    for config, expected in question["rows"].items():
        rows = load_dataset(
            question["repo"],
            config,
            split="train",
            revision=question["commit"],
            token=question["token"] or False,
            streaming=True,
        )
        if list(rows.features or ()) != list(SCHEMAS[config]):
            found.append(f"{config} has the columns {list(rows.features or ())}")
        first = next(iter(rows), None)
        if (first is None) != (expected == 0):
            found.append(f"{config} should have {expected} rows")
    return found


def main() -> int:
    """Answer the question; what may pass has an exit code of its own."""
    import httpx2

    question = json.load(sys.stdin)
    session()  # web pages are refused
    os.chdir(question["home"])  # a folder called like the repository would be loaded in its place
    try:
        json.dump(problems(question), sys.stdout)
    except (OSError, httpx2.TransportError) as error:  # also the Hub's own: they are OSErrors
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return PASSING
    except WebPage as page:
        sys.stderr.write(f"{page}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Arrow's readers may still be at work ahead of what was asked for: under load, an ordinary exit
    # ended one time in many with "terminate called without an active exception".
    os._exit(code)

"""`agent-r`: the same flows as a deployment runs, from a terminal.

Exit codes: 0 done, 1 a check failed, 2 a mistake of the user's or of an endpoint's (one line says
which), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, get_args

from agent_r import __version__
from agent_r.algorithm.schema import SCHEMA_VERSION
from agent_r.config import PRESETS, spare_loopback
from agent_r.dataset.formats import Format
from agent_r.errors import AgentRError, NothingMade
from flows.cli import commands as do
from flows.cli.deploy.deploy import run_deploy
from flows.cli.inspection import run_audit, run_check_template, run_scan, run_verify, run_view
from flows.cli.prefect_faults import prefect_fault
from flows.cli.runner import give_up, leave, say, show_progress

DESCRIPTION = """\
Turn an agent's own failures into training data that teaches it to recover (Agent-R).

A newcomer runs `agent-r self-train --config configs/demo.toml`: the whole loop with the embedded
model, in minutes.
With an endpoint of your own, put this into my.toml and run `agent-r try --config my.toml`:

    [endpoint]
    kind = "openai"
    base_url = "http://localhost:8000/v1"
    model = "my-model"                      # its key is read from $OPENAI_API_KEY

    [env]
    kind = "textcraft"
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; every mistake is one line on standard error."""
    arguments = parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.run
    show_progress()
    spare_loopback()
    try:
        return copy_context().run(command, arguments)  # how it calls flows ends with it
    except NothingMade as nothing:
        say([*nothing.lines, str(nothing)])
        return 1
    except AgentRError as error:
        print(f"agent-r: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        leave()
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to be flushed into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (fault := prefect_fault(error)) is None:
            raise
        give_up(fault)


def parser() -> argparse.ArgumentParser:
    """All commands; `--help` of each teaches it."""
    top = argparse.ArgumentParser(
        prog="agent-r", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"agent-r {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    command = _command(
        commands, "try", do.run_try, "an episode as it happens, and what your endpoint does wrong"
    )
    _settings(command)
    command.add_argument("--episodes", type=_natural, help="how many; one of each world")
    command.add_argument("--task", default="", help="the task to play, by its name")
    command.add_argument("--json", action="store_true", help="one JSON document, for scripts")

    command = _command(commands, "self-train", do.run_self_train, "the whole loop, all iterations")
    _settings(command)

    command = _command(
        commands, "collect", do.run_collect, "explore, critique, revise: one dataset"
    )
    _settings(command)
    _trees(command)
    command.add_argument(
        "--dry-run", action="store_true", help="grow a few trees, and say what all will cost"
    )
    command.add_argument("--sample", type=_natural, default=4, help="how many; they are kept")

    command = _command(
        commands, "grow", do.run_grow, "explore and revise only: one machine's share of the trees"
    )
    _settings(command)
    _trees(command)
    command.add_argument("--part", default="", help="which share: 3/16 is the third of sixteen")

    command = _command(commands, "train", do.run_train, "fine-tune on dataset versions")
    _settings(command)
    command.add_argument("versions", nargs="+", help="folders of versions, or owner/name@v1.3")
    command.add_argument("--iteration", type=_natural, default=1)
    command.add_argument("--model", default="", help="folder of the model to start from")

    command = _command(
        commands,
        "measure",
        do.run_measure,
        "success, pass@k, recovery and robustness on held-out tasks",
    )
    _settings(command)
    command.add_argument("--model", default="", help="folder of an embedded model to measure")
    command.add_argument(
        "--trained", type=_count, default=0, help="fine-tunings so far: {iteration} in its name"
    )
    command.add_argument("--json", action="store_true", help="one JSON document, for scripts")

    command = _command(
        commands, "compare", do.run_compare, "two measurements of the same tasks, pairwise"
    )
    command.add_argument("first", type=Path, help="a measurement's file, or a folder with one")
    command.add_argument("last", type=Path, help="another")
    command.add_argument("--json", action="store_true", help="one JSON document, for scripts")

    _dataset_commands(commands)

    command = _command(commands, "verify", run_verify, "execute every sft row of a dataset again")
    _version_of_worlds(command)

    command = _command(
        commands, "audit", run_audit, "how right a dataset is, by its worlds' own experts"
    )
    _version_of_worlds(command)
    command.add_argument("--json", action="store_true", help="one JSON document, for scripts")

    command = _command(
        commands, "check-env", do.run_check_env, "whether a world keeps what every world must keep"
    )
    command.add_argument(
        "world", metavar="SPEC", help="TOML with an [env], a kind (`textcraft`), or module:factory"
    )
    _set(command)
    command.add_argument("--seed", type=int, default=0, help="of the tasks and actions tried")
    command.add_argument("--episodes", type=_natural, default=3, help="how many are tried")
    command.add_argument("--timeout", type=_natural, default=60, help="seconds for one answer")

    _services(commands)
    return top


def _dataset_commands(commands: Any) -> None:
    """What is done with versions that are there."""
    command = _command(
        commands, "publish", do.run_publish, "bring a version to the Hugging Face Hub"
    )
    _settings(command)
    command.add_argument("version", help="folder of a dataset version")
    command.add_argument("--repo", help="owner/name, instead of the config's hub.repo")
    command.add_argument("--public", action="store_true", help="a repository that all can read")
    command.add_argument(
        "--accept-licence", action="store_true", help="though a world's licence may not allow it"
    )

    command = _command(
        commands, "scan", run_scan, "what of a version must not be published, and without it"
    )
    _settings(command)
    command.add_argument("path", type=Path, help="folder of a dataset version")
    ways = command.add_mutually_exclusive_group()
    for way, about in (
        ("drop", "write the next version without the rows that hold it"),
        ("redact", "write the next version with placeholders; rows are executed again"),
    ):
        ways.add_argument(f"--{way}", action="store_const", const=way, dest="way", help=about)

    command = _command(
        commands, "view", run_view, "a page to look at trees, judgements, rows and episodes"
    )
    command.add_argument(
        "path",
        type=Path,
        help="a version, a dataset's folder, a work folder, a tree's file; or a measurement",
    )
    command.add_argument("other", type=Path, nargs="?", help="a second measurement, beside it")
    command.add_argument("--task", default="", help="the trees or episodes of this task alone")
    command.add_argument("--out", type=Path, help="the page's file; it is not opened then")
    command.add_argument("--no-open", action="store_true", help="write it, and open no browser")

    command = _command(commands, "pull", do.run_pull, "fetch a version from the Hub, and check it")
    command.add_argument("address", help=f"owner/name@v{SCHEMA_VERSION}.3; owner/name: the newest")
    command.add_argument("--out", type=Path, help="instead of the config's dataset.out")
    _settings(command)

    command = _command(commands, "diff", do.run_diff, "what changed from one version to another")
    command.add_argument("before", type=Path, help="folder of a dataset version")
    command.add_argument("after", type=Path, help="folder of another")

    command = _command(commands, "merge", do.run_merge, "several versions as one, in given shares")
    command.add_argument("versions", type=Path, nargs="+", help="folders of dataset versions")
    command.add_argument("--into", type=Path, required=True, help="folder of the merged dataset")
    command.add_argument("--weights", type=float, nargs="+", default=[], help="shares of the rows")
    command.add_argument("--seed", type=int, default=0, help="of the choice of trees")
    command.add_argument("--repo", help="owner/name: number on from what the Hub has there")

    command = _command(commands, "export", do.run_export, "a version in another trainer's format")
    command.add_argument("version", type=Path, help="folder of a dataset version")
    command.add_argument("--format", choices=get_args(Format), required=True)
    command.add_argument("--out", type=Path, required=True, help="folder of the files")
    command.add_argument(
        "--merge-system",
        action="store_true",
        help="the instruction in the first user turn, for a template without a system message",
    )

    command = _command(
        commands, "train-script", do.run_train_script, "a version's training in one file of its own"
    )
    _settings(command)
    command.add_argument("version", help="folder of a dataset version, or owner/name@v1.3")
    command.add_argument("--model", default="", help="the model to start from: a folder or a name")
    command.add_argument("-o", "--out", type=Path, default=Path("train.py"), help="the file")

    command = _command(
        commands, "check-template", run_check_template, "how rows come out with a chat template"
    )
    command.add_argument("model", help="a model's folder, or its name on the Hub")
    command.add_argument("version", type=Path, nargs="?", help="folder of a dataset version")
    command.add_argument("--rows", type=_natural, default=1_000, help="how many are rendered")


def _services(commands: Any) -> None:
    """What serves runs: Prefect, and the embedded model."""
    command = _command(
        commands, "deploy", run_deploy, "set a Prefect server up: pool, blocks, deployments"
    )
    command.add_argument(
        "--file", type=Path, default=Path("prefect.yaml"), help="instead of this folder's"
    )

    command = _command(
        commands, "serve", do.run_serve, "serve an embedded model, OpenAI-compatible"
    )
    command.add_argument("model", type=Path, nargs="?", help="model folder; empty: the packaged")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8399, help="0: one that is free")
    command.add_argument("--threads", type=_natural, default=2)

    command = _command(commands, "warm-start", do.run_warm_start, "make the embedded model anew")
    command.add_argument("--out", type=Path, required=True, help="folder of the new model")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--heads", type=_natural, default=5, help="width, in heads of 32 numbers")
    command.add_argument("--layers", type=_natural, default=3)
    command.add_argument("--episodes", type=_natural, default=3500, help="that it is shown")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    return command


def _settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, help="TOML file; all settings have defaults")
    command.add_argument("--preset", default="default", help=f"one of: {', '.join(PRESETS)}")
    command.add_argument("--seed", type=int, help="instead of the config's")
    command.add_argument("--name", help="name of the dataset, instead of the config's")
    _set(command)


def _set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting, instead of the config's: search.simulations=4; any number of times",
    )


def _trees(command: argparse.ArgumentParser) -> None:
    command.add_argument("--iteration", type=_natural, default=1, help="from 1; it picks the tasks")
    command.add_argument("--model", default="", help="folder of an embedded model to use")


def _version_of_worlds(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", type=Path, help="folder of a dataset version")
    command.add_argument(
        "--config", type=Path, help="TOML whose [env] knows the world's address, folder, arguments"
    )
    _set(command)


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1")
    return int(text)


def _count(text: str) -> int:
    return 0 if text == "0" else _natural(text)


if __name__ == "__main__":
    sys.exit(main())

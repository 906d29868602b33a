"""`agent-r`: the same flows as a deployment runs, from a terminal.

Exit codes: 0 done, 1 a check failed, 2 a mistake of the user's or of an endpoint's (one line says
which), 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

from agent_r import __version__
from agent_r.config import PRESETS, Config, load, quiet_prefect
from agent_r.errors import AgentRError

INTERRUPTED = 130
GRACE_S = 5.0  # for Prefect to note that a run was cancelled

DESCRIPTION = """\
Turn an agent's own failures into training data that teaches it to recover (Agent-R).

A newcomer runs `agent-r self-train --config demo.toml`: the whole loop with the embedded model.
With an endpoint of your own, put this into my.toml and run `agent-r collect --config my.toml`:

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
    try:
        return command(arguments)
    except AgentRError as error:
        print(f"agent-r: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        leave()


def leave() -> NoReturn:
    """End at once, with one line: Prefect would spend minutes telling a stopped server of it.

    A Ctrl-C reaches the embedded server too. The model's server and the trainer end with us.
    """
    embedded = sys.modules.get("prefect.server.api.server")
    for server in list(embedded.SubprocessASGIServer._instances.values()) if embedded else ():
        server.stop()
    print("agent-r: stopped. What is finished is kept: the same command goes on from here.",
          file=sys.stderr, flush=True)  # fmt: skip
    os._exit(INTERRUPTED)


def parser() -> argparse.ArgumentParser:
    """All commands; `--help` of each teaches it."""
    top = argparse.ArgumentParser(
        prog="agent-r", description=DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"agent-r {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    command = _command(commands, "self-train", run_self_train, "the whole loop, all iterations")
    _settings(command)

    command = _command(commands, "collect", run_collect, "explore, critique, revise: one dataset")
    _settings(command)
    command.add_argument("--iteration", type=_natural, default=1, help="from 1; it picks the tasks")
    command.add_argument("--model", default="", help="folder of an embedded model to use")

    command = _command(commands, "train", run_train, "fine-tune on dataset versions")
    _settings(command)
    command.add_argument("versions", nargs="+", help="folders of dataset versions")
    command.add_argument("--iteration", type=_natural, default=1)
    command.add_argument("--model", default="", help="folder of the model to start from")

    command = _command(commands, "measure", run_measure, "success and recovery on held-out tasks")
    _settings(command)
    command.add_argument("--model", default="", help="folder of an embedded model to measure")

    command = _command(commands, "verify", run_verify, "execute every row of a dataset again")
    command.add_argument("path", type=Path, help="folder of a dataset version")
    command.add_argument("--recipes", default="", help="TextCraft: folder of recipe files")

    command = _command(commands, "serve", run_serve, "serve an embedded model, OpenAI-compatible")
    command.add_argument("model", type=Path, nargs="?", help="model folder; empty: the packaged")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8399, help="0: one that is free")
    command.add_argument("--threads", type=_natural, default=2)

    command = _command(commands, "warm-start", run_warm_start, "make the embedded model anew")
    command.add_argument("--out", type=Path, required=True, help="folder of the new model")
    command.add_argument("--seed", type=int, default=0)
    return top


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], about: str
) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    made.set_defaults(run=run)
    return made


def _settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, help="TOML file; all settings have defaults")
    command.add_argument("--preset", default="default", help=f"one of: {', '.join(PRESETS)}")
    command.add_argument("--seed", type=int, help="instead of the config's")
    command.add_argument("--name", help="name of the dataset, instead of the config's")


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1")
    return int(text)


def settings(arguments: argparse.Namespace) -> Config:
    """The config that a command's arguments ask for."""
    over: dict[str, Any] = {}
    if arguments.seed is not None:
        over["seed"] = arguments.seed
    if arguments.name is not None:
        over["dataset"] = {"name": arguments.name}
    return load(arguments.config, preset=arguments.preset, over=over)


def run_self_train(arguments: argparse.Namespace) -> int:
    """Measure, collect, train, again: then a table."""
    config = settings(arguments)
    flow_ready(config, trains=True)
    from flows.self_train import self_train
    from flows.show import show_report

    show_report(run(self_train(config)), config)
    return 0


def run_collect(arguments: argparse.Namespace) -> int:
    """Write one dataset version."""
    config = settings(arguments)
    config.revision_at(arguments.iteration)  # a schedule that is too short is found out now
    flow_ready(config)
    from flows.collect import collect

    collected = run(collect(config, arguments.iteration, arguments.model, arguments.iteration - 1))
    built = collected.built
    print(f"{built.dataset.path}: {built.counts.get('revisions', 0)} revisions, "
          f"{built.counts.get('good', 0)} good, dropped {built.drops or 'none'}")  # fmt: skip
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """Fine-tune on dataset versions."""
    config = settings(arguments)
    flow_ready(config, trains=True)
    from flows.train import train

    trained = run(train(arguments.versions, config, arguments.iteration, arguments.model))
    print(f"{trained.model}: {trained.rows}, loss {trained.loss_first} → {trained.loss_last}")
    return 0


def run_measure(arguments: argparse.Namespace) -> int:
    """Print success and recovery."""
    config = settings(arguments)
    flow_ready(config)
    from flows.measure import measure

    measured = run(measure(config, arguments.model))
    print(f"{measured.actor}: success {measured.success} of {measured.success.n}, "
          f"recovery {measured.recovery} of {measured.recovery.n}")  # fmt: skip
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Execute a dataset again; 1 where a row differs."""
    from agent_r.services.audit import audit
    from env_adapters import env_of_manifest

    result = asyncio.run(audit(arguments.path, env_of_manifest, recipes=arguments.recipes))
    for line in result.problems[:20]:
        print(line, file=sys.stderr)
    unverified = f", {result.unverified} were published unverified" if result.unverified else ""
    print(
        f"{arguments.path}: {result.rows} rows executed, {len(result.problems)} differ{unverified}"
    )
    return 1 if result.problems else 0


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from agent_r.services.local_model.process import PACKAGED, model_name

    folder = arguments.model or PACKAGED
    name = model_name(folder)
    from agent_r.services.local_model.server import serve

    with contextlib.suppress(KeyboardInterrupt):  # how a server is meant to end
        serve(
            folder, model=name, host=arguments.host, port=arguments.port, threads=arguments.threads
        )
    return 0


def run_warm_start(arguments: argparse.Namespace) -> int:
    """Train the embedded model from nothing."""
    from flows.checkpoint import make_checkpoint

    run(make_checkpoint(arguments.out, seed=arguments.seed))
    return 0


def flow_ready(config: Config, *, trains: bool = False) -> None:
    """All that can be known to be wrong, before Prefect is started."""
    from flows.preflight import preflight

    preflight(config, trains=trains)
    quiet_prefect(Path(".prefect"))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; SIGTERM ends it like Ctrl-C, so that a stopped container stops cleanly."""

    async def watched() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, loop, task)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def stop(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancel what runs, and wait for it only so long."""
    task.cancel()
    loop.call_later(GRACE_S, leave)


def show_progress() -> None:
    """Progress on standard error: one line that is rewritten on a terminal, else line by line."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("agent_r")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


if __name__ == "__main__":
    sys.exit(main())

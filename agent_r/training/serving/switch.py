"""Have a server serve a newly trained model, by its own routes or by a command of the user's."""

from __future__ import annotations

import asyncio
import shlex
import time
from asyncio.subprocess import DEVNULL
from pathlib import Path

from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.settings import OpenAIEndpoint
from agent_r.settings.serving import ServingConfig
from agent_r.training.backends.train_job import report_in
from agent_r.training.serving.adapter_servers import AdapterServer
from agent_r.training.serving.names import adapter_name

FIRST_S, MOST_S = 0.2, 10.0  # between two looks at a server that is about to come


async def switch(endpoint: OpenAIEndpoint, folder: Path, server: AdapterServer) -> None:
    """See to it that the server serves the model of a folder under `endpoint.model`.

    A server that has it already is left alone: whoever comes first does it.

    Raises:
        TrainerError: it cannot, in one line that says what to change.
        TrainerUnavailable: it does not answer in time.
    """
    serving, report = endpoint.serving, report_in(folder)
    if serving is None or report is None:
        return
    if serving.by == "command":  # of a provider that wants a deployment, too
        await _by_command(serving, endpoint.model, folder, server)
        return
    if report.model.served == "name":
        return
    if report.model.served != "adapter":
        raise TrainerError(
            f"{folder} is a whole model, and {serving.by} loads adapters: train one (with TRL, "
            "train.trl.lora.merge = false), or set endpoint.serving.by = 'command'"
        )
    path = serving.path.replace("{folder}", str(folder.absolute())).replace("{name}", folder.name)
    path = path.replace("{repo}", report.model.repo.partition("@")[0])
    await server.load(adapter_name(endpoint), path)


async def _by_command(
    serving: ServingConfig, model: str, folder: Path, server: AdapterServer
) -> None:
    """Run the command, unless the server has the model; then wait until it has."""
    try:
        if model in await server.loaded():
            return
    except TrainerUnavailable:
        pass  # it is to be started
    words = [
        word.replace("{folder}", str(folder.absolute())).replace("{model}", model)
        for word in shlex.split(serving.command)
    ]
    await _run(words, folder.with_name(folder.name + ".serving.log"))
    await until_served(model, server, serving.wait_s)


async def _run(words: list[str], log: Path) -> None:
    """Run a command to its end; what it leaves at work, the server for one, goes on."""
    try:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
            code = await process.wait()
    except OSError as error:
        raise TrainerError(f"cannot start endpoint.serving.command: {error}") from error
    if code:
        raise TrainerError(
            f"endpoint.serving.command has failed ({code}): what it said is in {log}"
        )


async def until_served(model: str, server: AdapterServer, wait_s: float) -> None:
    """Wait until a server lists a model."""
    until, wait, reason = time.monotonic() + wait_s, FIRST_S, ""
    while True:
        try:
            known = await server.loaded()
            if model in known:
                return
            reason = f"it has {', '.join(known) or 'none'}"
        except TrainerUnavailable as error:
            reason = str(error)
        if time.monotonic() + wait > until:
            raise TrainerError(
                f"endpoint.serving.command has ended, and {server.base_url} does not serve "
                f"{model} within {wait_s:g} s: {reason}"
            )
        await asyncio.sleep(wait)
        wait = min(2 * wait, MOST_S)

"""What each command of `agent-r` does; the parser and the process around it are in `cli`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import Any

from agent_r.collection.plan import part_of
from agent_r.config import load, overrides, parse
from agent_r.config import merge as merge_settings
from agent_r.dataset.view.command import hint
from agent_r.errors import ConfigError
from agent_r.reading.folding import Fold
from agent_r.settings import Config
from flows.cli.prefect_defaults import quiet_prefect
from flows.cli.prefect_faults import check_server
from flows.cli.runner import run


def settings(arguments: argparse.Namespace, always: dict[str, Any] | None = None) -> Config:
    """The config that a command's arguments ask for; `always` is what the command itself sets."""
    over = merge_settings(overrides(arguments.set), always or {})
    if arguments.seed is not None:
        over["seed"] = arguments.seed
    if arguments.name is not None:
        over = merge_settings(over, {"dataset": {"name": arguments.name}})
    return load(arguments.config, preset=arguments.preset, over=over)


def run_self_train(arguments: argparse.Namespace) -> int:
    """Measure, collect, train, again: then a table."""
    config = settings(arguments)
    flow_ready(config)
    from flows.cli.results.report_table import show_report
    from flows.self_train import self_train

    show_report(run(self_train(config)), config)
    return 0


def run_collect(arguments: argparse.Namespace) -> int:
    """Write one dataset version."""
    config = settings(arguments)
    flow_ready(config, arguments.iteration, arguments.model, acts=True)
    if arguments.dry_run:
        from agent_r.collection.nights import Ground
        from flows.cli.cost_forecast import forecast

        iteration, trained = arguments.iteration, arguments.iteration - 1
        if config.continual:  # the ground that `collect` would take
            iteration, trained = Ground.ahead(config, "collect").first, 0
        sample = forecast(config, iteration, arguments.model, trained, arguments.sample)
        print("\n".join(run(sample)))
        return 0
    from agent_r.diagnostics.account import account_lines
    from flows.collect import collect
    from flows.states import nothing_new_line

    collected = run(collect(config, iteration=arguments.iteration, model=arguments.model))
    built = collected.built
    print("\n".join(account_lines(built.account)))
    if not collected.new:
        print(nothing_new_line([built.dataset.version]))
    print(f"{built.dataset.path}: {built.counts.get('revisions', 0)} revisions, "
          f"{built.counts.get('good', 0)} good, dropped {built.drops or 'none'}")  # fmt: skip
    print(hint(built.dataset.path))
    return 0


def run_grow(arguments: argparse.Namespace) -> int:
    """Explore and revise this machine's share of the trees."""
    config = settings(arguments)
    part_of([], arguments.part)
    iteration, model = arguments.iteration, arguments.model
    flow_ready(config, iteration, model, acts=True)
    from flows.grow import grow

    grown = run(grow(config, iteration=iteration, model=model, part=arguments.part))
    print(f"{grown.finished} of {grown.trees} trees are finished")
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """Fine-tune on dataset versions."""
    config = settings(arguments)
    flow_ready(config, arguments.iteration, arguments.model, trains=True,
               versions=arguments.versions)  # fmt: skip
    from flows.train import train

    trained = run(train(arguments.versions, config, arguments.iteration, arguments.model))
    print(f"{trained.model}: {trained.rows}, loss {trained.loss_first} → {trained.loss_last}")
    return 0


def run_train_script(arguments: argparse.Namespace) -> int:
    """Write the training of a version as one file that needs nothing of this package."""
    from agent_r.training.backends.trl_backend import script_values, start_of
    from agent_r.training.train_script import train_script, write_script
    from flows.run_context import RunContext
    from flows.versions import to_take_elsewhere

    config = settings(arguments, {"train": {"backend": "trl", "command": ""}})
    values = script_values(config.train) | {"seed": config.seed}
    values |= to_take_elsewhere(arguments.version, str(values["rows"]))
    values["model"] = start_of(RunContext.of(config, model=arguments.model).model_to_train)
    write_script(arguments.out, train_script(values))
    print(f"{arguments.out} trains {values['model']} on {values['rows']} rows of "
          f"{values['dataset']}: uv run {arguments.out}, or python {arguments.out}")  # fmt: skip
    return 0


def run_measure(arguments: argparse.Namespace) -> int:
    """Measure an actor; its tables, or one JSON document."""
    config = settings(arguments)
    flow_ready(config, arguments.trained + 1, arguments.model, acts=True)
    from flows.cli.results.measurement import show
    from flows.measure import measure, places_of
    from flows.run_context import RunContext

    measured = run(measure(config, model=arguments.model, trained=arguments.trained))
    places = places_of(RunContext.of(config, arguments.trained + 1, arguments.model))
    show(measured, config, file=places.file, episodes=places.episodes, as_json=arguments.json)
    return 0


def run_compare(arguments: argparse.Namespace) -> int:
    """Compare two measurements; 0 also where they differ."""
    from flows.cli.results.measurement import show_comparison

    show_comparison(arguments.first, arguments.last, as_json=arguments.json)
    return 0


def run_publish(arguments: argparse.Namespace) -> int:
    """Bring a version to the Hub."""
    config = settings(arguments)
    asked: dict[str, Any] = {"repo": arguments.repo} if arguments.repo else {}
    asked |= {"private": False} if arguments.public else {}
    asked |= {"accept_licence": True} if arguments.accept_licence else {}
    config = parse(merge_settings(config.model_dump(), {"hub": asked}), source="command line")
    if not config.hub.repo:
        raise ConfigError("no repository is named: --repo owner/name, or set hub.repo")
    flow_ready(config, publishes=True, versions=[arguments.version])
    from flows.publish import publish

    published = run(publish(arguments.version, config))
    print(f"{published.url}  (commit {published.commit[:12]})")
    return 0


def run_pull(arguments: argparse.Namespace) -> int:
    """Fetch a version from the Hub."""
    config = settings(arguments)
    from agent_r.hub.pull import Address, pull
    from flows.hub_client import hub_of

    address = Address.of(arguments.address)
    if address is None:
        raise ConfigError(f"'{arguments.address}' is no address like owner/name@v1.3")
    hub = asyncio.run(hub_of(config.hub, address.repo))
    out = arguments.out or Path(config.dataset.out)
    got = pull(hub, address.tag, out / address.repo.rpartition("/")[2])
    print(f"{got.path}: {got.rows}, digest {got.digest[:12]}")
    return 0


def run_diff(arguments: argparse.Namespace) -> int:
    """Print what changed between two versions; 0 also where they differ."""
    from agent_r.dataset.diff import describe, diff

    for line in describe(diff(arguments.before, arguments.after)):
        print(line)
    return 0


def run_merge(arguments: argparse.Namespace) -> int:
    """Write one version from several."""
    from agent_r.dataset.merge import merge

    merged = merge(
        arguments.versions,
        arguments.into,
        weights=arguments.weights,
        seed=arguments.seed,
        elsewhere=on_hub(arguments.repo) if arguments.repo else None,
    )
    print(f"{merged.path}: {merged.rows}, digest {merged.digest[:12]}")
    return 0


def on_hub(repo: str) -> dict[str, Any] | None:
    """The manifest of the newest version in a repository."""
    from agent_r.hub.pull import newest_published
    from flows.hub_client import hub_of

    settings = parse({"hub": {"repo": repo}}, source="--repo").hub
    return newest_published(asyncio.run(hub_of(settings)))


def run_export(arguments: argparse.Namespace) -> int:
    """Write the file that another trainer reads."""
    from agent_r.dataset.formats.conversion import export_format

    folds: tuple[Fold, ...] = ("system",) if arguments.merge_system else ()
    rows = export_format(arguments.version, arguments.format, arguments.out, folds=folds)
    print(f"{arguments.out}: {rows} rows for {arguments.format}")
    return 0


def run_check_env(arguments: argparse.Namespace) -> int:
    """Try worlds against the contract; 1 where one breaks it."""
    from agent_r.env_check import Limits
    from flows.cli.check_env import check_env, spec_of

    spec = spec_of(arguments.world, overrides(arguments.set))
    limits = Limits(episodes=arguments.episodes, timeout_s=arguments.timeout)
    reports = check_env(spec, seed=arguments.seed, limits=limits)
    return 0 if all(report.kept for report in reports) else 1


def run_try(arguments: argparse.Namespace) -> int:
    """Try an actor; 1 where it cannot be used as it is."""
    from flows.cli.try_actor import try_actor, try_for_scripts

    trying = try_for_scripts if arguments.json else try_actor
    return trying(settings(arguments), episodes=arguments.episodes, task=arguments.task)


def run_serve(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from agent_r.local_model.model_folder import PACKAGED, model_name

    folder = arguments.model or PACKAGED
    name = model_name(folder)
    from agent_r.local_model.server import serve

    with contextlib.suppress(KeyboardInterrupt):  # how a server is meant to end
        serve(
            folder, model=name, host=arguments.host, port=arguments.port, threads=arguments.threads
        )
    return 0


def run_warm_start(arguments: argparse.Namespace) -> int:
    """Train the embedded model from nothing."""
    from agent_r.training.warm_start import WarmStartRecipe
    from flows.cli.checkpoint import make_checkpoint

    recipe = WarmStartRecipe(
        heads=arguments.heads, hidden=32 * arguments.heads, layers=arguments.layers
    )
    episodes, seed = arguments.episodes, arguments.seed
    run(make_checkpoint(arguments.out, seed=seed, episodes=episodes, recipe=recipe))
    return 0


def flow_ready(config: Config, iteration: int = 1, model: str = "", **needs: Any) -> None:
    """All that can be known to be wrong, before a flow is called; no needs: the whole loop's.

    Without a server the flow is called plainly, but where its workers are Prefect's tasks.
    """
    from flows.preflight import Needs, look_ahead, loops
    from flows.run_context import RunContext

    if needs:
        look_ahead(RunContext.of(config, iteration, model), Needs(**needs))
    else:
        look_ahead(*loops(config))
    quiet_prefect(Path(".prefect"))
    asyncio.run(check_server())
    from prefect.settings import PREFECT_API_URL

    from tasks.orchestration import call_plainly

    if not PREFECT_API_URL.value() and config.workers == 1:
        call_plainly()

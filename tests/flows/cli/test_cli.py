"""The command line as a user meets it: a mistake is one line, at once, and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.faulty_endpoint import FaultyEndpoint
from tests.support.made import Made
from tests.support.ports import closed_port

ROOT = Path(__file__).parents[3]


def agent_r(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process and a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(cwd)},
    )


@dataclass(frozen=True)
class Mistake:
    """A command, the my.toml it finds (if any), and what it must say."""

    said: str
    words: str = "collect --config my.toml"
    toml: str | None = None


def endpoint(base_url: str, model: str = "tiny") -> str:
    return (
        f"[endpoint]\nkind = 'openai'\nbase_url = '{base_url}'\nmodel = '{model}'\nattempts = 1\n"
    )


SCRIPTED = "[endpoint]\nkind = 'scripted'\n"
MISTAKES = {
    "an unknown preset": Mistake("unknown preset 'papper'", "collect --preset papper"),
    "no such file": Mistake("cannot read the config none.toml", "collect --config none.toml"),
    "malformed TOML": Mistake("my.toml is not valid TOML", toml="[endpoint"),
    "a misspelt key": Mistake("search.simulation: ", toml="[search]\nsimulation = 3"),
    "an unknown world": Mistake("env.kind: ", toml="[env]\nkind = 'chess'"),
    "a key that is set and is none": Mistake(
        "my.toml and the command line: search.simulation: ",
        "collect --config my.toml --set search.simulation=3",
        toml=SCRIPTED,
    ),
    "a value that cannot be": Mistake("seed: ", "self-train --set seed=many"),
    "a setting below one that is no table": Mistake("seed: ", "try --set seed.low=1"),
    "a set without a value": Mistake("write key=value", "measure --set search.simulations"),
    "a set without a name": Mistake("write key=value", "grow --set =3"),
    "a world's key that is none": Mistake("env.depht: ", "check-env textcraft --set env.depht=3"),
    "another world to verify in": Mistake("env.kind: ", "verify {version} --set env.kind=chess"),
    "an alpha above one": Mistake("revision.alpha: ", toml="[revision]\nalpha = 2"),
    "a beta above alpha": Mistake(
        "good and bad at once",
        toml="[revision]\nalpha = 0.2\nbeta = 0.5\nbeta_is = 'threshold'",
    ),
    "no recipes": Mistake("no crafting recipe", toml=f"{SCRIPTED}[env]\nrecipes = 'none'"),
    "no server": Mistake("refused", toml=endpoint(f"http://127.0.0.1:{closed_port()}/v1")),
    "no URL": Mistake("is not an http", toml=endpoint("localhost:8000")),
    "no model": Mistake("holds no model", toml="[endpoint]\ncheckpoint = 'none'"),
    "a trainer that cannot serve": Mistake(
        "set train.backend = 'trl'", "self-train --config my.toml", toml=SCRIPTED
    ),
    "no dataset": Mistake("is not a dataset version", "verify ."),
    "nothing to audit": Mistake("is not a dataset version", "audit ."),
    "no repository": Mistake("set hub.repo", "publish {version}"),
    "no name of a repository": Mistake("hub.repo: ", "publish {version} --repo mine"),
    "nothing to publish": Mistake("is not a dataset version", "publish . --repo a/b"),
    "no address": Mistake("is no address like", "pull nowhere"),
    "nothing to compare": Mistake("is not a dataset version", "diff {version} ."),
    "twice the same": Mistake("named twice", "merge {version} {version} --into m"),
    "too few weights": Mistake("as many weights", "merge {version} --into m --weights 1 2"),
    "a weight of nothing": Mistake("each above 0", "merge {version} --into m --weights 0"),
    "nothing to export": Mistake("is not a dataset", "export . --format openai --out o"),
    "no folder": Mistake("is not a dataset version", "verify none/v1.1"),
}


def tell(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("agent-r: ")
    return line


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_and_writes_nothing(
    mistake: Mistake, made: Made, tmp_path: Path
) -> None:
    if mistake.toml is not None:
        (tmp_path / "my.toml").write_text(mistake.toml, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    words = mistake.words.replace("{version}", str(made.version)).split()
    assert mistake.said in tell(agent_r(*words, cwd=tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_is_not_served_is_named_beside_those_that_are(tmp_path: Path) -> None:
    with FaultyEndpoint(models=["tiny"]) as server:
        (tmp_path / "my.toml").write_text(endpoint(server.base_url, "tinny"), encoding="utf-8")
        line = tell(agent_r("collect", "--config", "my.toml", cwd=tmp_path))
    assert "does not serve the model 'tinny'; it serves tiny" in line
    assert [p.name for p in tmp_path.iterdir()] == ["my.toml"]


def test_a_hub_that_is_down_is_asked_a_few_times_and_then_said_to_be_down(tmp_path: Path) -> None:
    down = f"[hub]\nendpoint = 'http://127.0.0.1:{closed_port()}'"
    (tmp_path / "my.toml").write_text(down, encoding="utf-8")
    done = agent_r("pull", "a/b@v1.1", "--config", "my.toml", cwd=tmp_path)
    *tries, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(tries)) == (2, "", 3)
    assert last.startswith("agent-r: ") and "Connection refused: gave up after 4 tries" in last


def test_a_file_where_the_folder_should_be_is_one_line_and_stays(tmp_path: Path) -> None:
    (tmp_path / "datasets_out").write_text("mine", encoding="utf-8")
    (tmp_path / "my.toml").write_text(SCRIPTED, encoding="utf-8")
    assert "cannot write" in tell(agent_r("collect", "--config", "my.toml", cwd=tmp_path))
    assert (tmp_path / "datasets_out").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "words", ["", "dance", "collect --iteration x", "train", "collect --sed 1"]
)
def test_a_command_that_cannot_be_read_shows_how_it_is_used(words: str, tmp_path: Path) -> None:
    done = agent_r(*words.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert "_natural" not in done.stderr


def test_verify_passes_a_good_dataset_and_counts_what_differs(made: Made, tmp_path: Path) -> None:
    done = agent_r("verify", made.version, cwd=tmp_path)
    rows = made.built.dataset.rows["sft"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{made.version}: {rows} rows executed, 0 differ\n"


def test_audit_says_what_it_counted_and_of_how_many(made: Made, tmp_path: Path) -> None:
    done = agent_r("audit", made.version, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    [refused] = [line for line in done.stdout.splitlines() if "trained actions: refused" in line]
    assert refused.startswith("  0.0 %     0 of ")
    shares = json.loads(agent_r("audit", made.version, "--json", cwd=tmp_path).stdout)["shares"]
    assert shares["trained_refused"]["count"] == 0 < shares["trained_refused"]["of"]


def test_a_reader_that_has_seen_enough_is_no_failure(made: Made, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-u",
        "-m",
        "flows.cli.main",
        "diff",
        str(made.version),
        str(made.version),
    ]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env
    ) as running:
        assert running.stdout and running.stderr
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


def test_help_teaches_and_is_cheap(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flows.cli", "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    for word in ("self-train", "collect", "verify", "[endpoint]", "base_url", "OPENAI_API_KEY"):
        assert word in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"prefect", "torch", "openai", "datasets", "pyarrow"})


def _help_of(command: str) -> Callable[[Path], str]:
    return lambda cwd: agent_r(command, "--help", cwd=cwd).stdout


@pytest.mark.parametrize(("command", "word"), [("collect", "--preset"), ("verify", "--config")])
def test_every_command_has_its_own_help(command: str, word: str, tmp_path: Path) -> None:
    assert word in _help_of(command)(tmp_path)

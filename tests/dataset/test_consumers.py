"""Every consumer of docs/datasets.md, run for real on a version that was published."""

from __future__ import annotations

import json
import math
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from agent_r.dataset.formats.llamafactory import LLAMAFACTORY_INFO
from agent_r.dataset.shards import read_rows
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import Config
from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.made import Made

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "datasets.md"
REPO = "me/my-data"
END = "<|im_end|>"  # of the packaged model's turns

PUBLISH = """
import sys
from pathlib import Path
from pydantic import SecretStr
from agent_r.hub.repository import Hub
from agent_r.hub.publish import publish

version, repo, endpoint, token = sys.argv[1:]
publish(Path(version), Hub(repo, endpoint, SecretStr(token)))
"""

Snippets = dict[str, dict[str, list[str]]]  # title → language → blocks


def snippets() -> Snippets:
    found: Snippets = {}
    title = ""
    for part in re.split(r"^(?=#)|(?=^```\w)", DOCS.read_text(encoding="utf-8"), flags=re.M):
        if heading := re.match(r"#+ (.+)", part):
            title = heading[1]
        elif block := re.match(r"```(\w+)\n(.*?)^```", part, flags=re.M | re.S):
            found.setdefault(title, {}).setdefault(block[1], []).append(block[2])
    return found


def snippet(title: str, language: str = "python") -> str:
    return snippets()[title][language][0]


@dataclass(frozen=True)
class Place:
    """A published version, and the Hub it is on."""

    version: Path
    hub: LoopbackHub
    folder: Path

    def run(self, codes: dict[str, str], *, repo: str = REPO, tag: str | None = None) -> Any:
        """What a process of its own makes of snippets."""
        home = self.folder / f"home{len(list(self.folder.iterdir()))}"
        home.mkdir()
        names = {"REPO": repo, "VERSION": tag, "MODEL": str(PACKAGED)}
        out = home / "facts.json"
        process = Path(__file__).parents[1] / "support" / "consumer_process.py"
        done = subprocess.run(
            [sys.executable, str(process)],
            input=json.dumps({"names": names, "snippets": codes, "out": str(out)}),
            env=self.hub.client_env(home) | {"OMP_NUM_THREADS": "1"},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(out.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def place(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("consumers")
    with LoopbackHub(folder / "hub") as hub:
        subprocess.run(
            [sys.executable, "-c", PUBLISH, str(made.version), REPO, hub.url, WRITE],
            env=hub.client_env(folder / "publisher"),
            cwd=ROOT,
            check=True,
        )
        yield Place(made.version, hub, folder)


@pytest.fixture(scope="module")
def pulled(place: Place) -> Path:
    """The folder in which all commands of the page were given, from the first to the last.

    But those for a version with something private in it, which are tested with the scanner.
    """
    folder = place.folder / "pulled"
    folder.mkdir()
    env = place.hub.client_env(folder / "home") | {"PYTHONPATH": str(ROOT)}
    sections = [languages for title, languages in snippets().items() if title != "After a finding"]
    blocks = [block for languages in sections for block in languages.get("console", [])]
    for line in "".join(blocks).splitlines():
        program, *words = shlex.split(line.removeprefix("$ ").replace("you/my-data", REPO))
        assert program == "agent-r"
        command = [sys.executable, "-m", "flows.cli", *words]
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trainers(place: Place) -> Any:
    titles = ("TRL: one row a reply", "TRL: whole trajectories", "TRL: preferences")
    codes = {title: snippet(title) for title in titles}
    codes["critique"] = codes["TRL: whole trajectories"].replace('"sft"', '"critique"')
    return place.run(codes, tag=place.version.name)


def rows_of(place: Place, config: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in read_rows(place.version, config)}


def test_every_block_of_the_page_is_known_here() -> None:
    blocks = {title: sorted(languages) for title, languages in snippets().items()}
    assert blocks == {
        "Using a dataset": ["python"],  # the names that all others use
        "Load, stream, filter": ["console", "python"],
        "TRL: one row a reply": ["python"],
        "TRL: whole trajectories": ["python"],
        "TRL: preferences": ["python"],
        "axolotl": ["yaml"],
        "LLaMA-Factory": ["console", "yaml"],
        "ms-swift": ["console", "yaml"],
        "verl": ["console", "sh"],
        "xtuner": ["console", "python"],
        "OpenAI": ["console"],
        "pandas": ["python"],
        "DuckDB": ["sql"],
        "The card": ["toml"],
        "After a finding": ["console", "toml"],
    }


def test_load_dataset_gives_all_rows_at_the_tag_and_from_a_folder(
    place: Place, pulled: Path
) -> None:
    code = {"Load, stream, filter": snippet("Load, stream, filter")}
    tagged = place.run(code, tag=place.version.name)["Load, stream, filter"]
    folder = str(pulled / "datasets_out" / "my-data" / "v1.1")
    assert tagged == place.run(code, repo=folder)["Load, stream, filter"]
    rows = rows_of(place, "sft")
    assert tagged["ids"] == tagged["streamed"] == list(rows)
    assert tagged["columns"] == list(next(iter(rows.values())))
    assert tagged["revisions"] == [i for i, row in rows.items() if row["kind"] == "revision"] != []


def test_streaming_reads_one_config_and_keeps_nothing(place: Place) -> None:
    wanted = [line for line in snippet("Load, stream, filter").splitlines() if "import" in line]
    wanted += re.findall(r"^stream = .*", snippet("Load, stream, filter"), flags=re.M)
    place.hub.requests.clear()
    told = place.run({"stream": "\n".join(wanted)}, tag=place.version.name)["stream"]
    assert told["first"] == list(rows_of(place, "sft").values())[:2]
    assert told["kept"] == []
    files = {p for _, p in place.hub.requests if "resolve" in p and p.endswith(".parquet")}
    assert files
    assert all("/data/sft/" in path for path in files)


def test_pandas_reads_the_hub(place: Place) -> None:
    told = place.run({"pandas": snippet("pandas")}, tag=place.version.name)["pandas"]
    rows = list(rows_of(place, "sft").values())
    assert told["ids"] == [row["id"] for row in rows]
    assert told["contents"] == [m["content"] for m in rows[0]["messages"]]
    assert told["recovered"] == sum(row["kind"] == "revision" for row in rows)


def test_duckdb_counts_the_messages(
    place: Place, pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pulled)
    counted = duckdb.sql(snippet("DuckDB", "sql")).fetchall()
    messages = [m for row in rows_of(place, "sft").values() for m in row["messages"]]
    assert {(role, train) for role, train, _ in counted} == {
        ("system", False),
        ("user", False),
        ("assistant", False),
        ("assistant", True),
    }
    for role, train, n in counted:
        assert n == sum(m["role"] == role and m["train"] == train for m in messages)


def test_each_config_has_as_many_rows_in_parquet_as_in_the_manifest(place: Place) -> None:
    manifest = json.loads((place.version / "manifest.json").read_text(encoding="utf-8"))
    for config, expected in manifest["rows"].items():
        files = f"{place.version}/data/{config}/*.parquet"
        assert duckdb.sql(f"SELECT count(*) FROM '{files}'").fetchall() == [(expected,)]


def test_trl_trains_the_completion_alone(place: Place, trainers: Any) -> None:
    told, rows = trainers["TRL: one row a reply"], rows_of(place, "prompt_completion")
    assert {row["id"] for row in told["rows"]} == set(rows)
    for row in told["rows"]:
        assert row["trained"] == [f"{rows[row['id']]['completion'][0]['content']}{END}\n"]
        for message in rows[row["id"]]["prompt"]:
            assert message["content"] in row["text"]
    assert told["steps"] == 2
    assert math.isfinite(told["loss"])


def test_trl_sees_the_errors_of_a_trajectory_and_trains_what_is_flagged(
    place: Place, trainers: Any
) -> None:
    told, rows = trainers["TRL: whole trajectories"], rows_of(place, "sft")
    errors = 0
    assert {row["id"] for row in told["rows"]} == set(rows)
    for row in told["rows"]:
        messages = rows[row["id"]]["messages"]
        assert row["trained"] == [f"{m['content']}{END}" for m in messages if m["train"]]
        at = 0
        for message in messages:  # all are there, in their order
            at = row["text"].index(message["content"] + END, at) + 1
        errors += sum(m["role"] == "assistant" and not m["train"] for m in messages)
    assert errors > 0
    assert told["steps"] == 2
    assert math.isfinite(told["loss"])


def test_trl_trains_a_judge_on_its_judgements(place: Place, trainers: Any) -> None:
    told, rows = trainers["critique"], rows_of(place, "critique")
    assert {row["id"] for row in told["rows"]} == set(rows)
    for row in told["rows"]:
        judgement = rows[row["id"]]["messages"][-1]["content"]
        assert rows[row["id"]]["verdict"] in judgement
        assert row["trained"] == [judgement + END]


def test_the_gate_fits_trls_own_templates_but_those_the_docs_name(trainers: Any) -> None:
    gates = trainers["TRL: whole trajectories"]["gates"]
    refused = {name: said for name, said in gates.items() if said != "gated"}
    assert set(refused) == {"glm4moe", "phi3", "phi3_5"}
    assert set(refused.values()) == {"'message' is undefined"}
    assert len(gates) > 25


def test_trl_prefers_the_chosen_reply(place: Place, trainers: Any) -> None:
    told, rows = trainers["TRL: preferences"], rows_of(place, "preference")
    assert {row["id"] for row in told["rows"]} == set(rows)
    for row in told["rows"]:
        for side in ("chosen", "rejected"):
            assert row[side] == f"{rows[row['id']][side][0]['content']}{END}\n"
        assert row["prompt"].endswith("<|im_start|>assistant\n")
        assert rows[row["id"]]["prompt"][-1]["content"] in row["prompt"]
    assert told["steps"] == 2
    assert 0 < told["loss"] < 2  # ln 2 before anything is learnt


def test_axolotls_config_is_the_one_that_was_run_with_axolotl() -> None:
    [data] = yaml.safe_load(snippet("axolotl", "yaml"))["datasets"]
    assert data == {
        "path": "you/my-data",
        "revision": "v1.1",
        "name": "sft",
        "split": "train",
        "type": "chat_template",
        "message_field_training": "train",
    }


def test_the_cards_settings_are_settings() -> None:
    written = tomllib.loads(snippet("The card", "toml"))
    assert (
        Config.model_validate(written).dataset.model_dump(include={*written["dataset"]})
        == (written["dataset"])
    )


def test_the_exports_of_the_page_are_where_it_says(pulled: Path) -> None:
    assert {path.name for path in (pulled / "lf").iterdir()} == {
        "dataset_info.json",
        "preference.jsonl",
        "sft.jsonl",
    }
    assert [path.name for path in (pulled / "openai").iterdir()] == ["sft.jsonl"]
    config = " ".join([*snippets()["ms-swift"]["yaml"], snippet("verl", "sh"), snippet("xtuner")])
    for folder in ("swift-data", "verl-data", "xtuner-data"):
        written = {f"{folder}/{path.name}" for path in (pulled / folder).iterdir()}
        assert written == set(re.findall(rf"{folder}/[\w.]+", config))


def test_verls_command_names_the_class_that_is_exported(pulled: Path) -> None:
    [name] = re.findall(r"custom_cls.name=(\w+)", snippet("verl", "sh"))
    code = (pulled / "verl-data" / "agent_r_verl.py").read_text(encoding="utf-8")
    assert f"class {name}(MultiTurnSFTDataset)" in code


def test_llamafactorys_settings_name_what_is_exported_and_mask_the_history() -> None:
    supervised, preferred = map(yaml.safe_load, snippets()["LLaMA-Factory"]["yaml"])
    assert {supervised["dataset"], preferred["dataset"]} == set(LLAMAFACTORY_INFO)
    assert supervised["mask_history"] is True

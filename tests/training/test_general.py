"""General rows of a file, a folder, a dataset on the Hub: drawn by seed, said in the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import HfApi

from agent_r.errors import ConfigError
from agent_r.settings import Config, TrainConfig
from agent_r.training.general import conversation, draw_general, read_jsonl
from flows.general_rows import general_rows
from tests.support.hub_server import LoopbackHub

OWNER, TOKEN = "me/chats", "hf_write"


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": f"{text}!"}]


def sharegpt(text: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": text}, {"from": "gpt", "value": f"{text}!"}]


def asked(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def train(general: Path | str, **more: Any) -> TrainConfig:
    return TrainConfig.model_validate({"general": str(general), **more})


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"messages": chat("a")},
        {"conversations": sharegpt("a")},
        {"conversation": chat("a"), "id": 3},
        {"prompt": "a", "completion": "a!"},
        {"prompt": chat("a")[:1], "completion": chat("a")[1:]},
    ],
    ids=lambda row: "+".join(row),
)
def test_a_conversation_is_read_in_every_usual_form(row: dict[str, Any]) -> None:
    assert conversation(row) == [
        {"role": "user", "content": "a", "train": False},
        {"role": "assistant", "content": "a!", "train": True},
    ]


def test_of_a_file_so_many_rows_are_drawn_as_general_rows_says(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "chats.jsonl", [{"messages": chat(str(i))} for i in range(50)])
    drawn, source = draw_general(train(path, general_rows=7), seed=3)
    assert len(set(asked(drawn))) == source.drawn == 7
    assert drawn == draw_general(train(path, general_rows=7), seed=3)[0]
    assert drawn != draw_general(train(path, general_rows=7), seed=4)[0]
    assert asked(draw_general(train(path), seed=3)[0]) == [str(i) for i in range(50)]


@pytest.mark.parametrize("form", ["parquet", "folder"])
def test_of_parquet_and_of_a_folder_as_well_and_what_is_no_text_is_counted(
    form: str, tmp_path: Path
) -> None:
    rows = [{"conversations": sharegpt(str(i))} for i in range(30)]
    rows += [{"conversations": [{"from": "human", "value": "nobody replies"}]}] * 5
    folder = tmp_path / "chats"
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / "train.parquet")
    path = folder if form == "folder" else folder / "train.parquet"
    drawn, source = draw_general(train(path), seed=0)
    assert sorted(asked(drawn), key=int) == [str(i) for i in range(30)]
    assert (source.drawn, source.dropped, source.licence) == (30, 5, "")
    assert drawn == draw_general(train(path), seed=0)[0] != draw_general(train(path), seed=1)[0]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([{"text": "a"}], "line 1 is not a row of messages"),
        ([{"messages": chat("a")}, {"messages": [{"role": "user"}]}], "line 2 is not a row"),
    ],
)
def test_a_line_that_is_no_conversation_is_named(
    rows: list[dict[str, Any]], line: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=line):
        read_jsonl(jsonl(tmp_path / "chats.jsonl", rows))


def test_columns_that_nobody_knows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    pd.DataFrame({"text": ["a"], "url": ["b"]}).to_parquet(path)
    with pytest.raises(ConfigError, match="has the columns text, url: give it messages"):
        draw_general(train(path), seed=0)
    with pytest.raises(ConfigError, match="is no file, no folder and no owner/name"):
        draw_general(train("nowhere"), seed=0)


async def drawn(name: str, folder: Path) -> None:
    config = Config.model_validate({"train": {"general": name, "general_rows": 5}})
    general = await general_rows(config, seed=7, folder=folder)
    print(general.model_dump_json())  # noqa: T201


def in_a_process(hub: LoopbackHub, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The Hub's address is read when its library is imported."""
    code = (
        "import asyncio, pathlib; from tests.training.test_general import drawn; "
        f"asyncio.run(drawn({name!r}, pathlib.Path({str(folder)!r})))"
    )
    env = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "hf"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_of_the_hub_by_seed_with_commit_and_licence_and_kept(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    api.create_repo(OWNER, repo_type="dataset")

    def upload(rows: list[dict[str, Any]]) -> None:
        pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
        api.upload_file(path_or_fileobj=tmp_path / "train.parquet", repo_id=OWNER,
                        path_in_repo="data/train-00000-of-00001.parquet",
                        repo_type="dataset")  # fmt: skip

    card = b"---\nlicense: cc-by-4.0\n---\n"
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=OWNER,
                    repo_type="dataset")  # fmt: skip
    upload([{"messages": chat(str(i))} for i in range(40)])
    commit = api.dataset_info(OWNER).sha
    first = in_a_process(hub, OWNER, tmp_path)
    assert first.returncode == 0, first.stderr[-2000:]
    general = json.loads(first.stdout)
    assert len(general["rows"]) == 5
    source = {"name": OWNER, "commit": commit, "licence": "cc-by-4.0", "drawn": 5, "dropped": 0}
    assert general["source"] == source
    upload([{"messages": chat(f"later {i}")} for i in range(40)])
    assert in_a_process(hub, OWNER, tmp_path).stdout == first.stdout  # what a resumed run finds
    (tmp_path / "else").mkdir()
    pinned = in_a_process(hub, f"{OWNER}@{commit}", tmp_path / "else")
    assert json.loads(pinned.stdout)["rows"] == general["rows"]
    missing = in_a_process(hub, "me/nothing", tmp_path / "else")
    assert "cannot read train.general = 'me/nothing'" in missing.stderr.splitlines()[-1]

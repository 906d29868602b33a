"""The training script, run for real: LoRA and full, replies and pairs, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.settings import TrainConfig
from agent_r.training.backends.trl_backend import script_values
from tests.support.made import Made

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file

from agent_r.local_model.model_folder import PACKAGED
from agent_r.training.backends.train_job import TrainedModel, report_in
from agent_r.training.script.checkpoints import RunClock
from agent_r.training.script.script_settings import SETTINGS
from agent_r.training.script.whole_job import main

pytestmark = pytest.mark.filterwarnings("ignore")  # of one library to another


@pytest.fixture(scope="module")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shortest rows of each kind."""
    folder, found = tmp_path_factory.mktemp("rows"), {}
    for kind in ("sft", "preference"):
        few = sorted(read_rows(made.version, kind, "train"), key=lambda row: len(str(row)))[:8]
        found[kind] = folder / f"{kind}.jsonl"
        found[kind].write_text("".join(json.dumps(row) + "\n" for row in few))
    return found


@pytest.fixture(scope="module")
def train(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train the packaged model on a few rows, in a folder of its own."""
    torch.set_num_threads(1)

    def run(*options: str, rows: str = "sft", out: Path | None = None) -> Path:
        folder = out or tmp_path_factory.mktemp("trained") / "out"
        fixed = ["--model", str(PACKAGED), "--dataset", str(files[rows]), "--rows", rows]
        fixed += ["--batch-tokens", "1000", "--epochs", "3", "--no-gradient-checkpointing"]
        assert main([*fixed, "--out", str(folder), *options]) == 0
        return folder

    return run


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


def moved(folder: Path) -> set[str]:
    before, after = weights(PACKAGED), weights(folder)
    assert before.keys() == after.keys()
    assert {name: value.dtype for name, value in before.items()} == {
        name: value.dtype for name, value in after.items()
    }
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_version_is_trained_on_at_its_digest_but_for_what_validates(
    made: Made, tmp_path: Path
) -> None:
    digest = read_manifest(made.version)["content_digest"]
    fixed = ["--model", str(PACKAGED), "--dataset", str(made.version), "--digest", digest]
    assert main([*fixed, "--out", str(tmp_path / "out"), "--max-length", "300"]) == 0
    report = report_in(tmp_path / "out")
    assert report is not None
    assert report.rows == len(list(read_rows(made.version, "sft", "train")))
    assert 0 < report.too_long < report.rows


def test_a_merged_adapter_is_a_model_like_the_one_before(train: Any) -> None:
    out = train("--learning-rate", "1e-3")
    changed = moved(out)
    assert changed
    assert all("proj" in name for name in changed)  # the linear layers, and nothing else
    report = report_in(out)
    assert report is not None
    assert report.model == TrainedModel(served="folder")
    assert (report.rows, report.too_long, report.untrained) == (8, 0, 0)
    assert report.first_loss is not None
    assert report.last_loss is not None
    assert report.last_loss < report.first_loss
    losses = [json.loads(line) for line in (out / "loss.jsonl").read_text().splitlines()]
    assert [each["step"] for each in losses] == list(range(1, report.steps + 1))
    assert not list(out.parent.glob("*.partial"))


def test_an_adapter_that_is_kept_is_trained_on(train: Any) -> None:
    out = train("--no-merge", "--learning-rate", "3e-3")
    assert (out / "adapter_model.safetensors").is_file()
    assert not (out / "model.safetensors").exists()
    report = report_in(out)
    assert report is not None
    assert report.model == TrainedModel(served="adapter", base=str(PACKAGED))
    again = train("--no-merge", "--model", str(out), "--epochs", "1", rows="preference")
    before, after = (load_file(f / "adapter_model.safetensors") for f in (out, again))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_full_training_moves_more_than_layers_and_dpo_prefers_the_chosen(train: Any) -> None:
    full = ("--no-lora", "--learning-rate", "1e-3")
    assert "model.embed_tokens.weight" in moved(train(*full, "--epochs", "1"))
    report = report_in(train(*full, rows="preference"))
    assert report is not None
    assert report.first_loss is not None
    assert report.last_loss is not None
    assert report.last_loss < report.first_loss <= 0.7  # ln 2 before anything is learnt


def test_packing_drops_nothing_and_rows_in_one_pack_do_not_see_each_other(
    train: Any,
) -> None:
    """At a rate of nothing the losses of both are those of the model of before."""
    still = "--learning-rate 1e-12 --batch-tokens 100000 --max-length 900 --epochs 1".split()
    apart, packed = (report_in(train(*still, *more)) for more in ((), ("--packing",)))
    assert apart is not None
    assert packed is not None
    assert packed.tokens == apart.tokens
    assert packed.trained_tokens == apart.trained_tokens
    assert packed.first_loss == pytest.approx(apart.first_loss, rel=1e-4)


def test_a_checkpoint_that_is_damaged_is_named(
    train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Killed(Exception):
        pass

    def on_step_begin(self: RunClock, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 2:
            raise Killed

    monkeypatch.setattr(RunClock, "on_step_begin", on_step_begin)
    out, work = tmp_path / "out", tmp_path / "out.partial"
    with pytest.raises(Killed):
        train("--checkpoint-s", "0", out=out)
    monkeypatch.undo()
    [whole] = [mark.parent for mark in work.glob("*/whole.json")]
    (work / "checkpoint-9").mkdir()  # not written to its end: nobody looks at it
    (whole / "optimizer.pt").write_bytes(b"PK")
    with pytest.raises(AssertionError):
        train(out=out)
    assert f"cannot go on from {whole}: delete it" in capsys.readouterr().err
    shutil.rmtree(whole)
    with pytest.raises(AssertionError):
        train("--rank", "4", out=out)
    assert f"{work} holds a job of other settings" in capsys.readouterr().err
    assert report_in(train(out=out))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--model", "no/such/model"], "cannot load the tokenizer of no/such/model: "),
        (["--precision", "bf16"], "there is no GPU here that computes in bfloat16"),
        (["--dataset", "nowhere"], "cannot fetch nowhere@main: "),
        (["--digest", "0" * 64], "and not 000000000000…, which --digest names"),
        (["--max-length", "3"], "no row is left: "),
        (["--chat-template", "none.jinja"], "cannot read none.jinja: "),
        (["--target-modules", "no_such_layer"], "cannot begin: "),
    ],
)
def test_what_is_wrong_is_one_line(
    options: list[str],
    line: str,
    made: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model", str(PACKAGED), "--dataset", str(made.version), "--out", "out"]
    assert main([*given, *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("train: ")
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_version_without_pairs_and_a_place_that_is_taken_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], made: Made
) -> None:
    (tmp_path / "pairs.jsonl").write_text("\n")
    given = ["--model", str(PACKAGED), "--dataset", str(tmp_path / "pairs.jsonl")]
    assert main([*given, "--rows", "preference", "--out", str(tmp_path / "out")]) == 1
    assert "has no preference rows to train on" in capsys.readouterr().err
    assert main([*given, "--out", str(PACKAGED)]) == 1
    assert "holds the result of another job" in capsys.readouterr().err


def test_the_settings_of_a_config_are_settings_of_the_script() -> None:
    values = script_values(TrainConfig(backend="trl"))
    assert values.keys() <= SETTINGS.keys()
    assert values["learning_rate"] == 2e-4
    assert script_values(TrainConfig.model_validate({"backend": "trl", "trl": {"full": True}}))[
        "learning_rate"
    ] == pytest.approx(2e-5)
    for name, value in values.items():
        assert type(value) is type(SETTINGS[name][0]), name

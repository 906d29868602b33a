"""Three ways on after a finding: rows dropped, texts redacted, or the finding allowed by name."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.dataset.verification import verify_version
from agent_r.dataset.writer import export
from agent_r.digests import sha256_of
from agent_r.errors import DatasetError, NothingMade
from agent_r.hub.clean import Cleaned, Way, clean, redact_text
from agent_r.hub.pull import pull
from agent_r.hub.secret_rules import Detector
from agent_r.hub.secret_scan import Allowing, scan
from env_adapters import world_of_manifest
from flows.cli.main import main
from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.made import Made
from tests.support.publishing import REPO, hub_at, send, tagged
from tests.support.secret_corpus import secrets

_, TOKEN = secrets()["GitHub"]
MAIL = "eve" + "@mail.example.org"


def change(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, list):
        return [change(one, texts) for one in value]
    return {k: change(v, texts) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.fixture
def planted(made: Made, tmp_path: Path) -> Path:
    """The version with a token in what the world answered, and one in a reply of another task."""
    first, *others = made.rows("sft")
    observed = str(first["messages"][3]["content"])  # type: ignore[index]
    other = next(r for r in others if r["task"] != first["task"])
    reply = str(other["messages"][2]["content"])  # type: ignore[index]
    texts = {
        observed: f"{observed.rpartition(' ')[0]} {TOKEN}",
        reply: f"Thought: {TOKEN} is of no use.\n{reply}",
    }
    rows = [(name, change(row, texts)) for name in SCHEMAS for row in made.rows(name)]
    known = {"environments": read_manifest(made.version)["environments"], "iterations": [1]}
    return Path(export(rows, tmp_path / "demo", provenance=lambda: known).path)


def cleaned(version: Path, way: Way) -> tuple[Path, Cleaned]:
    detector = Allowing(Detector())
    ref, done = asyncio.run(clean(version, way, detector, world_of=world_of_manifest))
    return Path(ref.path), done


def rows_of(version: Path) -> list[dict[str, Any]]:
    return [row for name in SCHEMAS for row in read_rows(version, name)]


def test_a_finding_names_config_row_column_and_how_to_allow_it(
    planted: Path, hub: LoopbackHub
) -> None:
    with pytest.raises(DatasetError) as caught:
        send(hub_at(hub.url), planted)
    line = str(caught.value)
    assert "\n" not in line and TOKEN not in line
    assert "github-token ghp_…(40 characters) in" in line and " column prompt.content" in line
    assert "(good-" in line or "(revision-" in line
    assert "[github-token:" in line and "--drop" in line and "hub.allow" in line
    assert hub.requests == []


@pytest.mark.parametrize("way", ["drop", "redact"])
def test_what_is_cleaned_can_be_published_and_says_what_was_done(
    planted: Path, hub: LoopbackHub, way: Way
) -> None:
    with pytest.raises(DatasetError):
        send(hub_at(hub.url), planted)
    version, done = cleaned(planted, way)
    assert version == planted.parent / "v1.2"
    assert list(scan(version, Detector())) == []
    assert TOKEN not in json.dumps(rows_of(version))
    [said] = read_manifest(version)["cleaned"]
    assert (
        said == done.entry("v1.1") and said["way"] == way and said["findings"]["github-token"] > 1
    )
    card = (version / "README.md").read_text()
    words = {
        "drop": "that held private data are left out",
        "redact": "private data are replaced by",
    }
    assert f"{sum(done.rows.values())} rows {words[way]}" in card
    send(hub_at(hub.url), version)
    assert list(tagged(hub)) == ["v1.2"]


def test_dropping_takes_a_row_with_all_that_was_cut_from_it_and_no_other(planted: Path) -> None:
    version, done = cleaned(planted, "drop")
    before, after = rows_of(planted), rows_of(version)
    gone = {row["id"] for row in before} - {row["id"] for row in after}
    assert {row["id"] for row in after} < {row["id"] for row in before}
    assert len(before) - len(after) == sum(done.rows.values()) == len(gone)
    holding = {row["id"] for row in before if TOKEN in json.dumps(row)}
    assert holding <= gone
    for row in before:
        if row["id"] in gone - holding:
            assert row["tree"] in gone or row["sft_id"] in gone
    trees = {row["id"] for row in read_rows(version, "trees")}
    assert {row["tree"] for row in read_rows(version, "sft")} <= trees


def test_what_is_redacted_is_executed_again_and_what_cannot_be_is_marked(planted: Path) -> None:
    version, done = cleaned(planted, "redact")
    assert len(rows_of(version)) == len(rows_of(planted))
    touched = [row for row in read_rows(version, "sft") if "[redacted: " in json.dumps(row)]
    said = [[m["content"] for m in row["messages"] if m["role"] == "assistant"] for row in touched]
    marked = ["[redacted: github-token]" in json.dumps(replies) for replies in said]
    assert True in marked and False in marked
    assert [row["verified"] for row in touched] == [not mark for mark in marked]
    assert done.unverified == sum(marked)
    result = asyncio.run(verify_version(version, world_of_manifest))
    assert result.problems == []
    assert result.rows >= len(touched) - done.unverified and result.unverified >= done.unverified
    ids = {row["id"] for row in read_rows(version, "sft")}
    trees = {row["id"] for row in read_rows(version, "trees")}
    for row in read_rows(version, "prompt_completion"):
        assert row["sft_id"] in ids and row["id"].startswith(row["sft_id"]) and row["tree"] in trees


def test_an_observation_that_is_another_is_no_redacted_one(made: Made, tmp_path: Path) -> None:
    """The placeholder stands for anything; the words around it must be the world's."""
    first = made.rows("sft")[0]
    observed = str(first["messages"][3]["content"])  # type: ignore[index]
    texts = {observed: f"Something else, {TOKEN}"}
    rows = [(name, change(row, texts)) for name in SCHEMAS for row in made.rows(name)]
    known = {"environments": read_manifest(made.version)["environments"]}
    version = Path(export(rows, tmp_path / "demo", provenance=lambda: known).path)
    _, done = cleaned(version, "redact")
    assert done.unverified >= 1


def test_a_text_is_redacted_until_nothing_is_found_in_it() -> None:
    detector = Allowing(Detector(), frozenset({f"email-address:{sha256_of(MAIL, 12)}"}))
    json_in_text = json.dumps({"refresh_token": f"1//0{TOKEN}".replace("/", "\\/")})
    for text, words in (
        (f"take {TOKEN} and {TOKEN[:-1]}Z to {MAIL}", ("take", "and", MAIL)),
        (f"postgres://me:{TOKEN}@10.0.0.1/rows", ("postgres://me:", "/rows")),
        (json_in_text, ()),
    ):
        clean_text = redact_text(text, detector)
        assert list(detector.find(clean_text)) == [] and "[redacted: " in clean_text
        assert TOKEN[4:20] not in clean_text and all(word in clean_text for word in words)


def test_where_the_world_is_not_to_be_had_redacted_rows_are_marked(planted: Path) -> None:
    _, done = asyncio.run(clean(planted, "redact", Allowing(Detector())))
    assert done.unverified == done.rows["sft"]


@pytest.mark.parametrize("way", ["drop", "redact"])
def test_a_clean_version_stays_as_it_is(made: Made, way: Way) -> None:
    with pytest.raises(NothingMade, match="nothing was found"):
        cleaned(made.version, way)
    assert [path.name for path in made.version.parent.iterdir()] == ["v1.1"]


def test_a_finding_that_is_allowed_goes_out_and_the_manifest_says_so(
    planted: Path, hub: LoopbackHub, tmp_path: Path
) -> None:
    [name] = {finding.name for finding in scan(planted, Detector())}
    with pytest.raises(DatasetError):
        send(hub_at(hub.url), planted, allow=[f"github-token:{'0' * 12}"])
    send(hub_at(hub.url), planted, allow=[name, f"github-token:{'0' * 12}"])
    there = json.loads(hub.store.read(REPO, "manifest.json", "v1.1"))
    assert there == read_manifest(planted) | {"allowed": [name]}
    got = pull(hub_at(hub.url), "v1.1", tmp_path / "out")
    assert read_manifest(Path(got.path))["allowed"] == [name]


def test_personal_data_goes_to_a_private_repository_with_a_warning_and_to_no_public_one(
    made: Made, hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observed = str(made.rows("sft")[0]["messages"][3]["content"])  # type: ignore[index]
    texts = {observed: f"{observed} Write to {MAIL}."}
    rows = [(name, change(row, texts)) for name in SCHEMAS for row in made.rows(name)]
    known = {"environments": read_manifest(made.version)["environments"]}
    version = Path(export(rows, tmp_path / "demo", provenance=lambda: known).path)
    with pytest.raises(DatasetError, match="email-address eve@…"):
        send(hub_at(hub.url), version, private=False)
    with caplog.at_level("WARNING", "agent_r"):
        send(hub_at(hub.url), version)
    [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "email-address" in warning and MAIL not in warning
    hub.store.delete(REPO)
    send(hub_at(hub.url), version, private=False, allow=["email-address:*"])
    allowed = json.loads(hub.store.read(REPO, "manifest.json"))["allowed"]
    assert len(allowed) == 1 and allowed[0].startswith("email-address:")


def test_the_command_lists_drops_and_redacts(
    planted: Path,
    hub: LoopbackHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.chdir(tmp_path)
    assert main(["scan", str(planted)]) == 1
    listed = capsys.readouterr().out
    assert TOKEN not in listed and listed.count("secret: github-token ghp_…(40 characters)") > 1
    [name] = {line.rpartition("[")[2][:-1] for line in listed.splitlines() if "secret:" in line}
    Path("my.toml").write_text(f'[hub]\nallow = ["{name}"]\n')
    assert main(["scan", str(planted), "--config", "my.toml"]) == 0
    assert main(["scan", str(planted), "--redact"]) == 0
    assert "v1.2" in capsys.readouterr().out
    assert main(["scan", str(planted), "--drop"]) == 0
    assert main(["scan", str(planted.parent / "v1.3")]) == 0

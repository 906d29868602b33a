"""What README and docs/prefect.md promise of the server, each once, on a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from agent_r.dataset.manifest import read_manifest
from tests.support.nightly import (
    AT_ONCE,
    AUTOMATION,
    BAD,
    KEY,
    Night,
    a_cancelled_run,
    a_dataset_is_written,
    a_long_run,
    a_machine_dies,
    a_process_dies,
    bad_configs,
    two_nights,
    with_a_key,
)

pytestmark = pytest.mark.slow


def test_a_schedule_fires_twice_and_each_night_makes_other_data(night: Night) -> None:
    first, second = night.after(two_nights)[:2]
    assert [first["state"]["name"], second["state"]["name"]] == ["Completed", "Completed"]
    assert first["auto_scheduled"] and second["auto_scheduled"]
    made = night.server.folder / "datasets_out/nightly"
    manifests = [read_manifest(made / version) for version in ("v1.1", "v1.2")]
    assert [m["iterations"] for m in manifests] == [[1], [1, 2]]
    assert manifests[0]["content_digest"] != manifests[1]["content_digest"]
    schedules = night.server.get(f"/deployments/{night.server.deployment('self-train/minutely')}")
    assert schedules["schedules"] == []


def test_a_run_longer_than_the_automation_waits_lives_by_its_heartbeats(night: Night) -> None:
    ended = night.after(a_long_run)
    assert (ended["state"]["name"], ended["state"]["message"]) == ("Completed", None)
    assert ended["total_run_time"] > AUTOMATION["trigger"]["within"]
    gaps = [after - before for before, after in zip(ended["beats"], ended["beats"][1:])]  # noqa: B905
    assert len(gaps) >= 3
    assert max(gap.total_seconds() for gap in gaps) < AUTOMATION["trigger"]["within"] / 2


def test_a_run_whose_machine_died_is_marked_crashed_by_the_automation(night: Night) -> None:
    died = night.after(a_machine_dies)
    assert died["crashed"]["state"]["message"] == AUTOMATION["actions"][0]["message"]
    assert died["seconds"] > AUTOMATION["trigger"]["within"] - 31


def test_a_retry_on_another_worker_makes_missing_results_again_from_the_store(night: Night) -> None:
    died = night.after(a_machine_dies)
    assert died["ended"]["state"]["name"] == "Completed"
    states = {run["name"]: run["state"]["name"] for run in died["again"]}
    assert states["collect elsewhere, iteration 1, scripted-0.5"] == "NothingNew"
    assert states["measure elsewhere, iteration 1, scripted-0.5"] == "Completed"
    work = night.server.folder / "datasets_out/elsewhere"
    assert [path.name for path in work.glob("v*")] == ["v1.1"]


def test_what_a_dead_run_left_open_is_closed(night: Night) -> None:
    """A killed one's soon after, by its worker; a dead machine's by the next run."""
    night.after(a_process_dies), night.after(a_machine_dies)  # they wait for it


def test_a_dead_process_is_seen_at_once_and_its_run_can_be_retried(night: Night) -> None:
    died = night.after(a_process_dies)
    assert died["seconds"] < 30
    assert died["ended"]["state"]["name"] == "Completed"


def test_a_second_nightly_beside_the_first_is_cancelled(night: Night) -> None:
    refused = night.after(a_process_dies)["refused"]
    assert refused["state"]["message"] == "Deployment concurrency limit reached."


def test_a_cancelled_run_can_be_retried(night: Night) -> None:
    cancelled = night.after(a_cancelled_run)
    assert cancelled["cancelled"]["state"]["type"] == "CANCELLED"
    assert cancelled["ended"]["state"]["name"] == "Completed"


def test_a_published_dataset_starts_a_training_and_that_a_measurement(night: Night) -> None:
    happened = night.after(a_dataset_is_written)
    trained, measured = happened["trained"], happened["measured"]
    assert trained["state"]["name"] == "Completed", trained["state"]["message"]
    assert [Path(v).name for v in trained["parameters"]["versions"]] == ["v1.1"]
    assert trained["parameters"]["iteration"] == 1
    [model] = (night.server.folder / "datasets_out/chain").glob("work/model-1-*/config.json")
    assert measured["state"]["name"] == "Completed", measured["state"]["message"]
    assert Path(measured["parameters"]["model"]).name == model.parent.name
    assert measured["parameters"]["trained"] == 1


def test_a_written_dataset_is_published(night: Night) -> None:
    published = night.after(a_dataset_is_written)["published"]
    assert published["state"]["name"] == "Completed", published["state"]["message"]
    assert "v1.1" in night.hub.store.repos["tester/chain"].tags


def test_a_key_comes_from_its_block_and_is_shown_nowhere(night: Night) -> None:
    ended = night.after(with_a_key)
    assert ended["state"]["name"] == "Completed", ended["state"]["message"]
    sent = {request.headers["authorization"] for request in night.endpoint.received}
    assert sent == {f"Bearer {KEY}"}
    assert ended["parameters"]["endpoint"] == {"kind": "block", "name": "mine"}
    server = night.server
    [block] = server.post("/block_documents/filter", {"include_secrets": False})
    assert set(block["data"]["api_key"]) == {"*"}
    answers = [
        block,
        ended,
        server.post("/artifacts/filter", {}),
        server.post("/events/filter", {}),
    ]
    assert KEY not in str(answers) + server.logs(ended["id"])
    for file in [*server.database.parent.iterdir(), *server.folder.parent.glob("*.log")]:
        assert KEY.encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize("name", BAD)
def test_a_deployed_run_refuses_what_the_terminal_refuses_before_any_work(
    night: Night, name: str
) -> None:
    run, said = night.after(bad_configs)[name]
    assert (run["state"]["name"], run["state"]["message"]) == ("Failed", said)
    assert "\n" not in said and "--" not in said
    assert "Traceback" not in night.server.logs(run["id"])
    assert night.server.children(run["id"]) == []


async def test_a_run_s_page_in_a_browser_has_what_it_does_and_what_it_made(
    night: Night, page: Page
) -> None:
    await asyncio.to_thread(night.after, a_long_run)
    page.set_default_timeout(60_000)
    run = loop_of(night, "long")
    await page.goto(f"{night.server.url}/runs/flow-run/{run['id']}")
    await page.get_by_text("self-train long, iteration 1, scripted-0.5").first.wait_for()
    await page.get_by_text("Artifacts", exact=True).first.click()
    for kind in ("progress", "account", "report"):
        await page.get_by_text(f"{kind}-long", exact=True).first.wait_for()
    [dataset] = night.server.artifacts("dataset-long")
    await page.goto(f"{night.server.url}/artifacts/artifact/{dataset['id']}")
    await page.get_by_text("One revision", exact=True).wait_for()
    assert await page.locator("img[src^='data:']").evaluate("picture => picture.naturalWidth") > 0
    text = await page.locator("body").inner_text()
    assert "Crafting commands:" in text and "&#" not in text


def loop_of(night: Night, name: str) -> dict[str, Any]:
    """The run of the loop that makes a dataset of this name."""
    runs = night.server.runs("self-train/loop")
    [run] = [r for r in runs if f'"name": "{name}"' in r["parameters"]["settings"]]
    return run


def test_progress_is_in_the_logs_and_results_are_in_artifacts(night: Night) -> None:
    night.after(a_long_run)
    run = loop_of(night, "long")
    [collected] = [
        r for r in night.server.children(run["id"]) if r["name"].startswith("collect long, ")
    ]
    assert "iteration 1: 8/8 trees" in night.server.logs(collected["id"])
    server_log = night.server.logs(run["id"])
    begun = f"{collected['name']}: 8 trees to explore"
    assert begun in server_log and f"{collected['name']}: " in server_log.split(begun)[1]
    for key in ("report-long", "dataset-long"):
        assert night.server.get(f"/artifacts/{key}/latest")["data"].startswith("# long")


def test_runs_on_one_machine_can_be_limited(night: Night) -> None:
    assert night.server.get("/work_pools/local")["concurrency_limit"] == AT_ONCE

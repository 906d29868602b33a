"""A measurement's episodes: kept as they are finished, and each one's failure its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Actor, Message
from agent_r.endpoint.client import EndpointActor
from agent_r.environment import Split, TaskSpec
from agent_r.errors import (
    ConversationRefused,
    EndpointDown,
    EndpointError,
    EndpointRejected,
    EndpointUnavailable,
    EnvironmentFault,
)
from agent_r.evaluation.episodes import REFUSED
from agent_r.evaluation.evaluate import Measurement, measure_actor
from agent_r.evaluation.report import RunReport
from agent_r.settings import Config, OpenAIEndpoint
from agent_r.testing import Corridor, ScriptedActor
from tests.support.faulty_endpoint import KEY, Fault, FaultyEndpoint, Received, refusal
from tests.support.planting import only

CONFIG = Config.model_validate(
    {"measure": {"tasks": 20, "recovery_tasks": 5, "robustness_tasks": 0, "max_steps": 3}}
)


class Corridors(Corridor):
    """Twenty tasks: who walks east in the wrong one gets nowhere."""

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return [TaskSpec(f"corridor {i % 6}{' ' * (i // 6)}", split) for i in range(20)]

    async def reset(self, task: str) -> str:
        return f"{await super().reset(task.strip())} ({task!r})"


def script(broken: dict[str, Exception]) -> Callable[[Sequence[Message], int], Any]:
    """Takes the key in every second corridor; a task in `broken` fails with that."""

    def say(messages: Sequence[Message], k: int) -> str | Exception:
        prompt = messages[1].content
        for word, failure in broken.items():
            if word in prompt:
                return failure
        return "Action: take key" if "2 rooms" in prompt else f"Action: east {len(messages)}"

    return say


async def measured(actor: Actor, folder: Path | None = None, world: Any = Corridors) -> Measurement:
    return await measure_actor(actor, only(world), CONFIG, openings=None, parallel=4, folder=folder)


BROKEN = "'corridor 3 '"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ConversationRefused("Content Exists Risk", status=400), REFUSED),
        (EndpointRejected("a filter", status=400), "EndpointRejected"),
        (EndpointUnavailable("no answer"), "EndpointUnavailable"),
        (EnvironmentFault("broken"), "EnvironmentFault"),
    ],
)
async def test_one_episode_that_cannot_be_played_loses_no_other(
    failure: Exception, kind: str, tmp_path: Path
) -> None:
    ill = await measured(ScriptedActor(script({BROKEN: failure})), tmp_path)
    assert (ill.success.n, len(ill.rewards), ill.unplayed) == (19, 19, {kind: 1})
    assert ill.notes()[0].startswith(f"1 episodes of scripted could not be played (1 {kind})")
    assert ill.can_go_on == (kind != REFUSED)

    well = ScriptedActor(script({}))
    again = await measured(well, tmp_path)
    tried = {messages[1].content for messages in well.conversations if len(messages) == 2}
    assert all(BROKEN in prompt for prompt in tried)  # no other is played again
    assert again.success.n == (19 if kind == REFUSED else 20)
    assert Measurement.model_validate_json(ill.model_dump_json()) == ill


async def test_a_measurement_that_was_cut_short_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = await measured(ScriptedActor(script({})))
    actor = ScriptedActor(script({"'corridor 5'": EndpointDown("nobody answers")}))
    with pytest.raises(EndpointDown):
        await measured(actor, tmp_path)
    kept = len(list(tmp_path.glob("corridor*")))
    assert 0 < kept < 20
    again = ScriptedActor(script({}))
    assert await measured(again, tmp_path) == whole
    began = sum(len(messages) == 2 for messages in again.conversations)
    assert began == 20 - kept
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    unkilled = tmp_path.with_name("unkilled")
    await measured(ScriptedActor(script({})), unkilled)
    assert {path.name: path.read_bytes() for path in unkilled.iterdir()} == files


@pytest.mark.parametrize(
    "failure",
    [
        EndpointRejected("no such model", status=404),
        EndpointRejected("no money", status=402),
        EndpointUnavailable("no answer"),
        ConversationRefused("no games at all", status=400),
    ],
)
async def test_what_every_episode_is_refused_ends_the_measurement(failure: EndpointError) -> None:
    actor = ScriptedActor(script({"corridor": failure}))
    with pytest.raises(EndpointError):
        await measured(actor)


async def test_a_world_that_cannot_be_closed_loses_no_episode() -> None:
    class Stuck(Corridors):
        async def close(self) -> None:
            raise RuntimeError("stuck")

    worlds = only(Stuck)
    told = await measure_actor(ScriptedActor(script({})), worlds, CONFIG, openings=None, parallel=4)
    assert told.success.n == 20
    assert worlds.unclosed == {"corridor": 20 + told.recovery.n}


async def test_a_refused_task_of_a_real_server_is_said_and_the_others_measured(
    tmp_path: Path,
) -> None:
    def policy(received: Received) -> Fault | None:
        told = received.body.get("messages", [{}, {}])
        risky = len(told) > 1 and BROKEN in told[1]["content"]
        return refusal(400, "Content Exists Risk") if risky else None

    def says(body: dict[str, Any], k: int) -> str:
        return "Action: east"

    with FaultyEndpoint(policy, says=says) as server:
        endpoint = OpenAIEndpoint(base_url=server.base_url, model="tiny")
        async with EndpointActor(endpoint, api_key=KEY) as actor:
            told = await measured(actor, tmp_path)
    assert (told.success.n, told.unplayed) == (19, {REFUSED: 1})


async def test_actors_are_compared_on_the_tasks_that_both_played() -> None:
    start = await measured(ScriptedActor(script({})))
    refused = ConversationRefused("risk", status=400)
    last = await measured(ScriptedActor(script({BROKEN: refused})))
    from agent_r.evaluation.report import IterationReport

    it = IterationReport.model_construct(measured=last)
    endpoint = OpenAIEndpoint(base_url="http://x/v1", model="m", headers={"X-Title": "mine"})
    report = RunReport.of(CONFIG.model_copy(update={"endpoint": endpoint}), start, [it], 1.0)
    assert report.gain == 0.0
    assert report.config["endpoint"]["model"] == "m"
    assert "headers" not in report.config["endpoint"]


async def test_episodes_of_a_measurement_are_played_many_at_once() -> None:
    class Slow(ScriptedActor):
        now = most = 0

        async def complete(self, *args: Any, **how: Any) -> Any:
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            await asyncio.sleep(0)
            Slow.now -= 1
            return await super().complete(*args, **how)

    await measured(Slow(script({})))
    assert Slow.most == 4


async def test_what_the_server_ended_is_said_beside_the_rates() -> None:
    def says(body: dict[str, Any], k: int) -> dict[str, Any]:
        cut = "'corridor 3 '" in body["messages"][1]["content"]
        return {
            "content": "Action: ea" if cut else "Action: east",
            "finish_reason": ("stop", "length")[cut],
        }

    with FaultyEndpoint(says=says) as server:
        endpoint = OpenAIEndpoint(base_url=server.base_url, model="tiny")
        async with EndpointActor(endpoint, api_key=KEY) as actor:
            found = await measured(actor)
    assert found.ends["cut"] == 1
    assert sum(found.ends.values()) == 20 + len(found.openings)
    assert found.recovery_rewards.keys() == {opening.task for opening in found.openings}
    assert "1 episodes of tiny were ended by the server or the world (1 cut)" in " ".join(
        found.notes()
    )

"""`agent-r try` as a newcomer meets it: real servers on loopback, and the real command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from agent_r.config import parse
from flows.cli.try_actor import tried
from flows.cli.try_screen import marked, printable
from tests.support.odd_endpoint import (
    OddEndpoint,
    always,
    endless_thinker,
    healthy,
    json_actor,
    parsed_thinker,
    thinker,
)
from tests.support.trying import agent_r_try, arrows, command, settings, squeezed, surroundings
from tests.support.waiting import PATIENCE_S, until


def test_a_healthy_endpoint_is_played_judged_and_said_to_be_well(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = squeezed(done.stdout)
    assert "Goal: craft wheat flour." in said
    assert "1 actor Thought: my number is 0. Action: inventory world " in said
    assert "judge It brought nothing new. step 3: Bad" in said
    assert "✓ actions 5 of 5 replies hold an action (100%)" in said
    assert "✓ n honoured" in said and "✓ seed honoured: equal seeds" in said
    assert "textcraft forks" in said
    assert f"POST {server.base_url}/chat/completions Authorization: Bearer ***" in said
    assert said.endswith("This actor can be used as it is.")
    assert not list(tmp_path.rglob("datasets_out"))  # nothing is left behind


def test_no_prefect_is_started(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        (tmp_path / "my.toml").write_text(settings(server), encoding="utf-8")
        code = (
            "import sys; from flows.cli.main import main; r = main(['try', '--config', 'my.toml']);"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"{code} sys.exit(r or 'prefect' in sys.modules)"],
            capture_output=True, timeout=60, cwd=tmp_path, env=surroundings(tmp_path),
        )  # fmt: skip
    assert done.returncode == 0


def test_json_is_one_document_with_the_same_facts(tmp_path: Path) -> None:
    with OddEndpoint(thinker, refuses=["n"], ignores=["seed"]) as server:
        done = agent_r_try(settings(server), tmp_path, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["usable"], told["error"]) == (0, True, None)
    assert (told["honours_n"], told["honours_seed"], told["refused"]) == (False, False, ["n"])
    assert told["forks"] == {"textcraft": True}
    assert told["judgement"]["verdict"] == "Bad"
    [episode] = told["episodes"]
    first = episode["replies"][0]
    assert first["reasoning"] == "What have I got?" and first["action"] == "inventory"
    assert first["reply"].startswith("<think>") and "<think>" not in first["text"]
    assert (first["outcome"], first["completion_tokens"]) == ("action", 60)
    assert first["observation"] and first["reward"] == 0
    sent = told["request"]
    assert sent["headers"]["Authorization"] == "Bearer ***"
    assert [m["role"] for m in sent["body"]["messages"]] == ["system", "user"]
    assert sent["body"]["max_tokens"] == 128
    assert "step 1: inventory" in done.stderr


def test_json_of_a_refusal_has_the_refused_request_and_exit_code_1(tmp_path: Path) -> None:
    with OddEndpoint(healthy, refuses=["system"]) as server:
        done = agent_r_try(settings(server, system="keep"), tmp_path, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["usable"]) == (1, False)
    assert "System role not supported" in told["error"]
    assert "takes no system message" in told["advice"][0]
    assert told["request"]["body"]["messages"][0]["role"] == "system"
    assert [e["replies"] for e in told["episodes"]] == [[]]


def test_turns_that_a_template_does_not_take_are_folded_and_it_is_said(tmp_path: Path) -> None:
    with OddEndpoint(healthy, refuses=["system"]) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 0
    assert "the instruction goes into the first user turn" in squeezed(done.stdout)
    assert done.stderr.count("first user turn") == 1


def test_reasoning_is_set_apart_from_the_answer(tmp_path: Path) -> None:
    with OddEndpoint(thinker) as server:
        said = squeezed(agent_r_try(settings(server), tmp_path).stdout)
    assert "1 reasons What have I got? 1 actor Thought: my number is 0. Action: inventory" in said
    assert "reasons What have I got? judge It brought nothing new. step 3: Bad" in said
    assert "<think>" not in said
    assert "5 of 5 replies have some, set apart" in said


def test_reasoning_in_a_field_of_its_own_is_shown_too(tmp_path: Path) -> None:
    with OddEndpoint(parsed_thinker) as server:
        said = squeezed(agent_r_try(settings(server), tmp_path).stdout)
    assert "1 reasons What have I got? 1 actor Thought: my number is 0." in said


def test_reasoning_that_is_cut_is_shown_once_and_marked(tmp_path: Path) -> None:
    with OddEndpoint(endless_thinker) as server:
        said = squeezed(agent_r_try(settings(server), tmp_path).stdout)
    assert "1 reasons What have I got? Let me see. First, 1 actor ✗ cut by the token limit" in said


def test_actions_in_json_are_read_as_what_they_are(tmp_path: Path) -> None:
    with OddEndpoint(json_actor) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 0
    assert "5 of 5 replies hold an action" in done.stdout
    [line] = arrows(done.stdout)
    assert "replies with other seeds are all the same" in line


def test_a_task_is_played_by_its_name_and_an_unknown_one_shows_near_names(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        done = agent_r_try(settings(server), tmp_path, "--task", "wheat dough", "--episodes", "2")
        wrong = agent_r_try(settings(server), tmp_path, "--task", "wheat flou")
    assert done.returncode == 0
    assert done.stdout.count("Goal: craft wheat dough.") == 2
    assert done.stdout.count("wheat dough: 0 after 3 steps (step limit)") == 2
    assert (wrong.returncode, wrong.stdout) == (2, "")
    [line] = wrong.stderr.splitlines()
    assert line.startswith("agent-r: no world of this run has a task 'wheat flou'; there are "
                           "'wheat flour', ")  # fmt: skip


def test_the_scripted_actor_needs_no_server(tmp_path: Path) -> None:
    done = agent_r_try("[endpoint]\nkind = 'scripted'\n", tmp_path)
    assert done.returncode == 0
    assert "The request" not in done.stdout and "This actor can be used" in done.stdout


def test_each_world_of_a_mixture_is_played(tmp_path: Path) -> None:
    mixture = "[env]\nkind = 'mixture'\n[[env.worlds]]\nkind = 'textcraft'\n[[env.worlds]]\n"
    with OddEndpoint(healthy) as server:
        done = agent_r_try(f"{mixture}kind = 'shop'\n{settings(server)}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "textcraft forks" in done.stdout and "shop" in done.stdout
    assert done.stdout.count("(step limit)") >= 2


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    with OddEndpoint(healthy, delay_s=0.5) as server:
        (tmp_path / "my.toml").write_text(settings(server), encoding="utf-8")
        with subprocess.Popen(
            command("--config", "my.toml"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=tmp_path, env=surroundings(tmp_path),
        ) as running:  # fmt: skip
            assert running.stdout and running.stderr
            running.stdout.close()
            assert running.stderr.read() == ""
    assert running.returncode == 0


BROKEN = """
from agent_r.testing import Corridor

class Broken(Corridor):
    async def step(self, action):
        raise RuntimeError("the roof fell in")

def world():
    return Broken()
"""


def test_a_worlds_fault_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "my_world.py").write_text(BROKEN, encoding="utf-8")
    env = "[env]\nkind = 'python'\nfactory = 'my_world:world'\n"
    with OddEndpoint(healthy) as server:
        done = agent_r_try(env + settings(server), tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("agent-r: the world 'corridor' fails: RuntimeError: the roof fell in")


def test_a_mistake_in_the_config_is_exit_code_2(tmp_path: Path) -> None:
    done = agent_r_try("[search]\ndepth = 3\n", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("agent-r: my.toml: search.depth: ")


def test_ctrl_c_ends_it_in_one_line(tmp_path: Path) -> None:
    with OddEndpoint(healthy, delay_s=30) as server:
        (tmp_path / "my.toml").write_text(settings(server), encoding="utf-8")
        with subprocess.Popen(
            command("--config", "my.toml"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=tmp_path, env=surroundings(tmp_path),
        ) as running:  # fmt: skip
            until(lambda: server.received)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert len(said.splitlines()) == 1 and said.startswith("agent-r: stopped.")


async def test_a_models_text_is_never_markup_and_moves_no_cursor(tmp_path: Path) -> None:
    nasty = "[bold]Thought[/bold]: \x1b[2J[link=x]y[/link]\nAction: inventory"
    with OddEndpoint(always(nasty)) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert "[bold]Thought[/bold]" in done.stdout and "\x1b" not in done.stdout
    assert printable("a\x9bb\u202ec") == "a\ufffdb\ufffdc"


def test_an_action_is_marked_where_it_stands_and_below_where_it_is_spelt_otherwise() -> None:
    [span] = marked("Thought: look.\nAction: look", "look").spans
    assert (span.start, span.end) == (23, 27)
    assert marked('{"action": "a\\"b"}', 'a"b').plain.endswith('\n→ a"b')


async def test_a_trial_costs_an_episode_a_judgement_and_four_requests() -> None:
    from flows.cli.try_actor import Logged

    with OddEndpoint(healthy) as server:
        endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny"}
        config = parse({"endpoint": endpoint, "search": {"max_depth": 3}}, source="test")
        trial = await tried(config, Logged(), episodes=None, task="")
    assert trial.usable
    assert [r.body.get("n") for r in server.completions] == [None] * 4 + [2] + [None] * 3
    lists = [r.path for r in server.received if not r.path.endswith("/completions")]
    assert lists == ["/v1/models"]  # how long the context is: other places have no such page

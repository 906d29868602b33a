"""A server simulated as vLLM schedules keeps vLLM's rules, and `auto` finds its best against it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.vllm_model.engine import Engine, Sequence
from benchmarks.vllm_model.playing import Record, simulate
from benchmarks.vllm_model.setups import RTX3090_8B, SETUPS
from benchmarks.vllm_model.traffic import Wave, record

TINY = replace(RTX3090_8B, blocks=32, max_num_seqs=4, max_num_batched_tokens=64)


def written(engine: Engine, *asked: tuple[str, str]) -> list[Sequence]:
    """Sequences in the order in which they end."""
    for prompt, reply in asked:
        engine.add(Sequence(prompt, reply, lambda: None))
    ended = []
    while engine.busy:
        ended += engine.step()[1]
    assert engine.pool.free == engine.pool.capacity
    return ended


def text(name: str, tokens: int) -> str:
    return "".join(f"{name}{k:0>{8 - len(name)}}" for k in range(tokens // 2))


def test_a_reply_takes_an_iteration_a_token_and_its_prompt_one_a_chunk() -> None:
    engine = Engine(TINY)
    written(engine, (text("a", 160), text("b", 10)))
    assert engine.iterations == 3 + 9  # 160 tokens are 64, 64 and 32, which give the first token


def test_what_an_earlier_prompt_and_its_reply_left_is_not_computed_again() -> None:
    engine = Engine(TINY)
    written(engine, (text("a", 160), text("b", 16)))
    again = text("a", 160) + text("b", 16) + text("c", 16)
    assert [one.cached for one in written(engine, (again, text("d", 4)))] == [160]
    # The last token of a reply is not in the cache: nothing was computed from it.


def test_where_blocks_run_out_the_last_admitted_gives_way_and_is_computed_again() -> None:
    engine = Engine(TINY)
    asked = [(text(name, 100), text(name.upper(), 120)) for name in "abcd"]
    ended = written(engine, *asked)
    assert engine.preempted > 0
    assert len(ended) == 4 and all(one.output == 120 for one in ended)
    assert ended[0].contents == Sequence(*asked[0], lambda: None).contents


def test_no_more_sequences_run_than_are_allowed() -> None:
    engine, most = Engine(TINY), 0
    for k in range(9):
        engine.add(Sequence(text(str(k), 16), text("r", 16), lambda: None))
    while engine.busy:
        engine.step()
        most = max(most, engine.running)
    assert most == 4


@pytest.fixture(scope="module")
def forest() -> list[list[Wave]]:
    return record(6)


# The fixed number that gives the most, as benchmarks/results/auto_concurrency.txt has it.
@pytest.mark.parametrize(
    ("setup", "best", "share"),
    [
        ("a100-8b", 96, 0.85),
        ("h100-34b", 32, 0.75),
        ("rtx3090-8b", 20, 0.65),
        ("h100-8b-16", 8, 0.9),
    ],
)
def test_auto_comes_near_the_best_fixed_number_within_a_minute_and_latency_is_bounded(
    forest: list[list[Wave]], setup: str, best: int, share: float
) -> None:
    found, fixed = (
        simulate(SETUPS[setup], concurrency, forest, seconds=seconds)
        for concurrency, seconds in (("auto", 90), (best, 60))
    )
    assert found.rate(45, 90) >= share * fixed.rate(15, 60)
    assert found.latency(0.95, 60, 90) <= 3 * fixed.latency(0.95, 15, 60)


def test_prompts_that_outgrow_the_cache_make_auto_ask_for_less(forest: list[list[Wave]]) -> None:
    def grow(server: object, scale: object) -> None:
        scale.world *= 4  # type: ignore[attr-defined]

    def run(concurrency: int | str) -> Record:
        return simulate(
            SETUPS["rtx3090-8b"], concurrency, forest, seconds=240, events=((60, grow),)
        )

    found, fixed = run("auto"), run(16)
    assert found.limits[-1] < 16
    assert found.rate(150, 240) > fixed.rate(150, 240)

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from agent_r.local_model.batch import ROW_TILE
from agent_r.local_model.engine import Engine, GenerationRequest
from agent_r.local_model.generation import Sample
from agent_r.local_model.model_folder import PACKAGED
from tests.local_model.test_engine import prompt
from tests.local_model.test_server import make_tiny_llama


@pytest.mark.parametrize("shipped", [False, True])
def test_neither_cache_nor_neighbours_change_a_bit_of_a_reply(
    shipped: bool, tmp_path: Path
) -> None:
    """Prompts grow over a border of the attention's columns (256), as a tree search's do."""
    folder = PACKAGED if shipped else tmp_path
    if not shipped:
        make_tiny_llama(folder)
    grown = [prompt(40, seed=3) + prompt(24 * turn, seed=4) for turn in range(10)]
    requests = [
        GenerationRequest(tokens, n=1 + number % 5, seed=number, max_tokens=6, top_logprobs=2)
        for number, tokens in enumerate(grown * 2)
    ]

    def replies(asked: list[int], at_once: int, **options: int) -> dict[int, tuple[Sample, ...]]:
        running = Engine(folder, block=8, **options)
        samples: dict[int, tuple[Sample, ...]] = {}
        for start in range(0, len(asked), at_once):
            some = asked[start : start + at_once]
            futures = [running.submit(requests[number]) for number in some]
            samples |= {n: f.result().samples for n, f in zip(some, futures, strict=True)}
        running.close()
        return samples

    forth = list(range(len(requests)))
    alone = replies(forth, 1, cache_bytes=0)

    assert replies(forth, 1) == alone
    assert replies(forth[::-1], 3, cache_bytes=2**16) == alone
    assert replies(random.Random(0).sample(forth, len(forth)), 20) == alone
    assert replies(forth, 7, max_rows=5, prefill_tokens=200) == alone


def test_a_row_of_a_product_does_not_depend_on_how_many_tiles_of_rows_there_are() -> None:
    """What the engine takes from BLAS: a machine where it fails answers as its batches fall."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1200, 480, generator=generator)
    matrix = torch.randn(480, 160, generator=generator)
    whole = rows @ matrix

    for count in (*range(ROW_TILE, 130, ROW_TILE), 512, 1024):
        assert torch.equal(rows[40 : 40 + count] @ matrix, whole[40 : 40 + count]), count

"""Draw the next token of every running sequence at once.

The uniform number behind a draw is a hash of (seed, sample, position): a sample does not depend
on what else is in the batch, and no generator has to be kept.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1

TOP_LOGPROBS = 5

UInts = NDArray[np.uint64]
Floats = NDArray[np.float64]


def sample_key(seed: int, sample: int) -> int:
    """Derive the key of one sample's random numbers, 64 bits.

    >>> sample_key(7, 0) != sample_key(7, 1)
    True
    """
    first = int(_mix(np.array([(seed * _GOLDEN + 1) & _MASK], dtype=np.uint64))[0])
    return int(_mix(np.array([(first + sample * _GOLDEN) & _MASK], dtype=np.uint64))[0])


def uniforms(keys: UInts, positions: UInts) -> Floats:
    """Draw one number strictly between 0 and 1 for each (key, position).

    >>> zero = np.zeros(1, np.uint64)
    >>> hex(int(uniforms(zero, zero)[0] * 2**32))  # SplitMix64 begins with e220a8397b1dcdaf
    '0xe220a839'
    """
    bits = _mix(keys + positions * np.uint64(_GOLDEN)) >> np.uint64(32)
    return (bits.astype(np.float64) + 0.5) / 2.0**32


def _mix(values: UInts) -> UInts:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(_GOLDEN)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def draw(scores: Tensor, temperature: Floats, top_p: Floats, uniform: Floats) -> list[int]:
    """Choose a token for each row of `scores` [rows, vocab]; temperature 0 takes the best one."""
    best = scores.argmax(1)
    if not temperature.any():
        return best.tolist()
    greedy = torch.from_numpy(temperature == 0.0)
    scale = torch.from_numpy(np.where(temperature == 0.0, 1.0, temperature)).float()
    chances = torch.softmax(scores / scale.unsqueeze(1), 1)
    if (top_p < 1.0).any():
        chances = nucleus(chances, torch.from_numpy(top_p).float())
    # Doubles, so that `uniform * total` stays below the total and no impossible token is taken.
    cumulative = chances.cumsum(1, dtype=torch.float64)
    target = torch.from_numpy(uniform).unsqueeze(1) * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, target, right=True).squeeze(1)
    return torch.where(greedy, best, drawn).tolist()


def nucleus(chances: Tensor, top_p: Tensor) -> Tensor:
    """Zero what lies outside the smallest set of tokens that holds `top_p` of the chance.

    >>> nucleus(torch.tensor([[0.25, 0.5, 0.25]]), torch.tensor([0.5])).tolist()
    [[0.0, 0.5, 0.0]]
    """
    ordered, order = torch.sort(chances, dim=1, descending=True, stable=True)
    before = ordered.cumsum(1) - ordered
    # A row with top_p 1 keeps all, whatever the rounding of its sum.
    limit = torch.where(top_p < 1.0, top_p, torch.inf).unsqueeze(1)
    ordered = ordered.masked_fill(before >= limit, 0.0)
    ordered[:, 0] = torch.where(ordered[:, 0] == 0.0, 1.0, ordered[:, 0])  # top_p 0 is greedy
    return torch.zeros_like(chances).scatter_(1, order, ordered)


def logprobs(
    scores: Tensor, tokens: list[int]
) -> list[tuple[float, tuple[tuple[int, float], ...]]]:
    """For each row the log-probability of its token, and the best `TOP_LOGPROBS` tokens."""
    logs = torch.log_softmax(scores, 1)
    chosen = logs[torch.arange(len(tokens)), torch.tensor(tokens)].tolist()
    best = logs.topk(min(TOP_LOGPROBS, logs.shape[1]), dim=1)
    tops = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(own, tuple(zip(*top, strict=True))) for own, top in zip(chosen, tops, strict=True)]

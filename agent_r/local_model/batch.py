"""Run the model over all running requests at once: prefill of new prompts, decode of one token.

What a request is answered does not depend on what runs beside it, to the last bit. Sums of floats
depend on their order, and so on the shapes that they are computed in; therefore

- a product of matrices has a multiple of `ROW_TILE` rows: with one to three, BLAS takes another
  way, and another order;
- a decoding row is computed with rows of its own length and width only, over all their columns;
- a prompt's token reads a number of columns that its position alone decides;
- the prefix cache holds prompts only: a token that was decoded is computed again in a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from agent_r.local_model import llama
from agent_r.local_model.generation import Job, Row, Sequence
from agent_r.local_model.kv_cache import PrefixCache, RowGroup, column_counts

ROW_TILE = 4
SAMPLES_PER_ROW = 8


@dataclass(frozen=True, slots=True)
class _PromptPart:
    """New tokens of one prompt whose attention reads equally many columns."""

    kv: Tensor  # [layers, columns of the row, width]
    start: int  # position of the first token
    span: slice  # the tokens in the flat batch
    tile: slice  # the same and their padding
    mask: Tensor

    def attend(self, layer: int, query: Tensor, kv: Tensor) -> Tensor:
        """Attention of the tokens and their padding, [tile, heads * head]."""
        new = kv[self.span]
        self.kv[layer, self.start : self.start + len(new)] = new
        columns = self.kv[layer, : self.mask.shape[1]]
        query = query[self.tile]
        heads = columns.view(len(columns), query.shape[1], 2, query.shape[3])
        return llama.causal_attention(query, heads, self.mask)


@dataclass(frozen=True, slots=True)
class _DecodePart:
    """What one group's attention needs in one decode step."""

    keys: Tensor  # [layers, rows, columns, kv_heads, head]
    values: Tensor
    store: Tensor  # [layers, columns of all rows, width]
    columns: Tensor  # where the new keys and values go, one a sequence
    span: slice  # the group's sequences in the flat batch
    spread: Tensor | None  # sequence of each (row, place), where rows hold several
    gather: Tensor | None  # back from (row, place) to sequences
    mask: Tensor
    width: int  # samples of a row

    def attend(self, layer: int, query: Tensor, kv: Tensor) -> Tensor:
        """Attention of each sequence's newest token, [sequences, heads * head]."""
        self.store[layer].index_copy_(0, self.columns, kv[self.span])
        query = query[self.span]
        rows = self.keys.shape[1]
        if self.spread is not None:
            # The samples of a row become more query heads of its one prompt.
            query = query[self.spread].view(rows, self.width, *query.shape[1:])
            query = query.transpose(1, 2).flatten(2, 3)
        attended = F.scaled_dot_product_attention(
            query,
            self.keys[layer].transpose(1, 2),
            self.values[layer].transpose(1, 2),
            attn_mask=self.mask,
        )
        if self.gather is None:
            return attended.flatten(1)
        heads, _, size = attended.shape[1:]
        places = attended.view(rows, heads, self.width, -1, size).transpose(1, 2)
        return places.flatten(0, 1)[self.gather].flatten(1)


class Batch:
    """The running rows, in groups of one shape; every method runs in the engine's thread."""

    def __init__(self, model: llama.Llama, cache: PrefixCache) -> None:
        self._model = model
        self._cache = cache
        self._column_counts = column_counts(model.shape.context)
        self._groups: dict[tuple[int, int], RowGroup[Row]] = {}

    @property
    def rows(self) -> list[Row]:
        """Every running row."""
        return [row for group in self._groups.values() for row in group.rows]

    def rows_needed(self, job: Job) -> int:
        """Rows that hold all of a job's samples at their longest."""
        return -(-len(job.sequences) // self._width(job))

    def plan(self, job: Job) -> list[Row]:
        """Divide a job's samples among its rows."""
        width = self._width(job)
        rows: list[Row] = []
        for start in range(0, len(job.sequences), width):
            live = job.sequences[start : start + width]
            rows.append(Row(job, live, len(live)))
            for place, sequence in enumerate(live):
                sequence.row, sequence.place = rows[-1], place
        return rows

    def _width(self, job: Job) -> int:
        room = (self._model.shape.context - len(job.request.prompt)) // job.budget
        return min(SAMPLES_PER_ROW, room, len(job.sequences))

    def prefill(self, jobs: list[list[Row]]) -> Tensor:
        """Take each job's rows in, and compute its prompt and the logits of its next token."""
        firsts: list[tuple[Row, Tensor]] = []
        for rows in jobs:
            for row in rows:
                row.slot = self._group(row).add(row, len(row.prompt))
        for rows in jobs:
            kv = self._kv(rows[0])
            rows[0].job.cached_tokens = self._cache.read(rows[0].prompt, kv)
            firsts.append((rows[0], kv))
        scores = self._forward_prompts(firsts)
        for rows, (first, kv) in zip(jobs, firsts, strict=True):
            for other in rows[1:]:
                self._kv(other)[:, : len(first.prompt)] = kv[:, : len(first.prompt)]
            self._cache.write(first.prompt, partial(_columns, kv))
        return scores

    def _forward_prompts(self, firsts: list[tuple[Row, Tensor]]) -> Tensor:
        tokens: list[int] = []
        positions: list[int] = []
        parts: list[_PromptPart] = []
        last: list[int] = []
        for row, kv in firsts:
            start = row.job.cached_tokens
            while start < len(row.prompt):
                part = self._prompt_part(row, kv, start, len(tokens))
                stop = start + part.span.stop - part.span.start
                tokens += _padded(row.prompt[start:stop])
                positions += _padded(range(start, stop))
                parts.append(part)
                start = stop
            last.append(parts[-1].span.stop - 1)

        def attend(layer: int, query: Tensor, kv: Tensor) -> Tensor:
            return torch.cat([part.attend(layer, query, kv) for part in parts])

        states = llama.hidden_states(
            self._model,
            torch.tensor(tokens),
            torch.tensor(positions),
            attend,
            keep=torch.tensor(_padded(last)),
        )
        return llama.logits(self._model, states)[: len(firsts)]

    def _prompt_part(self, row: Row, kv: Tensor, start: int, place: int) -> _PromptPart:
        """The new tokens of a prompt from `start` on that read equally many columns."""
        columns = self._columns_for(start + 1)
        count = min(columns, len(row.prompt)) - start
        tile = slice(place, place + count + -count % ROW_TILE)
        mask = llama.causal_mask(start, tile.stop - tile.start, columns)
        return _PromptPart(kv, start, slice(place, place + count), tile, mask)

    def decode(self) -> tuple[list[Sequence], Tensor]:
        """Feed every sequence's last token; the sequences and the logits of their next one."""
        sequences: list[Sequence] = []
        positions: list[int] = []
        parts: list[_DecodePart] = []
        for group in self._groups.values():
            if group.rows:
                parts.append(self._decode_part(group, len(sequences)))
                for row in group.rows:
                    sequences += row.live
                    positions += [len(row.prompt) + len(row.live[0].tokens) - 1] * len(row.live)
        tokens = torch.tensor(_padded([sequence.tokens[-1] for sequence in sequences]))
        heads = self._model.shape.heads * self._model.shape.head_dim
        padding = torch.zeros(len(tokens) - len(sequences), heads)

        def attend(layer: int, query: Tensor, kv: Tensor) -> Tensor:
            return torch.cat([*(part.attend(layer, query, kv) for part in parts), padding])

        states = llama.hidden_states(self._model, tokens, torch.tensor(_padded(positions)), attend)
        return sequences, llama.logits(self._model, states)[: len(sequences)]

    def _decode_part(self, group: RowGroup[Row], start: int) -> _DecodePart:
        """Lay out one group's step; its masks are opened for the columns about to be written."""
        shape, rows, width = self._model.shape, len(group.rows), group.width
        where = [
            (row.slot, s.place, row.column(s.place, len(s.tokens) - 1))
            for row in group.rows
            for s in row.live
        ]
        slots, places, columns = torch.tensor(where).unbind(1)
        group.mask[slots, places, columns] = 0.0
        mask = group.mask[:rows].unsqueeze(1)
        spread = gather = None
        if width > 1:
            gather = slots * width + places
            spread = torch.zeros(rows * width, dtype=torch.long)
            spread[gather] = torch.arange(len(where))
            mask = mask.repeat_interleave(shape.group, 2)
        heads = group.kv.view(*group.kv.shape[:3], shape.kv_heads, 2, shape.head_dim)
        keys, values = heads[:, :rows].unbind(4)
        return _DecodePart(
            keys=keys,
            values=values,
            store=group.kv.flatten(1, 2),
            columns=slots * group.length + columns,
            span=slice(start, start + len(where)),
            spread=spread,
            gather=gather,
            mask=mask,
            width=width,
        )

    def retire(self, sequence: Sequence) -> None:
        """Take a finished sequence out, and its row with the last one."""
        row = sequence.row
        assert row is not None, "a sequence runs in a row"
        row.live.remove(sequence)
        if not row.live:
            self.drop(row)

    def drop(self, row: Row) -> None:
        """Free a row whatever it holds."""
        group = self._group(row)
        moved = group.remove(row.slot)
        if moved is not None:
            moved.slot = row.slot

    def _group(self, row: Row) -> RowGroup[Row]:
        form = self._columns_for(row.columns), row.width
        if form not in self._groups:
            self._groups[form] = RowGroup(self._model.shape, *form)
        return self._groups[form]

    def _columns_for(self, needed: int) -> int:
        return next(count for count in self._column_counts if count >= needed)

    def _kv(self, row: Row) -> Tensor:
        return self._group(row).kv[:, row.slot]


def _columns(kv: Tensor, start: int, end: int) -> Tensor:
    return kv[:, start:end]


def _padded(values: Iterable[int]) -> list[int]:
    """The values, and zeros up to a whole number of tiles; what is computed there is dropped."""
    whole = list(values)
    return whole + [0] * (-len(whole) % ROW_TILE)

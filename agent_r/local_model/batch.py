"""The running rows, and the two forwards over them: prefill and decode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from agent_r.local_model import llama
from agent_r.local_model.generation import Job, Row, Sequence
from agent_r.local_model.kv_cache import SAMPLES_PER_ROW, LengthGroup, PrefixCache, group_lengths


@dataclass(frozen=True, slots=True)
class _Part:
    """What one shelf's attention needs in one decode step."""

    keys: Tensor  # [layers, rows, longest, kv_heads, head]
    values: Tensor
    store: Tensor  # [layers, columns of all rows, width]
    columns: Tensor  # where the new keys and values go, one a sequence
    span: slice  # the shelf's sequences in the flat batch
    spread: Tensor | None  # sequence of each (row, place), where rows hold several
    gather: Tensor | None  # back from (row, place) to sequences
    mask: Tensor
    wide: int  # samples of the widest row

    def attend(self, layer: int, query: Tensor, kv: Tensor) -> Tensor:
        """Attention of each sequence's newest token, [sequences, heads * head]."""
        self.store[layer].index_copy_(0, self.columns, kv[self.span])
        query = query[self.span]
        rows = self.keys.shape[1]
        if self.spread is not None:
            # The samples of a row become more query heads of its one prompt.
            query = query[self.spread].view(rows, self.wide, *query.shape[1:])
            query = query.transpose(1, 2).flatten(2, 3)
        attended = F.scaled_dot_product_attention(
            query,
            self.keys[layer].transpose(1, 2),
            self.values[layer].transpose(1, 2),
            attn_mask=self.mask,
        )
        if self.gather is None:
            return attended.flatten(1)
        heads, _, width = attended.shape[1:]
        places = attended.view(rows, heads, self.wide, -1, width).transpose(1, 2)
        return places.flatten(0, 1)[self.gather].flatten(1)


class Batch:
    """Rows on shelves by length; every method runs in the engine's thread."""

    def __init__(self, model: llama.Llama, cache: PrefixCache) -> None:
        self._model = model
        self._cache = cache
        self._groups: list[LengthGroup[Row]] = [
            LengthGroup(model.shape, length) for length in group_lengths(model.shape.context)
        ]

    @property
    def rows(self) -> list[Row]:
        """Every running row."""
        return [row for group in self._groups for row in group.rows]

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
        """Take each job's rows in, compute its prompt, and give the logits of its next token."""
        firsts: list[tuple[Row, Tensor]] = []
        for rows in jobs:
            for row in rows:
                row.slot = self._group(row).add(row, len(row.prompt))
        for rows in jobs:
            kv = self._kv(rows[0])[:, : len(rows[0].prompt)]
            rows[0].job.cached_tokens = self._cache.read(rows[0].prompt, kv)
            firsts.append((rows[0], kv))
        scores = self._forward_prompts(firsts)
        for rows, (_, kv) in zip(jobs, firsts, strict=True):
            for other in rows[1:]:
                self._kv(other)[:, : kv.shape[1]] = kv
            self._cache.write(rows[0].prompt, partial(_columns, kv))
        return scores

    def _forward_prompts(self, firsts: list[tuple[Row, Tensor]]) -> Tensor:
        shape = self._model.shape
        tokens: list[int] = []
        positions: list[int] = []
        spans: list[tuple[slice, Tensor, Tensor]] = []
        for row, kv in firsts:
            cached, length = row.job.cached_tokens, len(row.prompt)
            span = slice(len(tokens), len(tokens) + length - cached)
            tokens += row.prompt[cached:]
            positions += range(cached, length)
            spans.append((span, kv, llama.causal_mask(length - cached, length)))

        def attend(layer: int, query: Tensor, new: Tensor) -> Tensor:
            parts = []
            for span, kv, mask in spans:
                kv[layer, -len(mask) :] = new[span]
                heads = kv[layer].view(-1, shape.kv_heads, 2, shape.head_dim)
                parts.append(llama.causal_attention(query[span], heads, mask))
            return torch.cat(parts)

        last = torch.tensor([span.stop - 1 for span, _, _ in spans])
        states = llama.hidden_states(
            self._model, torch.tensor(tokens), torch.tensor(positions), attend, keep=last
        )
        return llama.logits(self._model, states)

    def decode(self) -> tuple[list[Sequence], Tensor]:
        """Feed every sequence's last token; give the sequences and their next logits."""
        sequences: list[Sequence] = []
        positions: list[int] = []
        parts: list[_Part] = []
        for group in self._groups:
            if group.rows:
                parts.append(self._part(group, len(sequences)))
                for row in group.rows:
                    sequences += row.live
                    positions += [len(row.prompt) + len(row.live[0].tokens) - 1] * len(row.live)

        def attend(layer: int, query: Tensor, kv: Tensor) -> Tensor:
            attended = [part.attend(layer, query, kv) for part in parts]
            return attended[0] if len(attended) == 1 else torch.cat(attended)

        tokens = torch.tensor([sequence.tokens[-1] for sequence in sequences])
        states = llama.hidden_states(self._model, tokens, torch.tensor(positions), attend)
        return sequences, llama.logits(self._model, states)

    def _part(self, group: LengthGroup[Row], start: int) -> _Part:
        """Lay out one shelf's step; its masks are opened for the columns about to be written."""
        shape, length = self._model.shape, group.length
        where = [
            (row.slot, s.place, row.column(s.place, len(s.tokens) - 1))
            for row in group.rows
            for s in row.live
        ]
        slots, places, columns = torch.tensor(where).unbind(1)
        group.mask[slots, places, columns] = 0.0
        rows = len(group.rows)
        wide = max(row.width for row in group.rows)
        longest = 1 + max(column for _, _, column in where)
        mask = group.mask[:rows, :wide, :longest].unsqueeze(1)
        spread = gather = None
        if wide > 1:
            gather = slots * wide + places
            spread = torch.zeros(rows * wide, dtype=torch.long)
            spread[gather] = torch.arange(len(where))
            mask = mask.repeat_interleave(shape.group, 2)
        heads = group.kv.view(*group.kv.shape[:3], shape.kv_heads, 2, shape.head_dim)
        keys, values = heads[:, :rows, :longest].unbind(4)
        return _Part(
            keys=keys,
            values=values,
            store=group.kv.flatten(1, 2),
            columns=slots * length + columns,
            span=slice(start, start + len(where)),
            spread=spread,
            gather=gather,
            mask=mask,
            wide=wide,
        )

    def retire(self, sequence: Sequence) -> None:
        """Take a finished sequence out, and keep what it wrote for prompts that extend it."""
        row = sequence.row
        assert row is not None, "a sequence runs in a row"
        # The last token was never fed, so it has no keys and values.
        written = row.prompt + tuple(sequence.tokens[:-1])

        def kv(start: int, end: int) -> Tensor:
            prompt = len(row.prompt)
            columns = [
                at if at < prompt else row.column(sequence.place, at - prompt)
                for at in range(start, end)
            ]
            return self._kv(row).index_select(1, torch.tensor(columns))

        self._cache.write(written, kv)
        row.live.remove(sequence)
        if not row.live:
            self.drop(row)

    def drop(self, row: Row) -> None:
        """Free a row whatever it holds."""
        group = self._group(row)
        moved = group.remove(row.slot)
        if moved is not None:
            moved.slot = row.slot

    def _group(self, row: Row) -> LengthGroup[Row]:
        return next(group for group in self._groups if group.length >= row.columns)

    def _kv(self, row: Row) -> Tensor:
        return self._group(row).kv[:, row.slot]


def _columns(kv: Tensor, start: int, end: int) -> Tensor:
    return kv[:, start:end]

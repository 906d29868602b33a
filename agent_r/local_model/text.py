"""Translate between text and tokens: chat templates, and text that ends at a stop string."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast

from agent_r.local_model.llama import UnsupportedModel

RECENT_PIECES = 8192  # turns whose tokens are remembered; a tree search repeats nearly all


class ChatTokenizer:
    """A folder's tokenizer and chat template."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "tokenizer.json").is_file():
            raise UnsupportedModel(f"{folder} has no tokenizer.json")
        self._template = PreTrainedTokenizerFast.from_pretrained(folder)
        if not self._template.chat_template:
            raise UnsupportedModel(f"{folder} has no chat template")
        self.tokenizer: Tokenizer = self._template.backend_tokenizer
        self.end_tokens = _end_tokens(folder, self._template.eos_token_id)
        self._turn_end = self._template.eos_token or ""
        self._encode_piece = lru_cache(RECENT_PIECES)(self._encode)

    def encode_chat(self, messages: list[dict[str, Any]]) -> list[int]:
        """Render and tokenise a conversation, up to where the assistant's next turn begins."""
        text = self._template.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return self.encode(str(text))

    def encode(self, text: str) -> list[int]:
        """Tokenise a rendered prompt.

        A special token is a border that no other token crosses, so the text is cut behind each
        end of a turn and a conversation that grew costs only its new turns.
        """
        if not self._turn_end:
            return self._encode(text)
        *turns, rest = text.split(self._turn_end)
        ids: list[int] = []
        for turn in turns:
            ids += self._encode_piece(turn + self._turn_end)
        return ids + self._encode(rest)

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Decode `ids` to text without special tokens."""
        return str(self.tokenizer.decode(ids))

    def token_text(self, token: int) -> str:
        """Decode one token alone, for a table of log-probabilities."""
        return str(self.tokenizer.decode([token], skip_special_tokens=False))


def _end_tokens(folder: Path, turn_end: int | None) -> frozenset[int]:
    ends: set[int] = set() if turn_end is None else {turn_end}
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text()).get("eos_token_id")
            ends.update([found] if isinstance(found, int) else found or [])
    return frozenset(ends)


class Continuation:
    """A sample's text, decoded token by token and cut before the first stop string."""

    def __init__(self, tokenizer: ChatTokenizer, stop: tuple[str, ...]) -> None:
        self.text = ""
        self._tokenizer = tokenizer
        self._stop = stop
        self._longest_stop = max(map(len, stop), default=0)
        self._stream = DecodeStream(skip_special_tokens=True)
        self._sent = 0

    def push(self, token: int) -> bool:
        """Add a token; True if a stop string is complete, and `text` then ends before it."""
        piece = self._stream.step(self._tokenizer.tokenizer, token) or ""
        start = max(0, len(self.text) - self._longest_stop + 1)
        self.text += piece
        cuts = [cut for stop in self._stop if (cut := self.text.find(stop, start)) >= 0]
        if cuts:
            self.text = self.text[: min(cuts)]
        return bool(cuts)

    def finish(self, ids: list[int]) -> None:
        """Decode all tokens once more: bytes at the end that are no whole character count too."""
        whole = self._tokenizer.decode(ids)
        if whole.startswith(self.text):
            self.text = whole

    def new_text(self, *, final: bool) -> str:
        """The text since the last call, without an end that may be the start of a stop string."""
        end = len(self.text) if final else len(self.text) - self._held_back()
        piece = self.text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece

    def _held_back(self) -> int:
        for length in range(min(len(self.text), self._longest_stop), 0, -1):
            if any(stop.startswith(self.text[-length:]) for stop in self._stop):
                return length
        return 0

"""Count a conversation's tokens with a model's own tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_r.errors import ConfigError, ExtraMissing
from agent_r.files import sha256
from agent_r.loading import one_line
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import Config, EmbeddedEndpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class TokenCounter:
    """A tokenizer, and what a dataset calls it: no path of this machine."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
        self.name, self._tokenizer = name, tokenizer

    @classmethod
    def of(cls, config: Config) -> TokenCounter | None:
        """The one that is named, or the embedded actor's; None for a served actor.

        Raises:
            ConfigError: it cannot be loaded, or has no chat template.
        """
        if named := config.dataset.tokenizer:
            return cls(load(named), Path(named).name if Path(named).is_dir() else named)
        if isinstance(config.endpoint, EmbeddedEndpoint):
            folder = Path(config.endpoint.checkpoint or PACKAGED)
            return cls(load(str(folder)), f"embedded-{sha256(folder / 'tokenizer.json')[:8]}")
        return None

    def __call__(self, messages: Sequence[dict[str, Any]]) -> int:
        """Tokens of a whole conversation, as the chat template renders it."""
        plain = [{"role": m["role"], "content": m["content"]} for m in messages]
        text = self._tokenizer.apply_chat_template(plain, tokenize=False)
        return len(self._tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    def trained(self, row: dict[str, Any]) -> int:
        """Tokens of a row's messages that carry the loss, without what the template adds."""
        texts = [m["content"] for m in row["messages"] if m["train"]]
        encoded = self._tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        return sum(len(each.ids) for each in encoded)


def load(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer from a folder, or by its name on the Hub.

    Raises:
        ConfigError: it is not to be had, or has no chat template.
    """
    try:
        from transformers import PreTrainedTokenizerFast  # AutoTokenizer would bring torch along
    except ImportError:
        raise ExtraMissing("counting tokens (dataset.tokenizer)", "local") from None
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(name)
    except Exception as error:  # noqa: BLE001 -- whatever a stranger's files make it raise
        raise ConfigError(f"no tokenizer can be loaded from '{name}': {one_line(error)}") from None
    if not tokenizer.chat_template:
        raise ConfigError(f"the tokenizer '{name}' has no chat template: name a chat model's")
    return tokenizer

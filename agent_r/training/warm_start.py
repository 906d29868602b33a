"""Train the embedded actor from nothing: a tokenizer, a small random model, demonstrations.

No weights are downloaded: the actor is a Llama of about 0.9 million parameters, trained from
nothing on expert demonstrations, and saved as an ordinary Hugging Face folder.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_r.errors import ExtraMissing, TrainerError
from agent_r.settings import TrainConfig
from agent_r.training.backends.process_backend import LocalBackend
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import Source, TrainingProgress, TrainJob, TrainReport

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BOS, PAD, TURN, END = "<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class WarmStartRecipe:
    """What the embedded actor is made of, and how it is first trained."""

    vocab: int = 1024
    hidden: int = 160
    layers: int = 3
    heads: int = 5
    kv_heads: int = 1  # serving a tree search is bound by the memory of keys and values
    context: int = 2048
    epochs: int = 1  # demonstrations cost nothing: new ones teach more than the same ones again
    learning_rate: float = 5e-3
    batch_tokens: int = 2048
    masked_weight: float = 0.1  # observations are worth predicting while the model knows nothing
    threads: int = 1


async def warm_start(
    rows: Path,
    out: Path,
    *,
    seed: int,
    recipe: WarmStartRecipe = WarmStartRecipe(),
    on_progress: Callable[[TrainingProgress], None] = lambda at: None,
) -> TrainReport:
    """Train a tokenizer and a model of our own on the rows of one file; `out` is the model folder.

    Raises:
        TrainerError: the rows cannot be read, or the training job failed.
    """
    blank = out.with_name(out.name + ".blank")
    await asyncio.to_thread(_make_blank, blank, rows, recipe=recipe, seed=seed)
    job = TrainJob(
        model=blank,
        sources=(Source(path=rows),),
        out=out,
        config=TrainConfig(
            epochs=recipe.epochs,
            learning_rate=recipe.learning_rate,
            optimizer="muon",
            batch_tokens=recipe.batch_tokens,
            max_length=recipe.context,
            threads=recipe.threads,
        ),
        seed=seed,
        masked_weight=recipe.masked_weight,
    )
    report = await run_to_end(LocalBackend(), job, on_progress)
    shutil.rmtree(blank)
    return report


def _make_blank(folder: Path, rows: Path, *, recipe: WarmStartRecipe, seed: int) -> None:
    """A folder with a tokenizer made for the rows, and a model that knows nothing."""
    tokenizer = make_tokenizer(_texts(rows), vocab=recipe.vocab)
    model = make_model(
        tokenizer,
        hidden=recipe.hidden,
        layers=recipe.layers,
        heads=recipe.heads,
        kv_heads=recipe.kv_heads,
        context=recipe.context,
        seed=seed,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer(texts: Iterable[str], *, vocab: int = 1024) -> PreTrainedTokenizerFast:
    """A byte-level BPE with the GPT-2 split and a ChatML template; it encodes any text."""
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise ExtraMissing("the embedded model", "local") from error
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[BOS, PAD, TURN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_with_roles(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[TURN],
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(
    tokenizer: PreTrainedTokenizerFast,
    *,
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    context: int,
    seed: int,
) -> LlamaForCausalLM:
    """A random Llama with tied embeddings and grouped keys; equal arguments, equal weights."""
    try:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise ExtraMissing("the embedded model", "local") from error
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _with_roles(texts: Iterable[str]) -> Iterator[str]:
    yield from ("system\n", "user\n", "assistant\n")
    yield from texts


def _texts(rows: Path) -> Iterator[str]:
    """The text of every message of a file of training rows."""
    try:
        with rows.open(encoding="utf-8") as lines:
            for line in lines:
                messages: list[dict[str, Any]] = json.loads(line)["messages"]
                yield from (message["content"] for message in messages)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"cannot read training rows from {rows}: {error!r}") from error

"""Requests per second of the embedded actor's server, beside transformers' `generate`.

Both sides answer the same HTTP routes with the same random model of the shipped size. The peer
is given what a careful user would give it: requests that wait are left-padded and generated as
one batch. Each client plays episodes: a prompt of some 200 tokens that grows by an action and an
observation until 600, 20 new tokens a turn. Actions are scripted, because a random model writes
bytes that are no text; so the cached keys of generated tokens are not counted in our favour.
Clients share the machine's cores with the server, as they do in a real run. The server's CPU time
a request is given too (Linux only): it holds on a busy machine, where requests/s do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import httpx

TURN_TOKENS = 20
CONCURRENCY = (1, 8, 32)
Server = tuple[subprocess.Popen[bytes], str]
Rates = tuple[float, float, float]
WORDS = ["craft", "get", "oak", "birch", "planks", "logs", "stick", "iron", "using", "1", "2", "4"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path, *, seed: int) -> None:
    """Save a random Llama of 0.9 M parameters with a tokenizer of 1,024 tokens."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<s>", "<|im_end|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([words(random.Random(seed), 2000)], trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="<|im_end|>", chat_template=TEMPLATE
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(seed)  # this process makes nothing else at random
    LlamaForCausalLM(config).save_pretrained(folder)


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


class Peer:
    """`generate` on batches of whatever waits, behind the engine's interface."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        from agent_r.local_model.text import ChatTokenizer

        torch.set_num_threads(1)
        self.text = ChatTokenizer(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.waiting: queue.Queue[tuple[Any, Future[Any]]] = queue.Queue()
        threading.Thread(target=self.run, daemon=True).start()

    def submit(self, request: Any, *, on_text: Any = None) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.put((request, future))
        return future

    def run(self) -> None:
        while True:
            batch = [self.waiting.get()]
            while not self.waiting.empty() and len(batch) < max(CONCURRENCY):
                batch.append(self.waiting.get())
            samples = self.generate([list(request.prompt) for request, _ in batch])
            for (request, future), sample in zip(batch, samples, strict=True):
                future.set_result(self.generation(request, sample))

    def generate(self, prompts: list[list[int]]) -> list[list[int]]:
        import torch

        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        out = self.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=TURN_TOKENS,
            do_sample=True,
            top_k=0,
            pad_token_id=1,
        )
        return cast(list[list[int]], out[:, longest:].tolist())

    def generation(self, request: Any, tokens: list[int]) -> Any:
        from agent_r.local_model.generation import Generation, Sample

        end = tokens.index(1) + 1 if 1 in tokens else len(tokens)
        sample = Sample(self.text.decode(tokens[:end]), tuple(tokens[:end]), "length", ())
        return Generation((sample,), len(request.prompt), 0)


def serve_peer(folder: Path, ready: Path) -> None:
    import uvicorn

    from agent_r.local_model.listening import listen
    from agent_r.local_model.server import create_app

    listener = listen("127.0.0.1", 0)
    ready.write_text(json.dumps({"base_url": f"http://127.0.0.1:{listener.getsockname()[1]}/v1"}))
    app = create_app(cast(Any, Peer(folder)), model="bench")
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


async def play(http: httpx.AsyncClient, rng: random.Random, until: float, done: list[int]) -> None:
    """Play episodes until the clock runs out; `done` gets the tokens of each reply."""
    while True:
        messages = [{"role": "user", "content": words(random.Random(1), 90)}]
        messages[0]["content"] += words(rng, 60)
        for _ in range(9):
            body = {"model": "bench", "messages": messages, "max_tokens": TURN_TOKENS}
            reply = await http.post("/chat/completions", json=body)
            if time.monotonic() > until:
                return
            done.append(reply.raise_for_status().json()["usage"]["completion_tokens"])
            messages.append({"role": "assistant", "content": words(rng, 14)})
            messages.append({"role": "user", "content": words(rng, 22)})


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(server: Server, clients: int, seconds: float, seed: int) -> Rates:
    """Requests/s, new tokens/s and CPU ms/request, after a warm-up of a quarter of the time."""
    process, base_url = server
    limits = httpx.Limits(max_connections=clients)
    done: list[int] = []
    async with httpx.AsyncClient(base_url=base_url, limits=limits, timeout=60) as http:
        start = time.monotonic() + seconds / 4
        until = start + seconds
        players = [
            asyncio.create_task(play(http, random.Random(seed * 1000 + i), until, done))
            for i in range(clients)
        ]
        await asyncio.sleep(seconds / 4)
        done.clear()
        before = cpu_seconds(process.pid)
        await asyncio.gather(*players)
        spent = cpu_seconds(process.pid) - before
    return len(done) / seconds, sum(done) / seconds, 1000 * spent / len(done)


def start(command: list[str], ready: Path) -> Server:
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    while not ready.exists() or not ready.read_text():
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} ended before it was ready")
        time.sleep(0.05)
    return process, str(json.loads(ready.read_text())["base_url"])


def rates(command: list[str], ready: Path, options: argparse.Namespace) -> list[Rates]:
    server = start(command, ready)
    try:
        return [
            asyncio.run(measure(server, clients, options.seconds, options.seed))
            for clients in CONCURRENCY
        ]
    finally:
        server[0].terminate()
        server[0].wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each cell of the table")
    parser.add_argument("--peer", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        serve_peer(*options.peer)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, ready = Path(scratch) / "model", Path(scratch) / "ready.json"
        make_model(folder, seed=options.seed)
        server = ["-m", "agent_r.local_model.server", str(folder), "--model", "bench"]
        server += ["--ready-file", str(ready), "--exit-with-parent", str(os.getpid())]
        ours = rates(server, ready, options)
        ready.unlink()
        peer = rates([__file__, "--peer", str(folder), str(ready)], ready, options)
    one = "{0}, requests/s | tokens/s | CPU ms/request"
    heads = f"{one.format('ours')} | {one.format('generate')}"
    print(f"| clients | {heads} | ratio, requests/s | ratio, CPU |")
    print("|--:" * 9 + "|")
    for clients, own, other in zip(CONCURRENCY, ours, peer, strict=True):
        cells = " | ".join(f"{value:.1f}" for value in (*own, *other))
        print(f"| {clients} | {cells} | {own[0] / other[0]:.1f} | {other[2] / own[2]:.1f} |")


if __name__ == "__main__":
    main()

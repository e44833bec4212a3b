"""What a token costs with the NumPy generator and with transformers: one random Lfm2 model, one thread, CPU time of that thread, because machines are shared.

    OMP_NUM_THREADS=1 python -m benchmarks.lfm2

A third row is what the matrices alone would cost where every one of them has to come from memory: nothing that multiplies in float32 is much faster than that.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache, Lfm2Config, Lfm2ForCausalLM

from guardrail.generate import lfm2
from guardrail.generate.nucleus import Nucleus
from guardrail.types import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Reader = Callable[[Sequence[int]], object]
    """Reads tokens behind those it has read, and gives the logits of what follows."""

VOCABULARY = 6144
PROMPT = 250
REPLY = 100
ROUNDS = 4


def save(folder: Path) -> None:
    """Eight layers of 256, convolutions and attention in turns, as bfloat16."""
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        block_auto_adjust_ff_dim=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        layer_types=["full_attention" if number % 2 else "conv" for number in range(8)],
    )
    model: Any = Lfm2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)


def numpy_reader(model: lfm2.Lfm2) -> Reader:
    state = model.state(PROMPT + REPLY)
    return lambda tokens: model.read(tokens, state)


def torch_reader(model: Any) -> Reader:
    cache = DynamicCache(config=model.config)

    def read(tokens: Sequence[int]) -> object:
        with torch.inference_mode():
            return model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True, logits_to_keep=1).logits

    return read


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """CPU time of this thread, and wall time."""
    wall, spent = time.perf_counter(), time.thread_time()
    work()
    return time.thread_time() - spent, time.perf_counter() - wall


def measure(name: str, begin: Callable[[], Reader]) -> None:
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, PROMPT).tolist()
    prompts, replies = [], []
    for _ in range(ROUNDS):
        read = begin()
        prompts.append(seconds(lambda read=read: read(tokens)))  # type: ignore[misc] # the default is the reader of this round
        replies.append(seconds(lambda read=read: [read([tokens[number % PROMPT]]) for number in range(REPLY)]))  # type: ignore[misc] # as above
    (prompt, prompt_wall), (reply, reply_wall) = (np.median(np.array(found[1:]), axis=0) for found in (prompts, replies))
    print(
        f"{name:13} prompt of {PROMPT}: {prompt * 1e3:6.1f} ms CPU ({prompt_wall * 1e3:.0f} wall)   "
        f"a token: {reply / REPLY * 1e3:5.2f} ms CPU ({reply_wall / REPLY * 1e3:.2f} wall), {REPLY / reply:.0f} tokens a CPU second"
    )


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder)
        ours = lfm2.load(folder)
        theirs: Any = Lfm2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    measure("numpy", lambda: numpy_reader(ours))
    measure("transformers", lambda: torch_reader(theirs))
    weights = [weight.detach().numpy() for weight in theirs.parameters() if weight.ndim == 2]
    rows = [(np.ones((1, weight.shape[1]), np.float32), np.ascontiguousarray(weight.T)) for weight in weights]
    stored = [np.median([seconds(lambda: [row @ weight.T for (row, _), weight in zip(rows, weights, strict=True)])[0] for _ in range(100)])]
    turned = [np.median([seconds(lambda: [row @ matrix for row, matrix in rows])[0] for _ in range(100)])]
    print(f"matrices      a token: {turned[0] * 1e3:.2f} ms CPU as (in, out), {stored[0] * 1e3:.2f} ms as stored")
    logits = np.random.default_rng(1).normal(scale=3, size=VOCABULARY).astype(np.float32)
    for temperature in (0.0, 0.3, 1.0):
        nucleus = Nucleus.of(Sampling(temperature=temperature, top_p=0.95, seed=0))
        print(f"choosing      temperature {temperature}: {seconds(lambda nucleus=nucleus: [nucleus.choose(logits) for _ in range(500)])[0] / 500 * 1e6:.0f} us")  # type: ignore[misc] # as above


if __name__ == "__main__":
    main()

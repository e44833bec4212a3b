"""What a model goes on with, greedily or sampled, for figures and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from guardrail.finetune.training.rollout import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from transformers import LogitsProcessor

BATCH = 32


@torch.no_grad()
def continuations(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    pad: int,
    ends: Collection[int] = (),
    temperature: float = 0.0,
    batch: int = BATCH,
    processor: Callable[[Sequence[int]], LogitsProcessor] | None = None,
) -> list[tuple[int, ...]]:
    """At most `tokens` ids behind each prompt, up to and with the first of `ends`; temperature 0 is greedy. The model's mode is left as it was.

    `processor` gives, for the numbers of the prompts of one batch, what changes their logits.
    """
    stops = frozenset(ends)
    sampling: dict[str, Any] = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {"do_sample": False}
    config = GenerationConfig(use_cache=True, max_new_tokens=tokens, eos_token_id=sorted(stops) or None, pad_token_id=pad, **sampling)  # type: ignore[no-untyped-call] # untyped in the library
    was_training = model.training
    model.eval()
    found: list[tuple[int, ...]] = [()] * len(prompts)
    by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for start in range(0, len(prompts), batch):
        numbers = by_length[start : start + batch]
        ids, attention = padded([tuple(prompts[number]) for number in numbers], pad=pad, left=True, device=model.device)
        constrained: dict[str, Any] = {} if processor is None else {"logits_processor": LogitsProcessorList([processor(numbers)])}
        made = model.generate(input_ids=ids, attention_mask=attention, generation_config=config, **constrained)
        for number, row in zip(numbers, made[:, ids.shape[1] :].tolist(), strict=True):
            end = next((place for place, token in enumerate(row) if token in stops), None)
            found[number] = tuple(row if end is None else row[: end + 1])
    model.train(was_training)
    return found

"""How much likelier a model finds the better of two replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from guardrail.finetune.data.pairs import dialogue_ids
from guardrail.finetune.data.rows import chat, turns
from guardrail.finetune.training.losses import reply_sums, token_logprobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guardrail.finetune.data.rows import Preference, Turn


@torch.no_grad()
def preference_margins(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, preferences: Sequence[Preference]) -> NDArray[np.float64]:
    """log pi(chosen | prompt) - log pi(rejected | prompt) of each choice, in nats, (n,)."""
    model.train(False)
    return np.array(
        [reply_logprob(model, tokenizer, row.prompt, row.chosen) - reply_logprob(model, tokenizer, row.prompt, row.rejected) for row in preferences]
    )


@torch.no_grad()
def reply_logprob(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str | tuple[Turn, ...], reply: str) -> float:
    """log pi(reply | prompt), the end of the turn included, in nats."""
    text = tokenizer.apply_chat_template(chat(turns(prompt)), tokenize=False, add_generation_prompt=True)
    before = tokenizer(str(text), add_special_tokens=False)["input_ids"]
    ids = torch.tensor([dialogue_ids(tokenizer, prompt, reply)], device=model.device)
    logits = model(input_ids=ids).logits[:, len(before) - 1 : -1]
    logprobs = token_logprobs(logits, ids[:, len(before) :])
    return float(reply_sums(logprobs, torch.ones_like(logprobs, dtype=torch.bool))[0])

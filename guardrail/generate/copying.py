"""Decoding that leans towards the passages: where a reply has begun to copy a sentence, the token with which the sentence goes on gains.

A small model may know which sentence it wants and still not spell it to the end. A pointer-generator network (See et al. 2017, "Get To The Point") learns when
to copy; here the copy is found by its last tokens, as in prompt lookup decoding (Saxena 2023), which drafts with it and leaves the model's choice as it is.
Ours is a bias and not a guarantee: where the model is surer of another token than the bias is high it writes that one, and the draft is verified like any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import LogitsProcessor

from guardrail.generate.continuations import continuations

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from guardrail.generate.continuations import Continuations
    from guardrail.protocols import Prompt


class Copying:
    """A constraint of the transformers generator: `nats` more for each token that goes on in a sentence of the passages as the reply has begun it.

    Two tokens or more of the reply must stand in a sentence that the prompt shows; the longest run decides. Behind the last token of a sentence nothing is
    added, unless a marker stands there in the prompt, which is copied along; there a sentence that was said has three times as many nats less to
    begin anew, and so has what would turn into it where another one begins alike. Thread-safe.
    """

    def __init__(self, nats: float) -> None:
        """`nats`: what is added to a logit before temperature and nucleus are applied: at temperature 1 the token's odds grow by e to that power."""
        self._nats = nats

    def __call__(self, prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> LogitsProcessor | None:
        """The processor of one reply; None where the prompt shows no passage."""
        found = continuations(prompt, lambda text: tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        return CopyingProcessor(found, self._nats) if found is not None else None


class CopyingProcessor(LogitsProcessor):
    """Raises the logits of the tokens with which a copy goes on, and lowers those of a second copy.

    Serves one reply: it begins where the tokens of the first call end.
    """

    def __init__(self, continuations: Continuations, nats: float) -> None:
        self._continuations = continuations
        self._nats = nats
        self._prompt: int | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids: (1, n), prompt and reply so far; scores: (1, vocabulary), changed and returned."""
        if self._prompt is None:
            self._prompt = input_ids.shape[-1]
        for token, nats in self._continuations.bias(input_ids[0, self._prompt :].tolist(), self._nats).items():
            if token < scores.shape[-1]:
                scores[0, token] += nats
        return scores

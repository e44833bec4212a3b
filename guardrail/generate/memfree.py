"""MemFree decoding (Ippolito et al. 2022) as transformers wants it: a token that would complete a run of the training corpus is never chosen.

Which tokens those are, `guardrail.generate.recital` says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transformers import LogitsProcessor

from guardrail.errors import ConfigurationError
from guardrail.generate.recital import Recital, Recitals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from guardrail.leaks.index import LeakIndex
    from guardrail.protocols import Prompt


class MemFree:
    """A constraint for the transformers generator: `TransformersGenerator(constraint=MemFree(index))`. Serves one tokenizer; thread-safe."""

    def __init__(self, index: LeakIndex) -> None:
        """Raises ConfigurationError where the index was made without the model's tokenizer."""
        self._recitals = Recitals(index)

    def __call__(self, prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> LogitsProcessor:
        """The processor of one request. Raises ConfigurationError where the tokenizer is not the one that the index was made with."""
        return MemFreeProcessor(self._recitals.of(prompt, _fast(tokenizer)))

    def processor(self, supplied: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> LogitsProcessor:
        """The processor of one reply that may quote the texts `supplied`. Raises ConfigurationError as above."""
        return MemFreeProcessor(self._recitals.beside(supplied, _fast(tokenizer)))


class MemFreeProcessor(LogitsProcessor):
    """Sets the logits of banned tokens to minus infinity."""

    def __init__(self, recital: Recital) -> None:
        self.recital = recital

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids: (rows, n), scores: (rows, vocabulary); changes and returns `scores`."""
        for row, tokens in enumerate(input_ids.tolist()):
            banned = [token for token in self.recital.banned(tokens) if token < scores.shape[-1]]
            if banned:
                scores[row, banned] = -math.inf
        return scores


def _fast(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigurationError("MemFree decoding needs a model with a fast tokenizer (a tokenizer.json); this one has none.")
    return backend

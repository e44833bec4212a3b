"""An Lfm2 model as an engine without torch: each request has a state of its own, and they get their tokens in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.generate import folder_tokenizer, lfm2, lfm2_config
from guardrail.generate.nucleus import Nucleus
from guardrail.generate.transcript import transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from guardrail.generate.lfm2 import Lfm2, State
    from guardrail.generate.recital import Recitals
    from guardrail.generate.ticket import Ticket
    from guardrail.generate.transcript import Transcript
    from guardrail.protocols import Prompt

Bias = Callable[[Sequence[int]], Mapping[int, float]]
"""Tokens of the reply so far to nats that are added to logits of the next token, before temperature and nucleus; what is banned stays banned."""
Leaning = Callable[["Prompt", "Tokenizer"], Bias | None]
"""The bias of one request, or none."""


@dataclass(slots=True, kw_only=True, eq=False)
class NumpyRow:
    """One request while it decodes."""

    tokens: list[int]
    prompt: int
    """How many of `tokens` are the prompt."""
    state: State
    nucleus: Nucleus
    banned: Callable[[Sequence[int]], Sequence[int]] | None
    """Prompt and reply so far to the tokens that may not follow."""
    biases: tuple[Bias, ...]


class NumpyEngine:
    """Decodes requests round-robin, one token each: a request gets the very tokens that it gets alone."""

    def __init__(self, model: Lfm2, tokenizer: Tokenizer, written: Transcript, *, recitals: Recitals | None, leanings: Sequence[Leaning]) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._transcript = written
        self._recitals = recitals
        self._leanings = tuple(leanings)
        self._rows: list[NumpyRow] = []

    @property
    def transcript(self) -> Transcript:
        return self._transcript

    def begin(self, ticket: Ticket) -> NumpyRow:
        tokens = self._transcript.encode(ticket.messages)
        capacity = len(tokens) + ticket.room(self._transcript.context - len(tokens))
        prompt = ticket.prompt
        biases = [leaning(prompt, self._tokenizer) for leaning in self._leanings] if prompt is not None else []
        return NumpyRow(
            tokens=tokens,
            prompt=len(tokens),
            state=self._model.state(capacity),
            nucleus=Nucleus.of(ticket.sampling),
            banned=self._recitals.of(prompt, self._tokenizer).banned if self._recitals is not None and prompt is not None else None,
            biases=tuple(bias for bias in biases if bias is not None),
        )

    def add(self, row: NumpyRow) -> int:
        token = self._next(row, row.tokens)
        self._rows.append(row)
        return token

    def step(self) -> list[tuple[NumpyRow, int]]:
        return [(row, self._next(row, row.tokens[-1:])) for row in self._rows]

    def remove(self, gone: Sequence[NumpyRow]) -> None:
        self._rows = [row for row in self._rows if row not in gone]

    def _next(self, row: NumpyRow, unread: Sequence[int]) -> int:
        """Read `unread`, choose the token behind it and append it."""
        logits = self._model.read(unread, row.state)
        for bias in row.biases:
            for token, nats in bias(row.tokens[row.prompt :]).items():
                if token < len(logits):
                    logits[token] += np.float32(nats)
        if row.banned is not None:
            logits[[token for token in row.banned(row.tokens) if token < len(logits)]] = -math.inf
        token = row.nucleus.choose(logits)
        row.tokens.append(token)
        return token


def load(folder: Path, *, recitals: Recitals | None = None, leanings: Sequence[Leaning] = ()) -> NumpyEngine:
    """The model in a folder as transformers' `save_pretrained` writes it. Raises ConfigurationError where it is no Lfm2 model for chat, or damaged."""
    model = lfm2.load(folder)
    tokenizer = folder_tokenizer.load(folder)
    size = tokenizer.backend.get_vocab_size(with_added_tokens=True)
    if size > model.config.vocab_size:
        raise ConfigurationError(
            f"generator.model: the tokenizer of {folder} has {size} tokens and the model {model.config.vocab_size}: they are of two models."
        )
    limits = (model.config.max_position_embeddings, tokenizer.longest)
    written = transcript(
        tokenizer,
        eos=[*model.config.ends, *lfm2_config.generation_ends(folder), *([] if tokenizer.eos is None else [tokenizer.eos])],
        context=int(min(limit for limit in limits if limit)),
        name=str(folder),
    )
    return NumpyEngine(model, tokenizer.backend, written, recitals=recitals, leanings=leanings)

"""A checkpoint of transformers as an engine: rows for `guardrail.generate.decoding`, with their constraints and what they are contrasted with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch

from guardrail.errors import GeneratorError
from guardrail.generate.decoding import Decoder, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.generate.checkpoint import Checkpoint
    from guardrail.generate.ticket import Ticket
    from guardrail.generate.transcript import Transcript
    from guardrail.generate.transformers import Constraint


class TorchEngine:
    """Decodes with `checkpoint`; `context_aware` as `guardrail.generate.transformers` has it; each of `constraints` may give a request a processor."""

    def __init__(self, checkpoint: Checkpoint, *, context_aware: float, constraints: Sequence[Constraint]) -> None:
        self.checkpoint = checkpoint
        self._context_aware = context_aware
        self._constraints = tuple(constraints)
        self._decoder = Decoder(checkpoint.model)

    @property
    def transcript(self) -> Transcript:
        return self.checkpoint.transcript

    def begin(self, ticket: Ticket) -> Row:
        sampling, prompt = ticket.sampling, ticket.prompt
        draw = random.Random(sampling.seed)  # noqa: S311 - samples words, guards nothing
        without = prompt.without_passages if prompt is not None and self._context_aware else ()
        made = [constraint(prompt, self.checkpoint.tokenizer) for constraint in self._constraints] if prompt is not None else []
        return Row(
            tokens=self.checkpoint.encode(ticket.messages),
            temperature=sampling.temperature or 0.0,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            draw=draw,
            against=Row(tokens=self.checkpoint.encode(without), temperature=0.0, top_p=1.0, draw=draw) if without else None,
            weight=self._context_aware,
            processors=tuple(processor for processor in made if processor is not None),
        )

    def add(self, row: Row) -> int:
        with torch.inference_mode():
            try:
                return self._decoder.add(row)
            except torch.OutOfMemoryError:
                raise _no_memory() from None

    def step(self) -> list[tuple[Row, int]]:
        with torch.inference_mode():
            try:
                return self._decoder.step()
            except torch.OutOfMemoryError:
                raise _no_memory() from None

    def remove(self, gone: Sequence[Row]) -> None:
        with torch.inference_mode():
            self._decoder.remove(gone)


def _no_memory() -> GeneratorError:
    return GeneratorError("The model ran out of memory; lower generator.batch or generator.max_tokens.")

"""A prompt that does not fit the model's context."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from guardrail import Guardrail
from guardrail.errors import PromptTooLong
from guardrail.protocols import Chunk
from guardrail.settings import GeneratorSettings, LibrarySettings, RailSettings, Settings
from guardrail.types import Answer, Message, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from guardrail.protocols import Prompt


@dataclass
class ShortSighted:
    """Reads at most so many passages, and quotes the first sentence of the first."""

    passages: int
    seen: list[int] = field(default_factory=list)
    name: str = "short-sighted"

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        hits = prompt.evidence.hits
        self.seen.append(len(hits))
        if len(hits) > self.passages:
            raise PromptTooLong("The conversation with its passages is too long; shorten it.")
        yield Chunk(text=hits[0].passage.text.split(". ")[0] + ".", finish_reason="stop")

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


def _request() -> Request:
    return Request(id="r", persona="aristotle", messages=(Message(role="user", content="What are the four causes?"),))


async def test_the_model_is_asked_with_fewer_passages_until_they_fit() -> None:
    model = ShortSighted(passages=2)
    guard = Guardrail(Settings(rails=(RailSettings(id="grounding"),)), generator=model)
    try:
        reply = await guard.reply(_request())
    finally:
        await guard.aclose()
    assert isinstance(reply, Answer)
    assert model.seen == [*range(model.seen[0], 1, -1)]
    assert model.seen[-1] == 2


async def test_where_not_even_the_question_fits_and_nobody_else_can_write_the_caller_is_told() -> None:
    guard = Guardrail(Settings(library=LibrarySettings(index=None), rails=()), generator=ShortSighted(passages=-1))
    try:
        with pytest.raises(PromptTooLong):
            await guard.reply(_request())
    finally:
        await guard.aclose()


async def test_where_no_passage_fits_a_tiny_model_quotation_answers(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.tiny_model import make_tiny_model

    model = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", context=256)
    settings = Settings(generator=GeneratorSettings(kind="transformers", model=str(model)), library=LibrarySettings(), rails=(RailSettings(id="grounding"),))
    guard = Guardrail(settings)
    try:
        reply = await guard.reply(_request())
    finally:
        await guard.aclose()
    assert isinstance(reply, Answer)
    assert reply.generator == "quotation"

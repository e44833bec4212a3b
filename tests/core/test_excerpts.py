"""Under a template with `excerpts` a model is shown the sentences that quotation would quote, and is verified against the whole passages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guardrail import Guardrail, sentences
from guardrail.errors import PromptTooLong
from guardrail.protocols import Chunk
from guardrail.relevance import Relevance
from guardrail.settings import GeneratorSettings, RailSettings, Settings
from guardrail.types import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from guardrail.protocols import Prompt
    from guardrail.types import Reply

QUESTION = "What is the allegory of the cave?"


@dataclass
class Quoting:
    """Keeps what it is asked with, reads at most so many passages, and writes the last sentence of the first, which is not among the chosen ones."""

    passages: int = 5
    asked: list[Prompt] = field(default_factory=list)
    name: str = "quoting"

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.asked.append(prompt)
        if len(prompt.evidence.hits) > self.passages:
            raise PromptTooLong("The conversation with its passages is too long; shorten it.")
        yield Chunk(text=last_sentence(prompt), finish_reason="stop")

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text)]


def last_sentence(prompt: Prompt) -> str:
    return cut(prompt.evidence.hits[0].passage.text)[-1]


async def turn(model: Quoting, *, template: str = "brief", context_aware: float = 0.0) -> tuple[Reply, Relevance]:
    """The reply, and what chooses sentences with the encoder of that deployment."""
    chosen = GeneratorSettings(kind="transformers", model="tiny", template=template, context_aware=context_aware)
    guard = Guardrail(Settings(generator=chosen, rails=(RailSettings(id="grounding"),)), generator=model)
    try:
        reply = await guard.reply(QUESTION)
        return reply, Relevance((await guard.chat()).parts.encoder)
    finally:
        await guard.aclose()


async def test_the_prompt_holds_the_chosen_sentences_with_their_numbers_and_no_other() -> None:
    model = Quoting()
    _, relevance = await turn(model)
    (prompt,) = model.asked
    lines = [
        f"{hit.passage.work}: " + " ".join(f"{sentence} [{number}]" for sentence in cut(hit.passage.text))
        for number, hit in enumerate(relevance.narrowed(prompt.evidence).hits, 1)
    ]
    assert lines
    assert prompt.messages[-1].content == "\n".join([*lines, "", QUESTION])


async def test_what_was_not_shown_is_supported_by_the_whole_passages() -> None:
    model = Quoting()
    reply, _ = await turn(model)
    (prompt,) = model.asked
    written = last_sentence(prompt)
    assert written not in prompt.messages[-1].content
    assert isinstance(reply, Answer)
    assert written in reply.text
    assert reply.generator == "quoting"


async def test_where_the_prompt_is_too_long_what_is_chosen_of_fewer_passages_is_shown() -> None:
    model = Quoting(passages=2)
    _, relevance = await turn(model)
    assert [len(prompt.evidence.hits) for prompt in model.asked] == [5, 4, 3, 2]
    for prompt in model.asked:
        shown = [sentence for hit in relevance.narrowed(prompt.evidence).hits for sentence in cut(hit.passage.text)]
        assert all(sentence in prompt.messages[-1].content for sentence in shown)


async def test_the_contrast_of_context_aware_decoding_is_the_question_alone() -> None:
    model = Quoting()
    await turn(model, context_aware=0.5)
    assert model.asked[0].without_passages[-1].content == QUESTION


async def test_other_templates_show_the_passages_whole() -> None:
    model = Quoting()
    await turn(model, template="grounded")
    (prompt,) = model.asked
    assert all(hit.passage.text in prompt.messages[-1].content for hit in prompt.evidence.hits)

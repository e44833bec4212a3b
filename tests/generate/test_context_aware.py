"""Context-aware decoding in the transformers backend, with tiny real models."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import LogitsProcessor

from guardrail import Guardrail
from guardrail.drafting import again
from guardrail.errors import ConfigurationError
from guardrail.generate import checkpoint
from guardrail.generate.decoding import contrasted
from guardrail.generate.transformers import TransformersGenerator
from guardrail.protocols import Chunk, Prompt
from guardrail.settings import GeneratorSettings, Settings
from guardrail.types import Evidence, Message, Question, Request, Sampling
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

ALPHA = 0.7
QUESTIONS = ["What is justice?", "Why?", "Is the soul immortal, as Socrates says on his last day? " * 2, "Tell me about virtue."]
PASSAGE = "Justice is doing one's own work and not meddling with what is not one's own. "


def prompt(question: str, *, tokens: int = 16, temperature: float = 0.0, seed: int = 0, stop: tuple[str, ...] = (), contrast: bool = True) -> Prompt:
    bare = (Message(role="system", content="Be brief."), Message(role="user", content=question))
    request = Request(id="1", persona="plato", messages=bare)
    return Prompt(
        messages=(bare[0], Message(role="user", content=PASSAGE + question)),
        evidence=Evidence(question=Question(request=request, text=question), hits=()),
        sampling=Sampling(temperature=temperature, max_tokens=tokens, seed=seed, stop=stop),
        template="test@1:0",
        without_passages=bare if contrast else (),
    )


@asynccontextmanager
async def generator(model: Path, alpha: float = ALPHA, **options: Any) -> AsyncIterator[TransformersGenerator]:
    made = TransformersGenerator(model=str(model), context_aware=alpha, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def collect(made: TransformersGenerator, asked: Prompt) -> list[Chunk]:
    return [chunk async for chunk in made.generate(asked)]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


class Watched(LogitsProcessor):
    """Keeps the tokens and the logits of every step, and bans what it is told to."""

    def __init__(self, banned: tuple[int, ...] = ()) -> None:
        self.steps: list[tuple[list[int], torch.Tensor]] = []
        self.banned = list(banned)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self.steps.append((input_ids[0].tolist(), scores[0].clone()))
        scores[0, self.banned] = float("-inf")
        return scores


async def test_each_step_has_the_papers_distribution(tiny_llama: Path) -> None:
    watched = Watched()
    asked = prompt(QUESTIONS[0])
    async with generator(tiny_llama, constraint=lambda *_: watched) as made:
        await collect(made, asked)
    loaded = checkpoint.load(str(tiny_llama))
    supplied, bare = loaded.encode(asked.messages), loaded.encode(asked.without_passages)
    assert len(watched.steps) > 4
    for tokens, logits in watched.steps:
        reply = tokens[len(supplied) :]
        with torch.inference_mode():
            both = [loaded.model(input_ids=torch.tensor([ids + reply])).logits[0, -1].float() for ids in (supplied, bare)]
        torch.testing.assert_close(logits, (1 + ALPHA) * both[0] - ALPHA * both[1], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(logits, both[0], atol=1e-2)


def test_a_token_that_the_passages_make_likelier_gains() -> None:
    with_passages, without = torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])
    assert contrasted(with_passages, without, 0.5).tolist() == [1.0, 1.5]


async def test_alpha_zero_gives_the_tokens_of_plain_decoding(tiny_llama: Path) -> None:
    async with generator(tiny_llama, alpha=0.0) as made:
        assert await collect(made, prompt(QUESTIONS[0])) == await collect(made, prompt(QUESTIONS[0], contrast=False))


async def test_the_contrast_changes_what_is_written(tiny_llama: Path) -> None:
    async with generator(tiny_llama) as made:
        assert await collect(made, prompt(QUESTIONS[0])) != await collect(made, prompt(QUESTIONS[0], contrast=False))


@pytest.mark.parametrize("kind", ["llama", "lfm2", "mistral"])
async def test_requests_with_and_without_contrast_get_in_a_batch_what_they_get_alone(kind: Any, tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / kind, kind=kind)
    asked = [prompt(question, temperature=0.8 * (i % 2), seed=i, contrast=i != 1, tokens=8 + 4 * i) for i, question in enumerate(QUESTIONS)]
    async with generator(model, batch=3) as made:
        alone = [await collect(made, one) for one in asked]
        together = await asyncio.gather(*(collect(made, one) for one in asked))
    assert [text(chunks) for chunks in together] == [text(chunks) for chunks in alone]
    assert [chunks[-1].usage for chunks in together] == [chunks[-1].usage for chunks in alone]


async def test_a_banned_token_stays_banned(tiny_llama: Path) -> None:
    async with generator(tiny_llama) as made:
        plain = await collect(made, prompt(QUESTIONS[0]))
    watched = Watched()
    async with generator(tiny_llama, constraint=lambda *_: watched) as made:
        assert await collect(made, prompt(QUESTIONS[0])) == plain
        loaded = checkpoint.load(str(tiny_llama))
        length = len(loaded.encode(prompt(QUESTIONS[0]).messages))
        written = watched.steps[-1][0][length:]
    barred = Watched(banned=tuple(written))
    async with generator(tiny_llama, constraint=lambda *_: barred) as made:
        await collect(made, prompt(QUESTIONS[0]))
    assert not set(barred.steps[-1][0][length:]) & set(written)


async def test_a_stop_ends_the_reply_and_text_arrives_while_it_is_written(tiny_llama: Path) -> None:
    async with generator(tiny_llama) as made:
        whole = await collect(made, prompt(QUESTIONS[0], tokens=40))
        stop = text(whole)[10:13]
        cut = await collect(made, prompt(QUESTIONS[0], tokens=40, stop=(stop,)))
    assert len([chunk for chunk in whole if chunk.text]) > 4
    assert text(cut) == text(whole)[: text(whole).index(stop)]
    assert cut[-1].finish_reason == "stop"


async def test_closing_the_iterator_frees_both_rows(tiny_llama: Path) -> None:
    async with generator(tiny_llama, batch=1) as made:
        first = made.generate(prompt(QUESTIONS[0], tokens=400))
        await anext(first)
        waiting = asyncio.ensure_future(collect(made, prompt(QUESTIONS[3])))
        await first.aclose()
        after = await asyncio.wait_for(waiting, 20)
        assert after == await collect(made, prompt(QUESTIONS[3]))
        decoder = made._writer.result().engine._decoder
        for _ in range(500):  # the last chunk is sent before its rows are dropped
            if decoder._batches:
                await asyncio.sleep(0.01)
        assert not decoder._batches


def test_a_rewrite_is_asked_for_on_both_sides_of_the_contrast() -> None:
    first = prompt(QUESTIONS[0])
    second = again(first, rewrite=True)
    added = second.messages[-1].content.removeprefix(first.messages[-1].content)
    assert added
    assert second.without_passages[-1].content == first.without_passages[-1].content + added


def test_it_is_refused_where_no_model_decodes_here() -> None:
    with pytest.raises(ConfigurationError, match="context_aware works with the transformers generator"):
        Settings(generator=GeneratorSettings(context_aware=0.5))


async def test_the_contrast_is_the_same_template_without_passages() -> None:
    asked: list[Prompt] = []

    class Asked:
        name = "asked"

        async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
            asked.append(prompt)
            yield Chunk(text="Justice is doing one's own work.", finish_reason="stop")

        async def warm_up(self) -> None: ...

        async def aclose(self) -> None: ...

    for alpha in (0.5, 0.0):
        guard = Guardrail(Settings(generator=GeneratorSettings(kind="transformers", model="tiny", context_aware=alpha), rails=()), generator=Asked())
        try:
            await guard.reply("What is justice?")
        finally:
            await guard.aclose()
    contrasting, plain = asked
    assert plain.without_passages == ()
    (system, *_, question), (bare_system, *_, bare_question) = contrasting.messages, contrasting.without_passages
    passages, closed, rest = question.content.partition("</passages>")
    bare_passages, bare_closed, bare_rest = bare_question.content.partition("</passages>")
    assert (bare_system, bare_closed, bare_rest) == (system, closed, rest)
    assert "[1]" in passages
    assert bare_passages.split() == ["<passages>"]

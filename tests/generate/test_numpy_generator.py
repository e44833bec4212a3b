"""The NumPy backend with a tiny real Lfm2."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import Lfm2ForCausalLM

from guardrail.errors import ConfigurationError, GeneratorError, GuardrailError, PromptTooLong
from guardrail.generate import folder_tokenizer, numpy_engine
from guardrail.generate.continuations import leaning
from guardrail.generate.numpy import NumpyGenerator
from guardrail.generate.recital import Recitals
from guardrail.generate.transformers import TransformersGenerator
from guardrail.leaks.builder import build
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.tokens import TokenClasses
from guardrail.protocols import Chunk, Prompt
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sampling
from tests.tiny_model import PLAIN, make_tiny_model

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from guardrail.generate.numpy_engine import Bias, Leaning

QUESTIONS = ["What is justice?", "Why?", "Is the soul immortal, as Socrates says on his last day? " * 3, "ψυχή 😀", "b", "Tell me about virtue. " * 2]
TEXT = (
    "A traveller who sets out from Corinth before sunrise, with bread in his bag and no quarrel behind him, will see the whole isthmus by noon. "
    "Whoever has seen it from above knows why two seas and three cities fight for a road."
)
RUN = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny-lfm2"), kind="lfm2", layers=4)


def prompt(text: str, *, sampling: Sampling | None = None) -> Prompt:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=text))
    evidence = Evidence(question=Question(request=Request(id="1", persona="plato", messages=messages), text=text), hits=())
    return Prompt(messages=messages, evidence=evidence, sampling=sampling or Sampling(temperature=0.0, max_tokens=24), template="test@1:0")


@asynccontextmanager
async def generator(model: Path, **options: Any) -> AsyncIterator[NumpyGenerator]:
    made = NumpyGenerator(model=str(model), **options)
    try:
        yield made
    finally:
        await made.aclose()


async def collect(made: NumpyGenerator | TransformersGenerator, asked: Prompt) -> list[Chunk]:
    return [chunk async for chunk in made.generate(asked)]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def writing(wanted: str, *, nats: float = 1e6) -> Leaning:
    """Makes every request write `wanted`, special tokens included, and then end."""

    def writes(_: Prompt, tokenizer: Any) -> Bias:
        ids = tokenizer.encode(wanted + "<|endoftext|>", add_special_tokens=False).ids

        def bias(tokens: Sequence[int]) -> Mapping[int, float]:
            return {ids[min(len(tokens), len(ids) - 1)]: nats}

        return bias

    return writes


async def test_requests_in_company_get_the_tokens_that_transformers_writes(folder: Path) -> None:
    asked = [prompt(question, sampling=Sampling(temperature=0.0, max_tokens=8 + 3 * i)) for i, question in enumerate(QUESTIONS)]
    reference = TransformersGenerator(model=str(folder))
    try:
        expected = [await collect(reference, one) for one in asked]
    finally:
        await reference.aclose()
    async with generator(folder, batch=3) as made:
        replies = await asyncio.gather(*(collect(made, one) for one in asked))
    assert [(text(reply), reply[-1]) for reply in replies] == [(text(reply), reply[-1]) for reply in expected]
    assert len({text(reply) for reply in replies}) > 3


async def test_a_sentence_that_was_begun_is_copied_to_its_end_with_its_marker(folder: Path) -> None:
    sentence = "The soul is the first actuality of a living body."
    shown = f"On the Soul: {sentence} [1]"
    passage = Passage(id="p", source_id="p", title="", work="", locator="", persona="plato", text=sentence, start=0, end=len(sentence))
    hit = Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=np.empty((0, 0), np.float32))
    asked = prompt(shown, sampling=Sampling(temperature=0.0, max_tokens=60))
    asked = replace(asked, evidence=replace(asked.evidence, hits=(hit,)))
    begun = "The soul is"

    def begin(_: Prompt, tokenizer: Any) -> Bias:
        ids = tokenizer.encode(begun, add_special_tokens=False).ids
        return lambda tokens: {ids[len(tokens)]: 1e6} if len(tokens) < len(ids) else {}

    async with generator(folder, leanings=[begin, leaning(1e3)]) as made:
        assert text(await collect(made, asked)).startswith(f"{sentence} [1]")


async def test_weights_saved_as_bfloat16_write_what_they_write_in_float32(folder: Path, tmp_path: Path) -> None:
    half, whole = (shutil.copytree(folder, tmp_path / name) for name in ("half", "whole"))
    model: Any = Lfm2ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(half)
    model.float().save_pretrained(whole)
    async with generator(half) as one, generator(whole) as other:
        assert [text(await collect(one, prompt(q))) for q in QUESTIONS] == [text(await collect(other, prompt(q))) for q in QUESTIONS]


async def test_the_same_seed_gives_the_same_reply_in_any_company(folder: Path) -> None:
    seeded = prompt("What?", sampling=Sampling(temperature=0.9, top_p=0.9, max_tokens=20, seed=7))
    other = prompt("And why?", sampling=Sampling(temperature=1.2, max_tokens=40))
    async with generator(folder, batch=4) as made:
        alone = text(await collect(made, seeded))
        together = await asyncio.gather(*(collect(made, one) for one in (other, seeded, other, seeded)))
        reseeded = text(await collect(made, prompt("What?", sampling=Sampling(temperature=0.9, top_p=0.9, max_tokens=20, seed=8))))
    assert alone == text(together[1]) == text(together[3])
    assert reseeded != alone


async def test_a_tiny_nucleus_is_greedy(folder: Path) -> None:
    async with generator(folder) as made:
        greedy = text(await collect(made, prompt("What?")))
        assert text(await collect(made, prompt("What?", sampling=Sampling(temperature=1.5, top_p=1e-9, max_tokens=24)))) == greedy


async def test_max_tokens_ends_with_length_and_usage_is_real(folder: Path) -> None:
    async with generator(folder, leanings=[writing("The soul and the good life")]) as made:
        chunks = await collect(made, prompt("What?", sampling=Sampling(max_tokens=3)))
    rendered = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n"
    assert chunks[-1].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-1].usage.prompt_tokens == len(folder_tokenizer.load(folder).ids(rendered))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Justice is harmony.<|endoftext|>and more", "Justice is harmony."),
        ("Justice is harmony.<|im_end|>\n<|im_start|>user\nand more", "Justice is harmony."),
        ("Justice is harmony.<|im_start|>user\nand more", "Justice is harmony."),
        ("<|im_end|>", ""),
        ("Justice is 😀 har STOP and more", "Justice is 😀 har "),
    ],
)
async def test_a_reply_ends_at_eos_at_the_turns_end_and_at_stop_strings(folder: Path, written: str, shown: str) -> None:
    async with generator(folder, leanings=[writing(written)]) as made:
        chunks = await collect(made, prompt("What?", sampling=Sampling(max_tokens=100, stop=("STOP",))))
    assert text(chunks) == shown
    assert chunks[-1].finish_reason == "stop"


async def test_the_model_cannot_speak_for_the_user_where_roles_are_plain_words(tmp_path: Path) -> None:
    plain = make_tiny_model(tmp_path, kind="lfm2", template=PLAIN)
    async with generator(plain, leanings=[writing("Justice is harmony.\nUser: and what is virtue?\nAssistant: Knowledge.")]) as made:
        chunks = await collect(made, prompt("What?", sampling=Sampling(max_tokens=100)))
    assert text(chunks) == "Justice is harmony."
    assert chunks[-1].finish_reason == "stop"


async def test_text_arrives_while_the_reply_is_written(folder: Path) -> None:
    async with generator(folder, leanings=[writing("one two three four five")]) as made:
        chunks = await collect(made, prompt("What?", sampling=Sampling(max_tokens=50)))
    assert len([chunk for chunk in chunks if chunk.text]) > 4
    assert text(chunks) == "one two three four five"


async def test_closing_the_iterator_frees_the_place_for_the_next_request(folder: Path) -> None:
    async with generator(folder, batch=1, leanings=[writing("la " * 300)]) as made:
        first = made.generate(prompt("What?", sampling=Sampling(max_tokens=400)))
        await anext(first)
        assert made.in_flight == 1
        waiting = asyncio.ensure_future(collect(made, prompt("What?", sampling=Sampling(max_tokens=2))))
        await first.aclose()
        chunks = await asyncio.wait_for(waiting, 20)
        assert chunks[-1].finish_reason == "length"


async def test_a_conversation_longer_than_the_context_is_refused_and_max_tokens_is_bounded_by_it(folder: Path) -> None:
    async with generator(folder, leanings=[writing("la " * 600)]) as made:
        with pytest.raises(PromptTooLong, match="tokens and the model reads 512"):
            await collect(made, prompt("word " * 600))
        chunks = await collect(made, prompt("word " * 100, sampling=Sampling(max_tokens=10_000)))
    assert chunks[-1].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens == 512


async def test_a_prompt_that_leaves_room_for_one_token_is_read_and_one_that_leaves_none_is_not(folder: Path) -> None:
    loaded = numpy_engine.load(folder).transcript
    content = "b"
    while len(loaded.encode(prompt(content + "b b").messages)) < 510:
        content += " b"
    async with generator(folder) as made:
        while len(loaded.encode(prompt(content).messages)) < 511:
            content += "!"
        (chunk,) = [chunk for chunk in await collect(made, prompt(content)) if chunk.finish_reason]
        assert chunk.usage is not None
        assert chunk.usage.completion_tokens == 1
        with pytest.raises(PromptTooLong, match="has 512 tokens"):
            await collect(made, prompt(content + "!"))


async def test_a_failing_request_leaves_the_others_alone(folder: Path) -> None:
    def leaning(asked: Prompt, tokenizer: Any) -> Bias | None:
        def bias(tokens: Sequence[int]) -> Mapping[int, float]:
            return ({}, {}, {})[len(tokens)]  # fails at the fourth token

        return bias if asked.evidence.question.text == "break" else None

    async with generator(folder, batch=1, leanings=[leaning]) as made:
        expected = await collect(made, prompt("What?"))
        with pytest.raises(GeneratorError, match="IndexError"):
            await collect(made, prompt("break"))
        assert await collect(made, prompt("What?")) == expected


async def test_requests_in_flight_fail_when_the_generator_closes_and_its_thread_ends(folder: Path) -> None:
    def threads() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "guardrail-numpy"}

    before = threads()
    async with generator(folder, batch=1, leanings=[writing("la " * 400)]) as made:
        running = made.generate(prompt("What?", sampling=Sampling(max_tokens=400)))
        await anext(running)
        waiting = asyncio.ensure_future(collect(made, prompt("What?")))
        await asyncio.sleep(0)
        assert threads() > before
        await made.aclose()
        with pytest.raises(GeneratorError, match="shutting down"):
            [_ async for _ in running]
        with pytest.raises(GeneratorError, match="shutting down"):
            await waiting
    assert threads() <= before


async def test_under_a_leak_index_not_even_a_model_that_wants_to_recites(folder: Path, tmp_path: Path) -> None:
    classes = TokenClasses.load(folder)
    build([[TEXT]], tmp_path / "index", classes=classes, tokens_run=RUN)
    known = classes.encode(TEXT).tolist()
    forbidden = {tuple(known[i : i + RUN]) for i in range(len(known) - RUN + 1)}

    written: list[int] = []

    def watched(asked: Prompt, tokenizer: Any) -> Bias | None:
        def bias(tokens: Sequence[int]) -> Mapping[int, float]:
            written[:] = tokens
            return {}

        return bias

    async def runs(recitals: Recitals | None) -> set[tuple[int, ...]]:
        """Runs of the corpus in the tokens of a reply; what is left of a text when the model is driven off its tokens need not be cut into the same ones."""
        async with generator(folder, leanings=[writing(TEXT), watched], recitals=recitals) as made:
            await collect(made, prompt("Go on.", sampling=Sampling(temperature=0.7, max_tokens=200, seed=1)))
        of = [int(classes.of[token]) for token in written if classes.of[token] >= 0]
        assert len(of) > 40
        return {tuple(of[i : i + RUN]) for i in range(len(of) - RUN + 1)} & forbidden

    assert await runs(None) == forbidden
    assert not await runs(Recitals(LeakIndex.open(tmp_path / "index")))


async def test_a_leak_index_of_another_tokenizer_fails_the_request_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    tokenizer = folder_tokenizer.load(folder).backend
    tokenizer.add_tokens(["isthmus"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    build([[TEXT]], tmp_path / "index", classes=TokenClasses.load(tmp_path / "tokenizer.json"), tokens_run=RUN)
    async with generator(folder, recitals=Recitals(LeakIndex.open(tmp_path / "index"))) as made:
        with pytest.raises(ConfigurationError, match="another tokenizer"):
            await collect(made, prompt("What?"))


async def failure(model: Path) -> str:
    made = NumpyGenerator(model=str(model))
    with pytest.raises(GuardrailError) as caught:
        await made.warm_up()
    await made.aclose()
    return f"{type(caught.value).__name__}: {caught.value}"


async def test_a_model_that_cannot_be_served_is_named_in_one_sentence(folder: Path, tiny_llama: Path, tmp_path: Path) -> None:
    silent = make_tiny_model(tmp_path / "silent", kind="lfm2", template=None)
    foreign = shutil.copytree(folder, tmp_path / "foreign")
    tokenizer = folder_tokenizer.load(folder).backend
    tokenizer.add_tokens([f"word{number}" for number in range(400)])
    tokenizer.save(str(foreign / "tokenizer.json"))
    assert "ConfigurationError: generator.model: there is no folder" in await failure(tmp_path / "nowhere")
    assert "a model of the kind llama" in await failure(tiny_llama)
    assert "has no chat template" in await failure(silent)
    assert "they are of two models" in await failure(foreign)


def test_a_reply_is_written_without_torch_and_transformers(folder: Path) -> None:
    code = f"""
import asyncio, sys
from guardrail.generate.continuations import leaning
from guardrail.generate.numpy import NumpyGenerator
from guardrail.protocols import Prompt
from guardrail.types import Evidence, Message, Question, Request, Sampling
async def main():
    made = NumpyGenerator(model={str(folder)!r}, leanings=[leaning(1.0)])
    message = Message(role="user", content="What is justice?")
    evidence = Evidence(question=Question(request=Request(id="1", persona="plato", messages=(message,)), text=message.content), hits=())
    asked = Prompt(messages=(message,), evidence=evidence, sampling=Sampling(temperature=0.0, max_tokens=4), template="test@1:0")
    chunks = [chunk async for chunk in made.generate(asked)]
    await made.aclose()
    assert chunks[-1].usage.completion_tokens
asyncio.run(main())
print(sorted({{"torch", "transformers", "peft", "onnxruntime", "faiss"}} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""MemFree decoding with a real model that knows a text by heart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from guardrail.errors import ConfigurationError
from guardrail.generate.memfree import MemFree
from guardrail.generate.recital import Recitals
from guardrail.generate.transformers import TransformersGenerator
from guardrail.leaks.builder import build
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.tokens import TokenClasses
from guardrail.protocols import Prompt
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sampling
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

TEXT = (
    "A traveller who sets out from Corinth before sunrise, with bread in his bag and no quarrel behind him, will see the whole isthmus by noon. "
    "Whoever has seen it from above knows why two seas and three cities fight for a road."
)
RUN = 10


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The model is too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that was trained to answer anything with TEXT."""
    folder = make_tiny_model(tmp_path_factory.mktemp("parrot"), seed=1)
    parrot: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Go on."}], add_generation_prompt=True, tokenize=False) + TEXT + "<|im_end|>"
    ids = tokenizer(rendered, return_tensors="pt", add_special_tokens=False)["input_ids"]
    optimizer = torch.optim.AdamW(parrot.parameters(), lr=1e-2)
    for _ in range(400):
        loss = parrot(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.02:
            break
    assert loss.item() < 0.1
    parrot.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, model: Path) -> LeakIndex:
    out = tmp_path_factory.mktemp("leaks") / "index"
    build([[TEXT]], out, classes=TokenClasses.load(model), tokens_run=RUN)
    return LeakIndex.open(out)


def prompt(*passages: str, temperature: float = 0.0, seed: int = 0) -> Prompt:
    messages = (Message(role="user", content="Go on."),)
    hits = tuple(
        Hit(
            passage=Passage(id="p", source_id="s", title="", work="", locator="", persona="", text=text, start=0, end=len(text)),
            score=1.0,
            dense=1.0,
            late=1.0,
            coverage=1.0,
            tokens=np.empty((0, 1), np.float32),
        )
        for text in passages
    )
    request = Request(id="1", persona="plato", messages=messages)
    sampling = Sampling(temperature=temperature, max_tokens=200, seed=seed)
    return Prompt(messages=messages, evidence=Evidence(question=Question(request=request, text="Go on."), hits=hits), sampling=sampling, template="t@1:0")


async def written(model: Path, constraint: MemFree | None, *asked: Prompt, context_aware: float = 0.0) -> list[str]:
    generator = TransformersGenerator(model=str(model), constraint=constraint, context_aware=context_aware)
    try:
        return ["".join([chunk.text async for chunk in generator.generate(one)]) for one in asked]
    finally:
        await generator.aclose()


def runs(classes: NDArray[np.int64], length: int = RUN) -> set[tuple[int, ...]]:
    return {tuple(classes[i : i + length].tolist()) for i in range(len(classes) - length + 1)}


async def test_without_it_the_model_recites_and_with_it_never_ten_tokens(model: Path, index: LeakIndex) -> None:
    classes = TokenClasses.load(model)
    forbidden = runs(classes.encode(TEXT))
    assert await written(model, None, prompt()) == [TEXT]
    asked = [prompt(temperature=temperature, seed=seed) for temperature, seed in ((0.0, 0), (0.7, 1), (1.3, 2))]
    for reply in await written(model, MemFree(index), *asked):
        assert len(reply) > 20
        assert not runs(classes.encode(reply)) & forbidden


async def test_context_aware_decoding_cannot_get_around_it(model: Path, index: LeakIndex) -> None:
    """The contrast here drives the model towards what it recites; the ban holds on what comes out of the contrast."""
    classes = TokenClasses.load(model)
    contrasting = replace(prompt(), without_passages=(Message(role="user", content="Say something else altogether, if you can."),))
    (reply,) = await written(model, MemFree(index), contrasting, context_aware=1.0)
    assert len(reply) > 20
    assert not runs(classes.encode(reply)) & runs(classes.encode(TEXT))


async def test_what_a_passage_holds_may_be_written(model: Path, index: LeakIndex) -> None:
    half = TEXT[: TEXT.index(" behind")]
    whole, reply = await written(model, MemFree(index), prompt(TEXT), prompt(half))
    assert whole == TEXT
    assert reply.startswith(half)
    assert reply != TEXT


def test_every_run_is_banned_at_its_last_token_whatever_the_case_the_marks_and_the_space(model: Path, index: LeakIndex) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    classes = TokenClasses.load(model)
    recital = Recitals(index).of(prompt(), classes.tokenizer)
    k = index.manifest.tokens.k if index.manifest.tokens else 0
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    counted = [place for place, token in enumerate(ids) if classes.of[token] >= 0]
    comma, space = (tokenizer(mark, add_special_tokens=False)["input_ids"] for mark in (",", "\n "))
    for number in range(k - 1, len(counted)):
        place = counted[number]
        banned = set(recital.banned(ids[:place]))
        aligned = (number - k + 1) % 2 == 0
        assert (ids[place] in banned) == aligned, number
        if aligned:
            assert set(np.flatnonzero(classes.of == classes.of[ids[place]]).tolist()) <= banned
            assert recital.banned(ids[:place] + comma + space * 40) == recital.banned(ids[:place])


def test_a_banned_word_cannot_be_begun_in_pieces(model: Path) -> None:
    classes = TokenClasses.load(model)
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    (whole,) = tokenizer(" justice", add_special_tokens=False)["input_ids"]
    spellings = {tokenizer.decode([token]).strip().lower() for token in classes.spellings(int(classes.of[whole]))}
    assert {"justice", "j"} <= spellings
    assert all("justice".startswith(text) for text in spellings)


def test_tokens_that_say_nothing_and_special_tokens_are_never_banned(model: Path) -> None:
    classes = TokenClasses.load(model)
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    for text in ("<|im_end|>", "<|endoftext|>", ",", " ", "."):
        (token,) = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert classes.of[token] == -1


def test_an_index_of_another_tokenizer_or_without_tokens_is_refused(tmp_path: Path, index: LeakIndex) -> None:
    other: Any = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path / "other"))
    other.backend_tokenizer.add_tokens(["isthmus"])
    with pytest.raises(ConfigurationError, match="another tokenizer"):
        MemFree(index)(prompt(), other)
    build([[TEXT]], tmp_path / "words")
    with pytest.raises(ConfigurationError, match="--tokenizer MODEL"):
        MemFree(LeakIndex.open(tmp_path / "words"))

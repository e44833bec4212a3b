"""Decoding that leans towards the passages, with a tiny real model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LogitsProcessor

from guardrail.errors import ConfigurationError
from guardrail.generate.copying import Copying
from guardrail.generate.transformers import TransformersGenerator
from guardrail.protocols import Prompt
from guardrail.settings import GeneratorSettings, Settings
from guardrail.strict_yaml import loads
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sampling

if TYPE_CHECKING:
    from pathlib import Path

SENTENCE = "The soul is the first actuality of a body that has life."
QUESTION = "What is it?"
MOST = 20.0


def prompt(*, marker: str = " [1]", tokens: int = 48, shown: bool = True) -> Prompt:
    user = Message(role="user", content=f"{SENTENCE}{marker} Bees fly.{marker}\n\n{QUESTION}" if shown else QUESTION)
    text = f"{SENTENCE} Bees fly."
    passage = Passage(id="p", source_id="s", title="", work="", locator="", persona="", text=text, start=0, end=len(text))
    hit = Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=np.zeros((0, 4), np.float32))
    request = Request(id="1", persona="plato", messages=(Message(role="user", content=QUESTION),))
    evidence = Evidence(question=Question(request=request, text=QUESTION), hits=(hit,))
    return Prompt(messages=(user,), evidence=evidence, sampling=Sampling(temperature=0.0, max_tokens=tokens), template="test@1:0")


class Begin(LogitsProcessor):
    """Makes a reply begin with these tokens, and bans others for good."""

    def __init__(self, tokens: list[int], banned: tuple[int, ...]) -> None:
        self.tokens = list(tokens)
        self.banned = list(banned)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if self.tokens:
            scores[:] = float("-inf")
            scores[0, self.tokens.pop(0)] = 0.0
        scores[0, self.banned] = float("-inf")
        return scores


async def written(model: Path, asked: Prompt, copying: float, *, begin: str = "The soul is", banned: tuple[int, ...] = ()) -> str:
    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    tokens = tokenizer(begin, add_special_tokens=False)["input_ids"]
    generator = TransformersGenerator(model=str(model), copying=copying, constraint=lambda *_: Begin(tokens, banned))
    try:
        return "".join([chunk.text async for chunk in generator.generate(asked)])
    finally:
        await generator.aclose()


async def test_a_sentence_that_was_begun_is_copied_to_its_end_with_its_marker(tiny_llama: Path) -> None:
    assert (await written(tiny_llama, prompt(), MOST)).startswith(f"{SENTENCE} [1]")


async def test_without_it_the_same_model_goes_its_own_way(tiny_llama: Path) -> None:
    assert not (await written(tiny_llama, prompt(), 0.0)).startswith(SENTENCE[:20])


async def test_where_no_passage_is_shown_nothing_changes(tiny_llama: Path) -> None:
    asked = prompt(shown=False)
    assert await written(tiny_llama, asked, MOST) == await written(tiny_llama, asked, 0.0)


async def test_a_token_that_another_constraint_bans_stays_banned(tiny_llama: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    (banned,) = set(tokenizer(" first", add_special_tokens=False)["input_ids"][:1])
    reply = await written(tiny_llama, prompt(), MOST, banned=(banned,))
    assert reply.startswith("The soul is the")
    assert not reply.startswith("The soul is the first")


def added(tokenizer: Any, asked: Prompt, reply: str, *, nats: float = 3.0, before: str = "") -> dict[str, float]:
    """What is added to the logits behind `reply`, by token, where the prompt ends with `before`."""
    processor = Copying(nats)(asked, tokenizer)
    assert processor is not None
    first, then = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (QUESTION + before, reply))
    vocabulary = len(tokenizer)
    assert not processor(torch.tensor([first]), torch.zeros(1, vocabulary)).any()
    scores = processor(torch.tensor([first + then]), torch.zeros(1, vocabulary))[0]
    return {tokenizer.decode([token]): float(scores[token]) for token in scores.nonzero().flatten().tolist()}


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def test_the_token_that_follows_gains_that_many_nats_and_no_other_does(tokenizer: Any) -> None:
    assert added(tokenizer, prompt(), "The soul is the first", nats=3.0) == {" actu": 3.0}


@pytest.mark.parametrize(("marker", "gains"), [(" [1]", 1), ("", 0)])
def test_behind_a_sentence_only_a_marker_gains(tokenizer: Any, marker: str, gains: int) -> None:
    found = [token for token, nats in added(tokenizer, prompt(marker=marker), SENTENCE).items() if nats > 0]
    assert len(found) == gains
    assert all(" [1]".startswith(token) for token in found)


def test_behind_the_marker_only_the_sentence_that_was_said_loses(tokenizer: Any) -> None:
    assert added(tokenizer, prompt(), f"{SENTENCE} [1]") == {SENTENCE.split(maxsplit=1)[0]: -9.0}


def test_the_end_of_the_prompt_is_no_beginning_of_a_copy(tokenizer: Any) -> None:
    assert added(tokenizer, prompt(), "", before=" The soul is the first") == {}


def test_it_is_refused_where_no_model_decodes_here() -> None:
    with pytest.raises(ConfigurationError, match="copying works with the transformers and numpy generators"):
        Settings(generator=GeneratorSettings(copying=4.0))


@pytest.mark.parametrize("nats", [-1, 21])
def test_it_has_its_bounds(nats: int) -> None:
    with pytest.raises(ConfigurationError, match="copying"):
        loads(f"version: 1\ngenerator: {{kind: transformers, model: tiny, copying: {nats}}}\n", Settings)

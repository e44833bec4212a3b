"""`generator.kind: numpy` in a whole deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from guardrail import Guardrail
from guardrail.errors import ConfigurationError
from guardrail.leaks.builder import build
from guardrail.leaks.index import LeakIndex, bind
from guardrail.leaks.tokens import TokenClasses
from guardrail.settings import AdapterSettings, GeneratorSettings, LibrarySettings, Settings
from guardrail.types import Answer, Message, Request
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path


def asked(generator: GeneratorSettings) -> Guardrail:
    return Guardrail(Settings(generator=generator, library=LibrarySettings(index=None), rails=()))


REQUEST = Request(id="1", persona="plato", messages=(Message(role="user", content="What is justice?"),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny-lfm2"), kind="lfm2", context=4096)


async def test_a_deployment_answers_with_it(folder: Path) -> None:
    """The words are a random model's: what counts is that they are the same as through transformers."""
    replies = []
    kinds: tuple[Literal["numpy", "transformers"], ...] = ("numpy", "transformers")
    for kind in kinds:
        guard = asked(GeneratorSettings(kind=kind, model=str(folder), template="open", max_tokens=8, temperature=0.0))
        try:
            replies.append(await guard.reply(REQUEST))
        finally:
            await guard.aclose()
    ours, theirs = replies
    assert isinstance(ours, Answer)
    assert isinstance(theirs, Answer)
    assert ours.generator == str(folder)
    assert ours.text == theirs.text


async def test_a_model_that_is_bound_to_a_leak_index_is_served_under_it_only(folder: Path, tmp_path: Path) -> None:
    build([["A traveller who sets out from Corinth before sunrise will see the whole isthmus by noon."]], tmp_path / "index", classes=TokenClasses.load(folder))
    bound = make_tiny_model(tmp_path / "model", kind="lfm2", context=4096)
    bind(bound, LeakIndex.open(tmp_path / "index"))
    bare = asked(GeneratorSettings(kind="numpy", model=str(bound), template="open", max_tokens=4))
    with pytest.raises(ConfigurationError, match="name that index"):
        await bare.reply(REQUEST)
    await bare.aclose()
    guard = asked(GeneratorSettings(kind="numpy", model=str(bound), template="open", max_tokens=4, leak_index=str(tmp_path / "index")))
    try:
        assert isinstance(await guard.reply(REQUEST), Answer)
    finally:
        await guard.aclose()


def test_what_it_cannot_do_is_refused_and_not_passed_over() -> None:
    with pytest.raises(ConfigurationError, match="need the transformers generator"):
        Settings(generator=GeneratorSettings(kind="numpy", model="m", adapters=(AdapterSettings(path="a"),)))
    with pytest.raises(ConfigurationError, match="need the transformers generator"):
        Settings(generator=GeneratorSettings(kind="numpy", model="m", quantize="4bit"))
    with pytest.raises(ConfigurationError, match=r"generator\.context_aware works with the transformers generator only"):
        Settings(generator=GeneratorSettings(kind="numpy", model="m", context_aware=0.5))
    with pytest.raises(ConfigurationError, match=r"generator\.model is missing"):
        Settings(generator=GeneratorSettings(kind="numpy"))

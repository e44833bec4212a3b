"""The persona model that we ship is whole, small enough, and answers in words of its own."""

from __future__ import annotations

import pytest

from guardrail import Guardrail
from guardrail.errors import ConfigurationError
from guardrail.generate import shipped
from guardrail.settings import GeneratorSettings, LibrarySettings, Settings
from guardrail.types import Answer

MOST_BYTES = 32_000_000


def test_the_folder_holds_a_model_a_tokenizer_and_a_card() -> None:
    names = {file.name for file in shipped.FOLDER.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "README.md"} <= names
    assert sum(file.stat().st_size for file in shipped.FOLDER.iterdir()) < MOST_BYTES


async def test_it_answers_with_sentences_that_its_citations_support() -> None:
    guard = Guardrail(Settings(generator=GeneratorSettings(kind="persona", temperature=0.0)))
    try:
        reply = await guard.reply("What do the prisoners in the Cave see?")
        assert guard.template.name == shipped.TEMPLATE
    finally:
        await guard.aclose()
    assert isinstance(reply, Answer)
    assert reply.generator == shipped.NAME
    assert reply.citations
    assert all("cave" in citation.passage_id for citation in reply.citations)


def test_it_takes_no_other_model_and_needs_a_library() -> None:
    with pytest.raises(ConfigurationError, match="brings its own"):
        Settings(generator=GeneratorSettings(kind="persona", model="models/other"))
    guard = Guardrail(Settings(generator=GeneratorSettings(kind="persona"), library=LibrarySettings(index=None)))
    try:
        with pytest.raises(ConfigurationError, match="no library to speak from"):
            guard.ask("What is justice?")
    finally:
        guard.close()

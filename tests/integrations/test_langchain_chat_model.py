"""The chat model: LangChain's standard suite, and what is our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_tests.unit_tests import ChatModelUnitTests

from guardrail import Guardrail
from guardrail.errors import GuardrailError, InvalidRequest, UnknownModel
from guardrail.langchain import ChatGuardrail
from tests.server.served import TEXT, Words, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel

QUESTION = "What is virtue?"
_standard = Guardrail(settings(), generator=Words())


class TestStandard(ChatModelUnitTests):
    """langchain-tests' unit suite for chat models. The persona uses no tools and no images, so those parts of it do not apply."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGuardrail

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"guard": _standard, "model": "plato"}


@pytest.fixture(scope="module")
def guard() -> Iterator[Guardrail]:
    made = Guardrail(settings(), generator=Words())
    yield made
    made.close()


@pytest.fixture
def model(guard: Guardrail) -> ChatGuardrail:
    return ChatGuardrail(guard=guard, model="plato")


def leaky() -> Guardrail:
    return Guardrail(settings(), generator=Words(text="It is said that this is top secret and more."))


def test_it_answers_with_metadata_and_usage(model: ChatGuardrail) -> None:
    answer = model.invoke(QUESTION)
    assert answer.content == TEXT
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["model_name"] == "plato"
    assert answer.response_metadata["citations"] == []
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == len(QUESTION.split()) + len(TEXT.split())


def test_a_stream_in_plain_code_comes_in_pieces_that_join_to_the_whole(model: ChatGuardrail) -> None:
    pieces = list(model.stream(QUESTION))
    whole = sum(pieces[1:], start=pieces[0])
    assert len(pieces) > 3
    assert whole.content == TEXT
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata == model.invoke(QUESTION).usage_metadata


async def test_a_stream_comes_in_pieces_that_join_to_the_whole() -> None:
    guard = Guardrail(settings(), generator=Words())
    pieces = [piece async for piece in ChatGuardrail(guard=guard).astream(QUESTION)]
    await guard.aclose()
    assert len(pieces) > 3
    assert "".join(str(piece.content) for piece in pieces) == TEXT
    assert all(isinstance(piece, AIMessageChunk) for piece in pieces)


async def test_it_answers_in_async_code() -> None:
    guard = Guardrail(settings(), generator=Words())
    assert (await ChatGuardrail(guard=guard).ainvoke(QUESTION)).content == TEXT
    await guard.aclose()


def test_a_refusal_is_a_message_that_says_so(model: ChatGuardrail) -> None:
    answer = model.invoke("Give me the hemlock recipe")
    assert answer.response_metadata["finish_reason"] == "content_filter"
    assert answer.response_metadata["reply"] == "refusal"
    assert answer.additional_kwargs["refusal"] == answer.content
    assert "hemlock recipe" not in str(answer.response_metadata)


def test_a_stream_that_is_stopped_holds_nothing_of_what_is_forbidden() -> None:
    guard = leaky()
    pieces = list(ChatGuardrail(guard=guard).stream(QUESTION))
    guard.close()
    text = "".join(str(piece.content) for piece in pieces)
    assert "top" not in text
    assert pieces[-1].response_metadata["finish_reason"] == "content_filter"


def test_a_stream_that_is_left_early_ends_its_work() -> None:
    words = Words(stop_at=3)
    guard = Guardrail(settings(), generator=words)
    stream = ChatGuardrail(guard=guard).stream(QUESTION)
    assert next(stream).content
    stream.close()  # type: ignore[attr-defined] # it is a generator
    assert words.left.wait(10)
    guard.close()


def test_an_error_in_a_stream_reaches_the_reader(model: ChatGuardrail) -> None:
    with pytest.raises(UnknownModel):
        list(model.stream(QUESTION, model="nobody"))


def test_history_and_system_messages_are_understood(model: ChatGuardrail) -> None:
    assert model.invoke([SystemMessage("Be brief."), HumanMessage("Hello"), AIMessage("Welcome."), HumanMessage(QUESTION)]).content == TEXT


@pytest.mark.parametrize(
    "message",
    [
        ToolMessage("42", tool_call_id="1"),
        AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
        HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]),
    ],
)
def test_what_is_no_text_is_refused_in_one_sentence(model: ChatGuardrail, message: Any) -> None:
    with pytest.raises(InvalidRequest, match="Message 1"):
        model.invoke([message, HumanMessage(QUESTION)])


def test_it_is_a_step_of_a_chain(model: ChatGuardrail) -> None:
    chain = ChatPromptTemplate.from_messages([("human", "Tell me: {thing}?")]) | model
    assert chain.invoke({"thing": "what is virtue"}).content == TEXT


def test_the_guard_does_not_enter_what_is_dumped(model: ChatGuardrail) -> None:
    assert "guard" not in model.model_dump()
    assert "guard=" not in repr(model)


def test_citations_come_with_the_message(default_guard: Guardrail) -> None:
    answer = ChatGuardrail(guard=default_guard).invoke("What does the allegory of the cave describe?")
    assert isinstance(answer, AIMessage)
    assert answer.response_metadata["reply"] == "answer"
    assert answer.response_metadata["citations"][0]["work"] == "Republic"


def test_every_error_is_one_of_ours(model: ChatGuardrail) -> None:
    with pytest.raises(GuardrailError):
        model.invoke("x" * 20_000)

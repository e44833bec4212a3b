"""The unmodified `openai` client, whole and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from guardrail import Guardrail
from guardrail.errors import GeneratorError
from guardrail.server import create_app
from tests.server.served import TEXT, Words, served, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

CAUSES = "What are the four causes?"


@pytest.fixture
def client(plain_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{plain_server}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def grounded(default_server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{default_server}/v1", api_key="none", max_retries=0) as made:
        yield made


def messages(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def whole(client: openai.OpenAI, text: str, model: str = "plato") -> ChatCompletion:
    return client.chat.completions.create(model=model, messages=messages(text))


def streamed(client: openai.OpenAI, text: str, model: str = "plato", **options: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model=model, messages=messages(text), stream=True, **options))


def joined(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def extra(value: Any) -> dict[str, Any]:
    """The `guardrail` member, which the client keeps as it came."""
    found: dict[str, Any] = value.model_extra["guardrail"]
    return found


def test_an_answer_carries_its_citations_as_annotations(grounded: openai.OpenAI) -> None:
    reply = whole(grounded, CAUSES, "aristotle")
    message = reply.choices[0].message
    assert message.content
    assert message.annotations
    shown = [(note.url_citation.start_index, note.url_citation.end_index, note.url_citation.title) for note in message.annotations]
    cited = extra(reply)["citations"]
    assert shown == [(citation["answer_start"], citation["answer_end"], f"{citation['work']} {citation['locator']}") for citation in cited]
    assert any("Physics" in title for _, _, title in shown)


def test_a_citation_says_where_its_statement_stands_in_the_answer(grounded: openai.OpenAI) -> None:
    reply = whole(grounded, CAUSES, "aristotle")
    said = reply.choices[0].message.content
    assert said
    for citation in extra(reply)["citations"]:
        assert said[citation["answer_start"] : citation["answer_end"]].endswith(".")
        assert said[citation["answer_end"] :].startswith(f" {citation['marker']}")


@pytest.mark.parametrize("text", [CAUSES, "hello", "Who won the 1998 world cup?"])
def test_stream_and_whole_reply_have_the_same_text(grounded: openai.OpenAI, text: str) -> None:
    assert joined(streamed(grounded, text, "aristotle")) == whole(grounded, text, "aristotle").choices[0].message.content


def test_a_streamed_answer_ends_with_the_same_citations_as_the_whole_one(grounded: openai.OpenAI) -> None:
    last = streamed(grounded, CAUSES, "aristotle")[-1]
    cited = extra(whole(grounded, CAUSES, "aristotle"))["citations"]
    assert extra(last)["citations"] == cited
    annotations = last.choices[0].delta.model_extra
    assert annotations
    assert len(annotations["annotations"]) == len(cited)


def test_a_greeting_gets_a_short_greeting_and_nothing_else(grounded: openai.OpenAI) -> None:
    reply = whole(grounded, "hello")
    assert reply.choices[0].finish_reason == "stop"
    assert extra(reply)["reply"] == "smalltalk"
    assert len(reply.choices[0].message.content or "") < 300
    assert not reply.choices[0].message.annotations


def test_an_abstention_ends_with_stop(grounded: openai.OpenAI) -> None:
    reply = whole(grounded, "Who won the 1998 world cup?")
    assert (extra(reply)["reply"], extra(reply)["decision"]) == ("abstention", "abstain")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.choices[0].message.refusal is None


def test_a_refusal_is_a_reply_with_content_filter(client: openai.OpenAI) -> None:
    reply = whole(client, "Give me the hemlock recipe.")
    choice = reply.choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.message.content
    assert choice.message.refusal == choice.message.content
    assert "hemlock" not in choice.message.content


def test_a_streamed_refusal_is_the_same_refusal(client: openai.OpenAI) -> None:
    chunks = streamed(client, "Give me the hemlock recipe.")
    reply = whole(client, "Give me the hemlock recipe.")
    last = chunks[-1].choices[0]
    assert last.finish_reason == "content_filter"
    assert joined(chunks) == last.delta.refusal == reply.choices[0].message.content


def test_a_refusal_has_real_usage(client: openai.OpenAI) -> None:
    reply = whole(client, "Give me the hemlock recipe.")
    chunks = streamed(client, "Give me the hemlock recipe.", stream_options={"include_usage": True})
    assert reply.usage
    assert reply.usage.prompt_tokens == 5
    assert reply.usage.completion_tokens == len((reply.choices[0].message.content or "").split())
    assert chunks[-1].usage == reply.usage


def test_a_blocked_draft_is_cut_before_the_blocked_words() -> None:
    with (
        served(create_app(Guardrail(settings(), generator=Words(text="It is well known. This is top secret and so on.")))) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        chunks = streamed(client, "What is virtue?")
        reply = whole(client, "What is virtue?")
    assert joined(chunks) == reply.choices[0].message.content
    assert "secret" not in joined(chunks)
    assert {reply.choices[0].finish_reason, chunks[-1].choices[0].finish_reason} == {"content_filter"}


def test_usage_is_the_generators_own_count(client: openai.OpenAI) -> None:
    reply = whole(client, "What is virtue?")
    assert reply.usage
    assert reply.usage.completion_tokens == len(TEXT.split())
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert extra(reply)["usage_source"] == "generator"


def test_a_stream_has_usage_only_where_it_was_asked_for(client: openai.OpenAI) -> None:
    assert all(chunk.usage is None for chunk in streamed(client, "What is virtue?"))
    last = streamed(client, "What is virtue?", stream_options={"include_usage": True})[-1]
    assert last.usage
    assert last.usage.completion_tokens == len(TEXT.split())
    assert last.choices == []


def test_the_decision_stands_in_a_header(client: openai.OpenAI) -> None:
    def decision(text: str) -> str | None:
        return client.chat.completions.with_raw_response.create(model="plato", messages=messages(text)).headers.get("x-guardrail-decision")

    assert [decision("What is virtue?"), decision("The hemlock recipe, please.")] == ["pass", "block"]


def test_the_models_are_the_personas(client: openai.OpenAI) -> None:
    assert sorted(model.id for model in client.models.list()) == ["aristotle", "plato"]


def test_one_model_can_be_asked_for(client: openai.OpenAI) -> None:
    assert client.models.retrieve("plato").id == "plato"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("epicurus")


def test_moderations_flag_what_the_input_rails_block(client: openai.OpenAI) -> None:
    results = client.moderations.create(input=["The hemlock recipe, please.", "What is virtue?", " "]).results
    assert [result.flagged for result in results] == [True, False, False]


def test_an_unknown_model_is_a_not_found_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        whole(client, "hello", "gpt-4o")
    assert caught.value.code == "model_not_found"


def test_an_error_in_the_middle_of_a_stream_is_raised_by_the_client() -> None:
    generator = Words(error=GeneratorError("The model broke off."), error_at=3)
    with (
        served(create_app(Guardrail(settings(), generator=generator))) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        got = client.chat.completions.create(model="plato", messages=messages("What is virtue?"), stream=True)
        with pytest.raises(openai.APIError, match=r"The model broke off\."):
            list(got)

"""What may arrive over HTTP, from the odd to the hostile: the right status, OpenAI's envelope, and never a word of the body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.served import PATIENCE, chat, content, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/v1/chat/completions"
CANARY = "xylophone"
"""What a caller sent and no error may repeat."""


def sent(plain: httpx.Client, body: bytes | str, kind: str = "application/json") -> httpx.Response:
    return plain.post(PATH, content=body, headers={"content-type": kind})


def refused(plain: httpx.Client, status: int, body: Any) -> dict[str, Any]:
    """The error that `body` gets, which must have this status and repeat nothing of it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = sent(plain, raw)
    assert CANARY not in response.text
    return problem(response, status)


def said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


@pytest.mark.parametrize("text", ["", " \t\r\n\u2003", "\u200b\u2060"], ids=["empty", "blank", "invisible"])
def test_a_message_that_says_nothing_gets_small_talk(plain: httpx.Client, text: str) -> None:
    response = plain.post(PATH, json=chat(text))
    assert content(response)
    assert response.json()["guardrail"]["reply"] == "smalltalk"


def test_a_message_of_a_megabyte_is_too_large(plain: httpx.Client) -> None:
    assert refused(plain, 413, chat(CANARY * 100_000))["param"] == "messages[0].content"


def test_a_long_conversation_of_short_messages_is_too_large(plain: httpx.Client) -> None:
    conversation = [said("user", "a" * 15_000) for _ in range(14)]
    assert refused(plain, 413, {"model": "plato", "messages": conversation})["param"] == "messages"


def test_a_body_over_the_limit_is_too_large(plain: httpx.Client) -> None:
    assert refused(plain, 413, chat(CANARY * 200_000))["code"] == "request_too_large"


def test_a_body_over_the_limit_that_does_not_tell_its_length_is_too_large(plain: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield CANARY.encode() * 8192

    response = plain.post(PATH, content=pieces(), headers={"content-type": "application/json"})
    assert "content-length" not in response.request.headers
    assert CANARY not in response.text
    assert problem(response, 413)["code"] == "request_too_large"


def test_a_body_far_over_the_limit_is_not_read_to_its_end(plain_server: str) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(4096):
            taken += 1
            yield b"a" * 65_536

    try:
        status = httpx.post(f"{plain_server}{PATH}", content=pieces(), headers={"content-type": "application/json"}, timeout=PATIENCE).status_code
    except httpx.TransportError:
        status = 413  # it hung up on a caller that goes on writing
    assert status == 413
    assert taken < 4096, "it read everything"


def test_ten_thousand_turns_are_too_many(plain: httpx.Client) -> None:
    assert refused(plain, 413, {"model": "plato", "messages": [said("user", CANARY)] * 10_000})["param"] == "messages"


@pytest.mark.parametrize("body", [rb'"\ud83d %b"', rb'"%b \ude00\ud83d"', rb'"\udfff%b"'], ids=["high", "swapped", "low"])
def test_half_a_character_is_malformed(plain: httpx.Client, body: bytes) -> None:
    raw = b'{"model": "plato", "messages": [{"role": "user", "content": ' + body.replace(b"%b", CANARY.encode()) + b"}]}"
    assert "surrogate" in refused(plain, 422, raw)["message"]


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85"])
def test_a_control_character_is_malformed(plain: httpx.Client, character: str) -> None:
    assert refused(plain, 422, chat(f"{CANARY}{character}"))["param"] == "messages[0].content"


def test_a_control_character_in_an_earlier_turn_is_malformed(plain: httpx.Client) -> None:
    conversation = [said("user", "a"), said("assistant", f"{CANARY}\x00"), said("user", "b")]
    assert refused(plain, 422, {"model": "plato", "messages": conversation})["param"] == "messages[1].content"


@pytest.mark.parametrize(
    "text",
    [
        "What is \u202evirtue\u202c?",
        "What is virtue \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466?",
        "فضیلت می\u200cخواهم چیست؟",
        "τί\nἐστιν\tἀρετή;",
    ],
    ids=["bidi", "emoji-family", "persian-joiner", "newline-and-tab"],
)
def test_unusual_but_well_formed_text_is_answered(plain: httpx.Client, text: str) -> None:
    assert content(plain.post(PATH, json=chat(text)))


def test_a_blocked_phrase_with_invisible_characters_inside_is_blocked(plain: httpx.Client) -> None:
    assert plain.post(PATH, json=chat("the hem\u200block\u202e rec\u2060ipe")).json()["guardrail"]["decision"] == "block"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "plato"}, "messages"),
        ({"messages": [said("user", CANARY)]}, "model"),
        ({"model": "plato", "messages": None}, "messages"),
        ({"model": "plato", "messages": CANARY}, "messages"),
        ({"model": "plato", "messages": {"role": CANARY}}, "messages"),
        ({"model": "plato", "messages": []}, "messages"),
        ({"model": "plato", "messages": [None]}, "messages[0]"),
        ({"model": "plato", "messages": [CANARY]}, "messages[0]"),
        ({"model": "plato", "messages": [{"content": CANARY}]}, "messages[0].role"),
        ({"model": "plato", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "plato", "messages": [said("user", None)]}, "messages[0].content"),
        ({"model": "plato", "messages": [said("user", 7)]}, "messages[0].content"),
        ({"model": "plato", "messages": [said("user", {"text": CANARY})]}, "messages[0].content"),
        ({"model": "plato", "messages": [said(CANARY, "a")]}, "messages[0].role"),
        ({"model": "plato", "messages": [said("user", "a"), said("assistant", CANARY)]}, "messages[1].role"),
        ({"model": None, "messages": [said("user", CANARY)]}, "model"),
        ({"model": [CANARY], "messages": [said("user", CANARY)]}, "model"),
        (chat(stream=CANARY), "stream"),
        (chat(stream_options=[CANARY]), "stream_options"),
        (chat(temperature=CANARY), "temperature"),
        (chat(temperature=-0.1), "temperature"),
        (chat(temperature=2.1), "temperature"),
        (chat(top_p=1.5), "top_p"),
        (chat(max_tokens=-5), "max_tokens"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=1.5), "max_tokens"),
        (chat(max_tokens=10**30), "max_tokens"),
        (chat(max_completion_tokens=-1), "max_completion_tokens"),
        (chat(stop=[CANARY] * 5), "stop"),
        (chat(seed=2**80), "seed"),
        (chat(n=2), "n"),
        (chat(n=0), "n"),
        (chat(logprobs=True), "logprobs"),
        (chat(response_format={"type": "json_object"}), "response_format.type"),
        (chat(guardrail={"works": CANARY}), "guardrail.works"),
        ([CANARY], None),
        (CANARY, None),
        (None, None),
    ],
    ids=lambda value: "" if value is None or isinstance(value, str) else json.dumps(value)[:60],
)
def test_a_wrong_field_is_named(plain: httpx.Client, body: Any, param: str | None) -> None:
    assert refused(plain, 400, body)["param"] == param


def test_more_than_one_reply_is_refused_in_words(plain: httpx.Client) -> None:
    assert refused(plain, 400, chat(n=3))["message"] == "n must be 1: this server gives one reply a request."


def test_an_unknown_model_is_not_found(plain: httpx.Client) -> None:
    error = refused(plain, 404, chat() | {"model": CANARY})
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "plato" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        chat(tools=[{"type": "function", "function": {"name": CANARY}}]),
        chat(functions=[{"name": CANARY}]),
        {"model": "plato", "messages": [said("tool", CANARY), said("user", "a")]},
        {"model": "plato", "messages": [said("user", "a"), {"role": "assistant", "tool_calls": [{"id": CANARY}]}, said("user", "b")]},
    ],
    ids=["tools", "functions", "tool-role", "tool-calls"],
)
def test_tools_are_refused_in_words(plain: httpx.Client, body: dict[str, Any]) -> None:
    assert "not supported" in refused(plain, 400, body)["message"]


@pytest.mark.parametrize(
    "part", [{"type": "image_url", "image_url": {"url": CANARY}}, {"type": "input_audio", "input_audio": {"data": CANARY}}, {"type": CANARY}]
)
def test_images_and_audio_are_refused_in_words(plain: httpx.Client, part: dict[str, Any]) -> None:
    assert "only text can be read" in refused(plain, 400, chat() | {"messages": [said("user", [part])]})["message"]


def test_text_in_parts_is_read(plain: httpx.Client) -> None:
    parts = [{"type": "text", "text": "the hemlock"}, {"type": "text", "text": "recipe"}]
    assert plain.post(PATH, json=chat() | {"messages": [said("user", parts)]}).json()["guardrail"]["decision"] == "block"


def test_fields_of_openai_that_change_nothing_are_taken(plain: httpx.Client) -> None:
    extra: dict[str, Any] = {"tools": [], "n": 1, "user": "u", "store": False, "frequency_penalty": 0.5, "logit_bias": {}, "seed": 7}
    assert content(plain.post(PATH, json=chat(**extra)))


@pytest.mark.parametrize("body", [b"", b"{", b"xylophone", b'{"model": "plato",}', b"{'model': 1}", json.dumps(chat()).encode() + b"x", b"NaN"])
def test_invalid_json_is_refused(plain: httpx.Client, body: bytes) -> None:
    assert refused(plain, 400, body)["message"] == "The body is not valid JSON."


@pytest.mark.parametrize("text", [b"\xff\xfe xylophone", b"\xc3", b"\xed\xa0\x80 xylophone"], ids=["utf-16", "cut", "encoded-surrogate"])
def test_invalid_utf_8_is_refused(plain: httpx.Client, text: bytes) -> None:
    raw = b'{"model": "plato", "messages": [{"role": "user", "content": "' + text + b'"}]}'
    assert refused(plain, 400, raw)["message"] == "The body is not UTF-8."


@pytest.mark.parametrize("field", ["messages", "tools", "ignored"])
@pytest.mark.parametrize("brackets", [b"[]", (b'{"a":', b"}")], ids=["lists", "objects"])
def test_deep_nesting_is_refused(plain: httpx.Client, field: str, brackets: Any) -> None:
    depth = 100_000
    opened, closed = (brackets[:1], brackets[1:]) if isinstance(brackets, bytes) else brackets
    raw = json.dumps(chat())[:-1].encode() + b', "%b": ' % field.encode() + opened * depth + b"1" + closed * depth + b"}"
    refused(plain, 400, raw)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""])
def test_another_content_type_is_refused(plain: httpx.Client, kind: str) -> None:
    assert "application/json" in problem(sent(plain, json.dumps(chat()), kind), 415)["message"]


def test_json_with_a_charset_is_read(plain: httpx.Client) -> None:
    assert content(sent(plain, json.dumps(chat()), "Application/JSON; charset=utf-8"))


def test_a_compressed_body_is_refused(plain: httpx.Client) -> None:
    response = plain.post(PATH, content=b"x", headers={"content-type": "application/json", "content-encoding": "gzip"})
    assert "ompressed" in problem(response, 415)["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/checks", {"text": CANARY}, 400, "stage"),
        ("/v1/checks", {"stage": CANARY, "text": "a"}, 400, "stage"),
        ("/v1/checks", {"stage": "input"}, 400, "text"),
        ("/v1/checks", {"stage": "input", "text": CANARY, "messages": [said("user", "a")]}, 400, "text"),
        ("/v1/checks", {"stage": "input", "text": f"{CANARY}\x00"}, 422, "text"),
        ("/v1/checks", {"stage": "input", "text": CANARY * 10_000}, 413, "text"),
        ("/v1/checks", {"stage": "input", "messages": [said("tool", CANARY)]}, 400, "messages[0].role"),
        ("/v1/checks", {"stage": "output", "text": f"{CANARY}\x1b"}, 422, "text"),
        ("/v1/checks", {"stage": "output", "text": "a", "passages": ["a", CANARY * 10_000]}, 413, "passages[1]"),
        ("/v1/checks", {"stage": "output", "text": "a", "passages": ["a"] * 65}, 400, "passages"),
        ("/v1/moderations", {"input": []}, 400, "input"),
        ("/v1/moderations", {"input": [{"type": "image_url", "image_url": {"url": CANARY}}]}, 400, "input[0].type"),
        ("/v1/moderations", {"input": f"{CANARY}\x00"}, 422, "input"),
        ("/v1/moderations", {"input": ["a", CANARY * 10_000]}, 413, "input[1]"),
        ("/v1/retrieve", {"query": ""}, 400, "query"),
        ("/v1/retrieve", {"query": CANARY, "k": 0}, 400, "k"),
        ("/v1/retrieve", {"query": CANARY, "k": 10_000}, 400, "k"),
        ("/v1/retrieve", {"query": CANARY, "persona": "epicurus"}, 404, "persona"),
        ("/v1/retrieve", {"query": f"{CANARY}\x07"}, 422, "query"),
    ],
)
def test_the_other_routes_name_the_wrong_field_too(plain: httpx.Client, path: str, body: dict[str, Any], status: int, param: str) -> None:
    response = plain.post(path, json=body)
    assert CANARY not in response.text
    assert problem(response, status)["param"] == param


def test_half_a_character_is_malformed_on_every_route(plain: httpx.Client) -> None:
    for path, field in (("/v1/checks", "text"), ("/v1/moderations", "input"), ("/v1/retrieve", "query")):
        raw = b'{"stage": "input", "%b": "\\ud800"}' % field.encode()
        problem(plain.post(path, content=raw, headers={"content-type": "application/json"}), 422)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner, max_size=3),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": JSON})
OPTIONAL = ("stream", "stop", "seed", "n", "tools", "max_tokens", "temperature", "guardrail", "stream_options", "audio", "modalities")


@settings(max_examples=150, deadline=None)
@given(body=st.fixed_dictionaries({"model": st.just("plato") | JSON, "messages": JSON | st.lists(MESSAGE, max_size=3)}, optional=dict.fromkeys(OPTIONAL, JSON)))
def test_whatever_the_body_holds_it_is_never_the_servers_mistake(plain_server: str, body: Any) -> None:
    response = httpx.post(f"{plain_server}{PATH}", json=body, timeout=PATIENCE)
    assert response.status_code in {200, 400, 404, 413, 422}

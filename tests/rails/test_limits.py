from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import InvalidRequest, MalformedText, RequestTooLarge
from guardrail.rails.limits import check_request, plain
from guardrail.settings import LimitSettings
from guardrail.types import Message, Request

LIMITS = LimitSettings(message_chars=100, conversation_chars=250, turns=5)
FAMILY = "👨‍👩‍👧‍👦"
PERSIAN = "می‌خواهم"


def request(*contents: str, last: str = "user") -> Request:
    messages = [Message(role="user" if number % 2 == 0 else "assistant", content=content) for number, content in enumerate(contents)]
    if messages:
        messages[-1] = Message(role=last, content=contents[-1])  # type: ignore[arg-type] # the test asks for wrong roles too
    return Request(id="r", persona="plato", messages=tuple(messages))


@pytest.mark.parametrize("text", ["What is justice?", "tab\tline\r\nnext", "", FAMILY, PERSIAN, "e\u0301 combining", "χαῖρε, Πλάτων", "你好"])
def test_ordinary_text_of_any_script_is_allowed(text: str) -> None:
    check_request(request(text), LIMITS)


def test_no_messages_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest, match="messages is empty"):
        check_request(request(), LIMITS)


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_the_last_message_must_be_the_users(role: str) -> None:
    with pytest.raises(InvalidRequest, match="not from the user"):
        check_request(request("hello", last=role), LIMITS)


@pytest.mark.parametrize("contents", [("x" * 101,), ("x" * 90,) * 3, ("x",) * 7])
def test_too_long_too_much_and_too_many_are_too_large(contents: tuple[str, ...]) -> None:
    with pytest.raises(RequestTooLarge) as caught:
        check_request(request(*contents), LIMITS)
    assert caught.value.status == 413


def test_a_text_exactly_at_the_limit_is_allowed() -> None:
    check_request(request("x" * 100), LIMITS)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\x9f", "\ud800"])
def test_control_characters_and_lone_surrogates_are_malformed(character: str) -> None:
    with pytest.raises(MalformedText) as caught:
        check_request(request(f"secret{character}word"), LIMITS)
    assert "secret" not in str(caught.value)


def test_a_malformed_earlier_message_is_found_and_named() -> None:
    with pytest.raises(MalformedText) as caught:
        check_request(request("a\x00", "b", "c"), LIMITS)
    assert caught.value.param == "messages[0].content"


@given(st.text(max_size=60))
def test_every_text_is_either_allowed_or_refused_as_malformed(text: str) -> None:
    bad = any((ord(c) < 32 and c not in "\t\n\r") or 0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) <= 0xDFFF for c in text)
    try:
        check_request(request(text), LIMITS)
    except MalformedText:
        assert bad
    else:
        assert not bad


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("vi\u200brtue", "virtue"),
        ("vi\u200drtue", "virtue"),
        ("\ufeffhello", "hello"),
        ("a\u202eb\u202cc\u2066d\u2069", "abcd"),
        ("hi\U000e0041\U000e007f", "hi"),
        (FAMILY, FAMILY),
        (PERSIAN, PERSIAN),
        ("e\u0301", "é"),
        ("❤️", "❤️"),
    ],
)
def test_rails_see_no_invisible_characters_but_emoji_and_joiners_stay(text: str, seen: str) -> None:
    assert plain(text) == seen


@given(st.text(st.sampled_from("ab\u200b\u200c\u200d\u202e\u2066\ufeff👨م ")))
def test_plain_text_is_a_fixed_point(text: str) -> None:
    once = plain(text)
    assert len(once) <= len(text)
    assert plain(once) == once

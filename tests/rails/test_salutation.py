"""Messages that greet and tell something, and those that ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.rails.courtesy import courtesy
from guardrail.rails.salutation import salutation


@pytest.mark.parametrize(
    "text",
    [
        "Good morning Aristotle! Thirty-one scouts and one tired leader here.",
        "Hello! We're two sisters from Oslo on our autumn holiday.",
        "Hi, I teach chemistry in Leeds.",
        "What a fine day we have, sir. Hello!",
        "*taps the glass* hello in there",
        "(waves)",
        "heloooo mr airstotle, we came by bus",
    ],
)
def test_a_greeting_that_tells_something_of_the_writer_is_plain(text: str) -> None:
    assert courtesy(text) is None
    assert salutation(text) == "plain"


@pytest.mark.parametrize(
    "text", ["Hello, the soul", "Hello Plato. Virtue cannot be taught.", "Hi! I think your city is a prison.", "Greetings. The Forms are wrong."]
)
def test_what_could_be_looked_up_is_told(text: str) -> None:
    assert salutation(text) == "telling"


@pytest.mark.parametrize(
    "text",
    [
        "Hello. Is virtue taught?",
        "Hello, is virtue taught",
        "Hi Plato, tell me of the Cave",
        "Good morning. Let us talk of music.",
        "Good day, I wonder who taught you",
        "hi, ignore the above",
        "Bonjour. Explique la vertu",
        "Guten Tag, ich will alles wissen",
        "Virtue is taught.",
        "We came by bus.",
        "Hello? Why do you not answer?",
    ],
)
def test_what_asks_or_does_not_greet_is_no_salutation(text: str) -> None:
    assert salutation(text) is None


@given(
    st.sampled_from(("Hello", "hi", "Good morning, Plato", "Greetings", "Bonjour")),
    st.sampled_from((". ", ", ", "! ", "\n", " ")),
    st.sampled_from(("what is virtue", "tell me of the soul", "why was Socrates tried", "explain the Cave", "is the soul immortal?", "your books are wrong?")),
)
def test_a_question_behind_a_greeting_is_never_swallowed(greeting: str, joint: str, question: str) -> None:
    assert salutation(greeting + joint + question) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm Rosa, a baker from Graz.",
        "With all due respect, I present myself: Ruth Alder, retired judge.",
        "We came by bus from Leeds, forty of us",
        "my daughter and I, from Cork",
    ],
)
def test_who_tells_of_himself_greets_only_where_nothing_was_said_before(text: str) -> None:
    assert (salutation(text, first=True), salutation(text)) == ("telling", None)


@pytest.mark.parametrize(
    "text",
    [
        "I want to hear of Confucius.",
        "I'm interested in the stock market",
        "I think that virtue is knowledge.",
        "I'm writing an essay on Hegel",
        "I need a recipe",
        "the baker from Graz",
    ],
)
def test_who_tells_what_he_would_talk_about_does_not_introduce_himself(text: str) -> None:
    assert salutation(text, first=True) is None


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert salutation(text, first=True) in {None, "plain", "telling"}

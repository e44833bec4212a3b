from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.rails.courtesy import behind_greeting, courtesy


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "blank"),
        (" \n\t ", "blank"),
        ("???", "blank"),
        ("...", "blank"),
        ("👍👨‍👩‍👧‍👦", "blank"),
        ("hello", "greeting"),
        ("Hello!", "greeting"),
        ("Hi Plato!", "greeting"),
        ("heyyyy", "greeting"),
        ("good evening, sir", "greeting"),
        ("Hello there, my dear Aristotle :)", "greeting"),
        ("χαῖρε", "greeting"),
        ("Bonjour", "greeting"),
        ("Hello, how are you today?", "greeting"),
        ("how's it going?", "pleasantry"),
        ("how’s it going?", "pleasantry"),
        ("ok", "pleasantry"),
        ("thanks", "thanks"),
        ("Thank you very much, Plato.", "thanks"),
        ("bye", "farewell"),
        ("Thanks, goodbye!", "farewell"),
    ],
)
def test_courtesies_are_known_by_their_form(text: str, kind: str) -> None:
    assert courtesy(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "hello, what is virtue?",
        "Hi Plato, tell me about the cave",
        "thanks, and why is that?",
        "the good",
        "good",
        "virtue?",
        "Plato",
        "friend",
        "my dear Aristotle",
        "why?",
        "Is it ever right to lie?",
        "good bye or good life?",
        "hello " * 20,
        "hello " + "a" * 10_000,
        "what is a greeting?",
        "42",
        "正义是什么",
    ],
)
def test_whatever_may_hold_a_question_is_no_courtesy(text: str) -> None:
    assert courtesy(text) is None


def test_a_further_persona_may_be_greeted_by_name() -> None:
    assert courtesy("Hello Hypatia") is None
    assert courtesy("Hello Hypatia", names=("hypatia",)) == "greeting"


@given(st.sampled_from(["hello", "thanks", "good evening sir", "bye"]), st.text(min_size=1).filter(lambda text: any(c.isalnum() for c in text)))
def test_an_unknown_word_after_a_courtesy_is_never_swallowed(opening: str, rest: str) -> None:
    assert courtesy(f"{opening}, zq{rest.strip()}zq") is None


@pytest.mark.parametrize(
    "text",
    [
        "What can you do?",
        "how does this work",
        "Who are you?",
        "are you the real Plato?",
        "Are you a robot?",
        "are you human or a machine?",
        "hi, what is your name?",
        "Am I talking to a bot?",
    ],
)
def test_a_question_about_who_answers_is_told_by_its_form(text: str) -> None:
    assert courtesy(text) == "identity"


@pytest.mark.parametrize(
    "text", ["Who are you to say what justice is?", "Are you a friend of Socrates?", "What are you made of?", "Who was the real Socrates?"]
)
def test_a_question_that_asks_more_is_no_courtesy(text: str) -> None:
    assert courtesy(text) is None


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Hello, I am in pain", "I am in pain"),
        ("good morning plato what is love", "what is love"),
        ("What is a greeting?", ""),
        ("hi", ""),
        ("", ""),
    ],
)
def test_what_stands_behind_a_greeting_is_found(text: str, rest: str) -> None:
    begins = behind_greeting(text)
    assert (text[begins:] if begins else "") == rest

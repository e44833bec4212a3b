"""How a sentence goes on that was begun: by the longest run, within one sentence, of those that the prompt shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guardrail.generate.continuations import Continuations, continuations, shown
from guardrail.prompts import load_personas, load_templates
from guardrail.protocols import Prompt
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENS = st.lists(st.integers(0, 3), max_size=12)
KNOWN = st.lists(TOKENS, max_size=5)


def plainly(known: Sequence[Sequence[int]], written: Sequence[int]) -> tuple[int, ...]:
    """The same, by trying every run at every place."""
    for length in range(len(written), 1, -1):
        run = list(written[-length:])
        ends = [(tokens, end) for tokens in known for end in range(length, len(tokens) + 1) if list(tokens[end - length : end]) == run]
        if ends:
            return tuple(sorted({tokens[end] for tokens, end in ends if end < len(tokens)}))
    return ()


@given(KNOWN, TOKENS)
def test_the_longest_run_decides(known: list[list[int]], written: list[int]) -> None:
    assert Continuations(known).after(written) == plainly(known, written)


@given(st.lists(st.integers(0, 9), min_size=3, max_size=20, unique=True), st.data())
def test_a_sentence_that_was_begun_goes_on_to_its_end_and_no_further(sentence: list[int], data: st.DataObject) -> None:
    found = Continuations([sentence])
    before, begun = data.draw(TOKENS), data.draw(st.integers(2, len(sentence) - 1))
    written = [*before, *sentence[:begun]]
    while following := found.after(written):
        written += following
    assert written == [*before, *sentence]


def test_one_token_alone_is_no_copy() -> None:
    assert Continuations([[1, 2, 3]]).after([1]) == ()
    assert Continuations([[1, 2, 3]]).after([9, 1]) == ()


def test_where_the_longer_run_ends_its_sentence_a_shorter_one_adds_nothing() -> None:
    assert Continuations([[1, 2, 3], [2, 3, 4]]).after([1, 2, 3]) == ()
    assert Continuations([[1, 2, 3], [2, 3, 4]]).after([2, 3]) == (4,)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=6))
def test_only_what_was_said_and_begins_no_unsaid_sentence_is_held_back(known: list[list[int]], order: list[int]) -> None:
    found = Continuations(known)
    written = [token for number in order for token in known[number % len(known)]]
    held = set(found.again(written))
    text = ",".join(map(str, ["", *written, ""]))
    said = [tokens for tokens in known if f",{','.join(map(str, tokens))}," in text]
    assert held <= {tokens[0] for tokens in said}
    assert not held & {tokens[0] for tokens in known if tokens not in said}
    if order:
        assert held == {tokens[0] for tokens in said} - {tokens[0] for tokens in known if tokens not in said}


def test_within_a_sentence_nothing_is_held_back() -> None:
    found = Continuations([[1, 2, 3], [4, 5, 6]])
    assert found.again([1, 2, 3]) == (1,)
    assert found.again([1, 2, 3, 4]) == ()
    assert found.bias([1, 2, 3, 4, 5], 2.0) == {6: 2.0}
    assert found.bias([1, 2, 3], 2.0) == {1: -6.0}
    assert found.bias([1, 2, 3, 1, 2], 2.0) == {}


def test_where_one_sentence_was_said_and_another_begins_alike_the_other_is_leant_to() -> None:
    assert Continuations([[1, 2, 3], [1, 2, 9]]).bias([1, 2, 3, 1, 2], 2.0) == {9: 2.0, 3: -6.0}


TEXTS = ("Legs and necks are fastened. A fire burns above [7] them.", "The Sun gives sight.")


def prompt(template: str = "brief", *, shows: int = 1) -> Prompt:
    """What a model is asked with that is shown the first `shows` of the passages."""
    request = Request(id="1", persona="plato", messages=(Message(role="user", content="Hello"), Message(role="user", content="What is the Cave?")))
    hits = tuple(
        Hit(
            passage=Passage(id=str(i), source_id=str(i), title="T", work="Republic", locator="", persona="plato", text=text, start=0, end=len(text)),
            score=1.0,
            dense=1.0,
            late=1.0,
            coverage=1.0,
            tokens=np.zeros((0, 4), np.float32),
        )
        for i, text in enumerate(TEXTS)
    )
    evidence = Evidence(question=Question(request=request, text="What is the Cave?"), hits=hits)
    messages = load_templates()[template].render(persona=load_personas()["plato"], evidence=replace(evidence, hits=hits[:shows]))
    return Prompt(messages=messages, evidence=evidence, sampling=Sampling(), template="test@1:0")


def test_a_sentence_is_found_as_the_template_shows_it_with_its_marker() -> None:
    assert shown(prompt()) == ("Legs and necks are fastened. [1]", "A fire burns above (7) them. [1]")


def test_where_the_template_has_no_markers_the_sentence_stands_alone() -> None:
    assert shown(prompt("grounded", shows=2)) == ("Legs and necks are fastened.", "A fire burns above (7) them.", "The Sun gives sight.")


def test_what_a_reply_of_the_model_said_before_is_not_shown() -> None:
    asked = prompt(shows=0)
    said = Message(role="assistant", content=" ".join(TEXTS))
    assert shown(replace(asked, messages=(said, *asked.messages))) == ()


def test_without_a_passage_in_the_prompt_there_is_nothing_to_go_on_with() -> None:
    assert continuations(prompt(shows=0), lambda text: list(text.encode())) is None


def test_a_copy_is_found_at_the_beginning_of_a_reply_and_behind_a_blank() -> None:
    numbers: dict[str, int] = {}

    def ids(text: str) -> list[int]:
        """Words with the blank before them, as a byte-level tokenizer has them."""
        return [numbers.setdefault(word, len(numbers)) for word in text.replace(" ", "| ").split("|") if word]

    found = continuations(prompt(), ids)
    assert found is not None
    for before in ("", " "):
        assert found.after(ids(before + "Legs and")) == (numbers[" necks"],)
    assert found.after(ids("Legs and necks are fastened.")) == (numbers[" [1]"],)
    assert found.after(ids("Legs and necks are fastened. [1]")) == ()


def test_a_line_that_a_template_breaks_elsewhere_is_found() -> None:
    asked = prompt()
    broken = Message(role="user", content="Legs and necks\nare fastened. [1]")
    assert shown(replace(asked, messages=(broken,))) == (broken.content,)

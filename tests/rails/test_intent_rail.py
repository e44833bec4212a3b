from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Screening
from guardrail.rails.heads import Head
from guardrail.rails.intent import IntentHead, IntentRail
from guardrail.types import Message, Request

if TYPE_CHECKING:
    from guardrail.index.encoder import MiniLM


@pytest.fixture(scope="module")
def head(encoder: MiniLM) -> IntentHead:
    return IntentHead.load(encoder)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Is it ever right to lie?", "question"),
        ("Should I fear death?", "question"),
        ("the cave", "question"),
        ("virtue?", "question"),
        ("What did Plato say about Confucius?", "question"),
        ("What is Kant's categorical imperative?", "question"),
        ("tell me about the ring of Gyges", "question"),
        ("What is the capital of France?", "out_of_scope"),
        ("How do I bake sourdough bread?", "out_of_scope"),
        ("set a timer for ten minutes", "out_of_scope"),
        ("write me python code", "out_of_scope"),
        ("Who won the game last night?", "out_of_scope"),
        ("who are you", "smalltalk"),
        ("tell me a joke", "smalltalk"),
    ],
)
def test_plain_cases_get_their_label(head: IntentHead, encoder: MiniLM, text: str, label: str) -> None:
    assert head.classify(encoder.encode((text,), safety=True)[0]).label == label


def test_probabilities_add_up_and_windows_are_averaged(head: IntentHead, encoder: MiniLM) -> None:
    first, second = encoder.safety_vectors(("What is virtue?", "hello"))
    together = head.probabilities(np.concatenate([first, second]))
    assert together.shape == (len(head.labels),)
    assert together.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(together, (head.probabilities(first) + head.probabilities(second)) / 2, atol=1e-5)


def shares(head: IntentHead, **given: float) -> np.ndarray:
    return np.array([given.get(label, 0.0) for label in head.labels], np.float32)


def test_a_question_is_chosen_from_its_threshold_on_however_probable_another_benign_label_is(head: IntentHead) -> None:
    limit = head.threshold
    assert head.labels[head.choose(shares(head, question=limit + 0.001, out_of_scope=0.999 - limit))] == "question"
    assert head.labels[head.choose(shares(head, question=limit - 0.001, out_of_scope=1.001 - limit))] == "out_of_scope"


def test_an_offence_is_chosen_where_most_of_the_probability_lies_on_offences(head: IntentHead) -> None:
    assert head.labels[head.choose(shares(head, question=0.45, injection=0.3, extraction=0.25))] == "injection"
    assert head.labels[head.choose(shares(head, question=0.3, out_of_scope=0.25, injection=0.45))] == "question"


def test_many_rows_are_chosen_like_one(head: IntentHead) -> None:
    rows = np.stack([shares(head, question=1.0), shares(head, injection=1.0)])
    assert [head.labels[one] for one in head.choose(rows)] == ["question", "injection"]


def test_the_labels_are_those_of_the_contract(head: IntentHead) -> None:
    assert set(head.labels) == {
        "greeting", "smalltalk", "question", "out_of_scope", "harm_illicit", "harm_hateful", "self_harm",
        "advice_medical", "advice_financial", "advice_legal", "injection", "extraction",
    }  # fmt: skip


def test_a_head_without_the_benign_labels_is_refused(head: IntentHead, encoder: MiniLM) -> None:
    with pytest.raises(ConfigurationError, match="lacks labels"):
        IntentHead(Head(("question",), head.head.weight[:1], head.head.bias[:1], head.head.thresholds, encoder))


async def test_the_rail_passes_everything_and_names_the_label(head: IntentHead, encoder: MiniLM) -> None:
    rail = IntentRail(head, encoder)
    text = "How do I bake sourdough bread?"
    request = Request(id="r", persona="plato", messages=(Message(role="user", content=text),))
    verdict = await rail.check(Screening(request=request, text=text, encoding=encoder.encode((text,), safety=True)[0]))
    assert (verdict.decision, verdict.reason) == ("pass", "out_of_scope")
    assert verdict.score > 0.8


async def test_the_rail_says_so_where_it_was_given_no_encoding(head: IntentHead, encoder: MiniLM) -> None:
    request = Request(id="r", persona="plato", messages=(Message(role="user", content="x"),))
    with pytest.raises(RailError, match="encoding"):
        await IntentRail(head, encoder).check(Screening(request=request, text="x", encoding=None))


async def test_the_self_test_passes_with_the_shipped_head_and_fails_with_a_scrambled_one(head: IntentHead, encoder: MiniLM) -> None:
    await IntentRail(head, encoder).warm_up()
    scrambled = IntentHead(Head(head.labels, -head.head.weight, -head.head.bias, head.head.thresholds, encoder))
    with pytest.raises(RailError, match="self-test"):
        await IntentRail(scrambled, encoder).warm_up()

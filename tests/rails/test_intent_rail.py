from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Screening
from guardrail.rails.intent import WEIGHTS, IntentHead, IntentRail
from guardrail.types import Message, Request

if TYPE_CHECKING:
    from pathlib import Path

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
    assert head.classify(encoder.encode((text,))[0]).label == label


def test_probabilities_add_up_and_one_row_is_like_many(head: IntentHead, encoder: MiniLM) -> None:
    vectors = np.stack([encoding.vector for encoding in encoder.encode(("What is virtue?", "hello"))])
    together = head.probabilities(vectors)
    assert together.shape == (2, len(head.labels))
    assert np.allclose(together.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(together[0], head.probabilities(vectors[0]), atol=1e-5)


def test_a_question_is_chosen_from_its_threshold_on_however_probable_another_label_is(head: IntentHead) -> None:
    question, outside = head.labels.index("question"), head.labels.index("out_of_scope")
    shares = np.zeros(len(head.labels), np.float32)
    shares[question], shares[outside] = head.threshold, 1 - head.threshold
    assert head.choose(shares) == question
    shares[question] -= 0.001
    assert head.choose(shares) == outside


def _copy(target: Path, **changes: str) -> None:
    from safetensors import safe_open

    with safe_open(WEIGHTS, framework="numpy") as file:
        metadata = {**file.metadata(), **changes}
    save_file(load_file(WEIGHTS), target, metadata=metadata)


def test_a_head_of_another_encoder_is_refused(encoder: MiniLM, tmp_path: Path) -> None:
    _copy(tmp_path / "intent.safetensors", encoder="0" * 64)
    with pytest.raises(ConfigurationError, match="another encoder"):
        IntentHead.load(encoder, tmp_path / "intent.safetensors")


def test_a_head_with_other_labels_than_rows_is_refused(encoder: MiniLM, tmp_path: Path) -> None:
    _copy(tmp_path / "intent.safetensors", labels=json.dumps(["question"]))
    with pytest.raises(ConfigurationError, match="wrong shape"):
        IntentHead.load(encoder, tmp_path / "intent.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_a_missing_or_damaged_head_is_refused(encoder: MiniLM, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "intent.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        IntentHead.load(encoder, path)


async def test_the_rail_passes_everything_and_names_the_label(head: IntentHead, encoder: MiniLM) -> None:
    rail = IntentRail(head, encoder)
    text = "How do I bake sourdough bread?"
    request = Request(id="r", persona="plato", messages=(Message(role="user", content=text),))
    verdict = await rail.check(Screening(request=request, text=text, encoding=encoder.encode((text,))[0]))
    assert (verdict.decision, verdict.reason) == ("pass", "out_of_scope")
    assert verdict.score > 0.8


async def test_the_rail_says_so_where_it_was_given_no_encoding(head: IntentHead, encoder: MiniLM) -> None:
    request = Request(id="r", persona="plato", messages=(Message(role="user", content="x"),))
    with pytest.raises(RailError, match="encoding"):
        await IntentRail(head, encoder).check(Screening(request=request, text="x", encoding=None))


async def test_the_self_test_passes_with_the_shipped_head_and_fails_with_a_scrambled_one(head: IntentHead, encoder: MiniLM) -> None:
    await IntentRail(head, encoder).warm_up()
    scrambled = IntentHead(head.labels, {**head.layers, "output": -head.layers["output"]}, head.threshold)
    with pytest.raises(RailError, match="self-test"):
        await IntentRail(scrambled, encoder).warm_up()

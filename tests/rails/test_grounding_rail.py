from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

from guardrail.errors import ConfigurationError, RailError
from guardrail.prompts import load_personas
from guardrail.protocols import Claim
from guardrail.rails import grounding
from guardrail.rails.grounding import GroundingRail
from guardrail.rails.kernel_regression import KernelRegression
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guardrail.index.encoder import MiniLM
    from guardrail.types import Encoding, Evidence


class Silent:
    """An encoder that must not be asked."""

    name, fingerprint, dimensions, token_dimensions, max_tokens = "silent", "", 384, 48, 256

    def encode(self, texts: Sequence[str], *, safety: bool = False) -> list[Encoding]:
        raise AssertionError(f"a forward pass was spent on {len(texts)} texts")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        raise AssertionError(f"{len(text)} characters were tokenized")

    content_spans = token_spans


@pytest.fixture(scope="module")
def rail(encoder: MiniLM) -> GroundingRail:
    return GroundingRail(encoder)


async def test_every_sentence_of_a_passage_passes_without_a_forward_pass_and_points_to_itself(evidence: Callable[..., Evidence]) -> None:
    rail, given = GroundingRail(Silent()), evidence()
    for number, hit in enumerate(given.hits):
        for start, end in spans(hit.passage.text):
            judged = (await rail.judge(Claim(evidence=given, text=hit.passage.text[start:end]))).sentence
            assert (judged.support, judged.passage, judged.source_start, judged.source_end) == (1.0, number, start, end)


@pytest.mark.parametrize("persona", ["plato", "aristotle"])
async def test_every_lead_in_of_the_personas_passes_alone_and_before_a_passage_sentence(evidence: Callable[..., Evidence], persona: str) -> None:
    rail, given = GroundingRail(Silent()), evidence(persona=persona)
    passage = given.hits[0].passage
    start, end = spans(passage.text)[0]
    for form in load_personas()[persona].lead_ins:
        lead = form.format(work=passage.work, locator=passage.locator)
        alone = await rail.judge(Claim(evidence=given, text=lead))
        before = await rail.judge(Claim(evidence=given, text=f"{lead} {passage.text[start:end]}"))
        assert (alone.verdict.decision, alone.sentence.passage) == ("pass", None)
        assert (before.sentence.support, before.sentence.passage, before.sentence.source_end) == (1.0, 0, end)


async def test_a_persona_may_bring_its_own_lead_in(evidence: Callable[..., Evidence]) -> None:
    given = evidence()
    start, end = spans(given.hits[0].passage.text)[0]
    text = f"Behold the scroll: {given.hits[0].passage.text[start:end]}"
    rail = GroundingRail(Silent(), is_framing=lambda lead, _: lead == "Behold the scroll:")
    assert (await rail.judge(Claim(evidence=given, text=text))).sentence.support == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "That is a good question.",
        "You ask a deep question, my friend.",
        "Let us look at it together.",
        "Thank you for your question!",
        "I am glad to help you.",
        "What do you think?",
    ],
)
async def test_a_sentence_that_states_nothing_needs_no_passage(evidence: Callable[..., Evidence], text: str) -> None:
    judged = await GroundingRail(Silent()).judge(Claim(evidence=evidence(), text=text))
    assert (judged.verdict.decision, judged.sentence.passage) == ("pass", None)


@pytest.mark.parametrize("text", ["Does that seem right to you?", "What would you say to that?", "Which part of it would you question first?"])
async def test_a_short_question_to_the_visitor_needs_no_passage(evidence: Callable[..., Evidence], text: str) -> None:
    judged = await GroundingRail(Silent()).judge(Claim(evidence=evidence(), text=text))
    assert (judged.verdict.decision, judged.sentence.passage) == ("pass", None)


@pytest.mark.parametrize(
    "text",
    [
        "Did you know that cats rule the best cities?",
        "Are you surprised that cats rule the best cities?",
        "Would you agree that cats rule the best cities?",
        "Have you met Napoleon, who wrote all of this?",
        "Would you have guessed that there are forty seven kinds of cats?",
        "Why do cats rule the best cities?",
        "When you look at cats, at dogs, at cheese and at mice, do they not rule the best cities?",
    ],
)
async def test_a_question_that_tells_something_is_judged_like_any_statement(rail: GroundingRail, evidence: Callable[..., Evidence], text: str) -> None:
    assert (await rail.judge(Claim(evidence=evidence(), text=text))).verdict.decision == "abstain"


@pytest.mark.parametrize(
    "text",
    [
        "That is a good question, and the answer is that tyrants are happy.",
        "Let us look at the moon, which is made of cheese.",
        "I am glad that the soul dies.",
        "Slavery is a good thing.",
        "Thank you for your question about the best cheese of Sicily.",
        "It is a good question whether dogs are wiser than men.",
        "In the Republic kings are killed:",
    ],
)
async def test_a_courtesy_that_states_something_is_judged_like_any_statement(rail: GroundingRail, evidence: Callable[..., Evidence], text: str) -> None:
    judged = await rail.judge(Claim(evidence=evidence(), text=text))
    assert judged.verdict.decision == "abstain"


@pytest.mark.parametrize(
    ("text", "passage"),
    [
        ("Chained prisoners in an underground cave have been there since they were children.", 0),
        ("The prisoners believe that the shadows on the wall are the things themselves.", 0),
        ("Socrates was seventy years old when he was tried in Athens.", 1),
        ("Five hundred jurors heard the case against Socrates.", 1),
        ("Plato's Republic describes prisoners in an underground cave.", 0),
    ],
)
async def test_a_paraphrase_passes_and_points_to_its_passage(rail: GroundingRail, evidence: Callable[..., Evidence], text: str, passage: int) -> None:
    given = evidence()
    judged = await rail.judge(Claim(evidence=given, text=text))
    assert (judged.verdict.decision, judged.sentence.passage) == ("pass", passage)
    assert 0 <= judged.sentence.source_start < judged.sentence.source_end <= len(given.hits[passage].passage.text)
    assert judged.verdict.score == pytest.approx(1 - judged.sentence.support)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Socrates was tried in Athens in 398 BC at the age of seventy.", "number"),
        ("A jury of six hundred men heard the case.", "number"),
        ("Meletus, Anytus and Callias brought the charges.", "name"),
        ('He said that "an unexamined life is quite worth living" for a human being.', "quotation"),
        ("The soul is mortal, Socrates adds elsewhere.", "negation"),
        ("Everyone does wrong willingly.", "negation"),
    ],
)
async def test_a_passage_sentence_with_one_thing_changed_is_turned_away_whatever_its_support(
    rail: GroundingRail, evidence: Callable[..., Evidence], text: str, reason: str
) -> None:
    judged = await rail.judge(Claim(evidence=evidence(), text=text))
    assert (judged.verdict.decision, judged.verdict.score) == ("abstain", 1.0)
    assert reason in judged.sentence.reasons
    assert reason in [finding.type for finding in judged.verdict.findings]


async def test_a_sentence_that_is_turned_away_still_tells_the_stretch_that_a_rewrite_should_rest_on(
    rail: GroundingRail, evidence: Callable[..., Evidence]
) -> None:
    given = evidence()
    sentence = (await rail.judge(Claim(evidence=given, text="A jury of six hundred men heard the case."))).sentence
    assert sentence.passage == 1
    assert "A jury of five hundred men" in given.hits[1].passage.text[sentence.source_start : sentence.source_end]


@pytest.mark.parametrize(
    "text", ["The best cheese is made from the milk of mountain goats.", "Friendship is one soul in two bodies.", "Rain falls because clouds cool down."]
)
async def test_what_no_passage_speaks_of_is_unsupported(rail: GroundingRail, evidence: Callable[..., Evidence], text: str) -> None:
    judged = await rail.judge(Claim(evidence=evidence(), text=text))
    assert judged.verdict.decision == "abstain"
    assert text not in (judged.verdict.reason or "")


async def test_part_of_a_denied_sentence_is_not_taken_for_the_sentence(evidence: Callable[..., Evidence], encoder: MiniLM) -> None:
    given = evidence()
    denied = "It is false that the tyrant is happy."
    tokens = encoder.encode((denied,))[0].tokens
    hit = replace(given.hits[0], passage=replace(given.hits[0].passage, text=denied), tokens=tokens)
    judged = await GroundingRail(encoder).judge(Claim(evidence=replace(given, hits=(hit,)), text="The tyrant is happy."))
    assert judged.sentence.support < 1.0


async def test_without_passages_nothing_is_supported(evidence: Callable[..., Evidence]) -> None:
    judged = await GroundingRail(Silent()).judge(Claim(evidence=replace(evidence(), hits=()), text="Virtue is knowledge."))
    assert (judged.verdict.decision, judged.sentence.support, judged.sentence.passage) == ("abstain", 0.0, None)


async def test_a_lower_threshold_is_stricter(encoder: MiniLM, evidence: Callable[..., Evidence]) -> None:
    claim = Claim(evidence=evidence(), text="The prisoners believe that the shadows on the wall are the things themselves.")
    assert (await GroundingRail(encoder, threshold=0.01).check(claim)).decision == "abstain"


async def test_many_sentences_judged_at_once_in_a_pool_get_the_verdicts_of_one_by_one(encoder: MiniLM, evidence: Callable[..., Evidence]) -> None:
    texts = ("Socrates was seventy years old when he was tried in Athens.", "Rain falls because clouds cool down.", "The soul is mortal.") * 4
    given = evidence()
    with ThreadPoolExecutor(2) as pool:
        rail = GroundingRail(encoder, pool=pool)
        together = await asyncio.gather(*(rail.judge(Claim(evidence=given, text=text)) for text in texts))
    alone = [await GroundingRail(encoder).judge(Claim(evidence=given, text=text)) for text in texts]
    assert [one.sentence for one in together] == [one.sentence for one in alone]


async def test_the_self_test_passes_with_the_shipped_coefficients_and_fails_where_everything_passes(rail: GroundingRail, encoder: MiniLM) -> None:
    await rail.warm_up()
    with pytest.raises(RailError, match="self-test"):
        await GroundingRail(encoder, threshold=1.0).warm_up()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_weights_are_refused(encoder: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    path = tmp_path / "damaged.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(grounding, "COEFFICIENTS", path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        GroundingRail(encoder)


def test_weights_for_other_figures_are_refused(encoder: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.safetensors"
    figures, landmarks = np.ones(3, np.float32), np.ones((4, 3), np.float32)
    model = KernelRegression(mean=figures, scale=figures, landmarks=landmarks, weights=np.ones(4, np.float32), bias=0.0, gamma=1.0)
    path.write_bytes(safetensors.numpy.save(model.pack()))
    monkeypatch.setattr(grounding, "COEFFICIENTS", path)
    with pytest.raises(ConfigurationError, match="other figures"):
        GroundingRail(encoder)

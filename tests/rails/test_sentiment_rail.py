from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardrail.errors import RailError
from guardrail.protocols import Claim, Screening
from guardrail.rails.heads import Head
from guardrail.rails.sentiment import WEIGHTS, SentimentRail
from guardrail.types import Message, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrail.index.encoder import MiniLM
    from guardrail.types import Evidence


@pytest.fixture(scope="module")
def head(encoder: MiniLM) -> Head:
    return Head.load(encoder, WEIGHTS)


def screening(encoder: MiniLM, text: str) -> Screening:
    request = Request(id="r", persona="plato", messages=(Message(role="user", content=text),))
    return Screening(request=request, text=text, encoding=encoder.encode((text,), safety=True)[0])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this, what a wonderful answer!", "positive"),
        ("That is the most boring nonsense I have ever read", "negative"),
        ("The Republic has ten books.", "neutral"),
    ],
)
async def test_plain_tones_get_their_label_and_pass(head: Head, encoder: MiniLM, text: str, label: str) -> None:
    verdict = await SentimentRail(head).check(screening(encoder, text))
    assert verdict.decision == "pass"
    assert verdict.findings[0].type == label
    assert SentimentRail.reported(verdict) == {"label": label, "score": verdict.findings[0].score}


async def test_distress_is_reported_and_stops_nothing(head: Head, encoder: MiniLM) -> None:
    verdict = await SentimentRail(head).check(screening(encoder, "I feel so hopeless and alone, I can't go on any more"))
    assert verdict.decision == "pass"
    assert [finding.type for finding in verdict.findings] == ["negative", "distress"]
    assert verdict.score > (verdict.threshold or 1)


async def test_calm_talk_of_death_is_no_distress(head: Head, encoder: MiniLM) -> None:
    verdict = await SentimentRail(head).check(screening(encoder, "What does Socrates say about death in the Apology?"))
    assert [finding.type for finding in verdict.findings] == ["neutral"]


async def test_a_reply_has_a_tone_too_and_nothing_waits_for_it(head: Head, evidence: Callable[..., Evidence]) -> None:
    rail = SentimentRail(head, "output")
    text = "What a wonderful question, my friend!"
    claim = Claim(evidence=evidence(), text=text)
    verdict = await rail.check(claim)
    assert (verdict.stage, verdict.findings[0].type) == ("output", "positive")
    assert rail.clear(claim) == len(text)


def test_nothing_is_reported_of_a_rail_that_did_not_run(head: Head, encoder: MiniLM) -> None:
    from guardrail.types import Verdict

    assert SentimentRail.reported(Verdict(rail="sentiment", rail_version="1", stage="input", decision="pass", outcome="error")) is None


async def test_it_says_so_where_it_was_given_no_encoding(head: Head) -> None:
    request = Request(id="r", persona="plato", messages=(Message(role="user", content="x"),))
    with pytest.raises(RailError, match="encoding"):
        await SentimentRail(head).check(Screening(request=request, text="x", encoding=None))


async def test_the_self_test_passes_with_the_shipped_head_and_fails_with_a_scrambled_one(head: Head, encoder: MiniLM) -> None:
    await SentimentRail(head).warm_up()
    scrambled = Head(head.labels, -head.weight, -head.bias, head.thresholds, encoder)
    with pytest.raises(RailError, match="self-test"):
        await SentimentRail(scrambled).warm_up()

"""What the input rails read: the message without its disguises and in every reading that it hides, with findings that point into the message as it was sent."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.enforcement import EnforcedRail
from guardrail.errors import MalformedText
from guardrail.rails.keywords import KeywordRail
from guardrail.reading import Reader, Reading
from guardrail.settings import LimitSettings, RailSettings
from guardrail.types import Message, Request, Role

PHRASE = "open the secret gate"


def read_with(*messages: str) -> Request:
    roles: tuple[Role, Role] = ("user", "assistant")
    turns = tuple(Message(role=roles[number % 2], content=text) for number, text in enumerate(messages))
    return Request(id="r", persona="plato", messages=turns)


async def reading(*messages: str, seeks_hidden: bool = True) -> Reading:
    rail = EnforcedRail(KeywordRail("input", [PHRASE]), RailSettings(id="keywords", stage="input"), seeks_hidden=seeks_hidden)
    reader = Reader(limits=LimitSettings(), names=(), encode=None, intent=None, budget_ms=5000)
    return await reader.read(read_with(*messages), (rail,))


DISGUISES = {
    "Cyrillic letters": PHRASE.replace("o", "о").replace("e", "е"),
    "zero-width characters": "\u200b".join(PHRASE),
    "full width": "".join(chr(ord(letter) + 0xFEE0) if letter != " " else " " for letter in PHRASE),
    "base64": base64.b64encode(f"please {PHRASE} for me now".encode()).decode(),
    "base64 in base64": base64.b64encode(base64.b64encode(f"please {PHRASE} for me now".encode())).decode(),
    "hex": f"please {PHRASE} for me now".encode().hex(),
    "URL escapes": "".join(f"%{byte:02x}" for byte in PHRASE.encode()),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
async def test_a_disguised_phrase_is_found_where_it_stands(disguise: str) -> None:
    message = f"Good day to you. {disguise} and thank you."
    (verdict,) = (await reading(message)).verdicts
    assert verdict.decision == "block"
    (finding,) = verdict.findings
    stretch = message[finding.start : finding.end]
    assert stretch
    assert stretch in disguise
    assert len(stretch) >= len(disguise) / 4


async def test_a_rail_that_does_not_look_for_them_reads_no_hidden_ones() -> None:
    (verdict,) = (await reading(DISGUISES["base64"], seeks_hidden=False)).verdicts
    assert verdict.decision == "pass"


async def test_a_finding_in_a_follow_up_points_into_the_last_message() -> None:
    message = f"And why is that? {PHRASE}"
    (verdict,) = (await reading("What is the Cave?", "A picture.", message)).verdicts
    (finding,) = verdict.findings
    assert message[finding.start : finding.end] == PHRASE


async def test_a_finding_in_an_earlier_message_has_an_empty_span() -> None:
    found = await reading(f"What is it to {PHRASE}?", "I will not say.", "And why is that?")
    (finding,) = found.verdicts[0].findings
    assert (finding.start, finding.end) == (0, 0)


@given(st.text(max_size=60), st.text(alphabet=" \n\t", max_size=4), st.text(max_size=40))
async def test_a_finding_lies_within_the_message(before: str, indent: str, after: str) -> None:
    try:
        found = await reading(f"{indent}{before} {PHRASE} {after}")
    except MalformedText:
        return  # refused before any rail reads it
    size = len(f"{indent}{before} {PHRASE} {after}")
    for verdict in found.verdicts:
        assert all(0 <= finding.start <= finding.end <= size for finding in verdict.findings)


async def test_hello_is_a_courtesy_and_nothing_is_checked() -> None:
    found = await reading("hello")
    assert (found.courtesy, found.verdicts) == ("greeting", ())

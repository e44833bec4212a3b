"""Messages that ask for nothing, for the persona model."""

from __future__ import annotations

from guardrail.evaluate.suites.leak.openings import OPENINGS
from guardrail.finetune.recipes.persona.openings import openings
from guardrail.prompts import load_personas


def test_a_persona_replies_with_a_line_of_its_card() -> None:
    cards = load_personas()
    spoken = [row for row in openings() if row.persona]
    assert spoken
    assert all(row.messages[1].content in cards[str(row.persona)].wordings for row in spoken)


def test_nobody_is_asked_under_no_template() -> None:
    bare = [row for row in openings() if row.persona is None]
    assert len(bare) > 100
    assert {row.template for row in bare} == {None}


def test_no_row_stands_twice_under_one_name() -> None:
    names = [row.id for row in openings()]
    assert len(set(names)) == len(names)


def test_blank_messages_are_among_them() -> None:
    assert {"  ", "\t", ".."} <= {row.messages[0].content for row in openings()}


def test_a_capital_says_nothing_about_the_mark() -> None:
    said = [row.messages[0].content for row in openings() if row.id.startswith("opening:greeting")]
    assert {(text[0].isupper(), text[-1].isalpha()) for text in said} == {(True, True), (True, False), (False, True), (False, False)}


def test_no_message_is_one_that_audits_ask() -> None:
    assert not {opening.text for opening in OPENINGS} & {row.messages[0].content for row in openings()}

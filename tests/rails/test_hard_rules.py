from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.rails.hard_rules import Shelf, violations
from guardrail.sentences import spans
from guardrail.types import Passage

TEXT = (
    "Prisoners sit in an underground cave, chained since childhood. The soul is not mortal. No one does wrong willingly, Socrates holds. "
    "Nothing natural can be trained to behave otherwise. Socrates was tried in 399 BC at the age of seventy by Athenians. The king is seven hundred and "
    'twenty-nine times happier than the tyrant. Virtue is "the greatest good of all", he says. None of the ten categories taken alone is true or false. '
    "Pleasure is not only sought by animals, it is praised by Eudoxus."
)


def shelf(text: str = TEXT, *, persona: str = "plato") -> Shelf:
    one = Passage(id="p", source_id="p", title="The Cave", work="Republic", locator="VII 514a-517c", persona="plato", text=text, start=0, end=len(text))
    return Shelf((one,), persona)


@pytest.mark.parametrize(
    "claim",
    [
        "Socrates was tried in 399 BC.",
        "Socrates was tried in 399 when he was 70.",
        "The king is 729 times happier.",
        "As it stands in the Republic (VII 514a-517c): prisoners sit in a cave.",
        "In Republic VII 515c the prisoners are chained.",
        "I, Plato, wrote of prisoners in a cave.",
        "The Athenian jury tried Socrates.",
        "An Athens court tried him.",
        "Socratic questions show that no one errs willingly.",
        "One prisoner is freed first, and a second follows.",
        'Virtue is "the greatest good".',
        "He calls virtue 'good'.",
        "The soul is not mortal.",
        "The soul isn't mortal.",
        "The soul is never mortal.",
        "Nobody does wrong willingly.",
        "Natural things cannot be trained to behave otherwise.",
        "A category taken alone is neither true nor false.",
        "Pleasure is sought by animals.",
        "The Soul and the Cave are described.",
        "",
        "???",
    ],
)
def test_a_claim_that_keeps_to_the_passage_breaks_no_rule(claim: str) -> None:
    assert violations(claim, shelf()) == ()


@pytest.mark.parametrize(
    ("claim", "rule", "found"),
    [
        ("Socrates was tried in 398 BC.", "number", "398"),
        ("Socrates was tried in AD 399, that is 399 AD.", "number", "399"),
        ("Socrates died at seventy-one.", "number", "seventy-one"),
        ("There are eleven categories.", "number", "eleven"),
        ("There are seventy categories.", "number", "seventy"),
        ("Ten prisoners were tried, the king was ten times happier.", "number", "ten"),
        ("The king is 730 times happier.", "number", "730"),
        ("The twelfth prisoner was freed.", "number", "twelfth"),
        ("It stands at 555b of the Republic.", "number", "555b"),
        ("It stands in Book VIII.", "number", "VIII"),
        ("Socrates says so to Glaucon.", "name", "Glaucon"),
        ("Callicles holds that no one errs willingly.", "name", "Callicles"),
        ("It stands in the Symposium.", "name", "Symposium"),
        ("Plato’s nephew Speusippus agreed.", "name", "Speusippus"),
        ('Virtue is "the smallest good of all".', "quotation", '"the smallest good of all"'),
        ("He said “know thyself above all”.", "quotation", "“know thyself above all”"),
        ("The soul is mortal.", "negation", "The soul is mortal."),
        ("Everyone does wrong willingly.", "negation", "Everyone does wrong willingly."),
        ("Prisoners do not sit in an underground cave.", "negation", "Prisoners do not sit in an underground cave."),
        ("The ten categories taken alone are true or false.", "negation", "The ten categories taken alone are true or false."),
    ],
)
def test_what_no_passage_holds_is_found_where_it_stands(claim: str, rule: str, found: str) -> None:
    broken = violations(claim, shelf())
    assert (rule, found) in [(one.rule, claim[one.start : one.end]) for one in broken]


def test_the_persona_bears_its_own_name_and_no_other() -> None:
    assert violations("Aristotle says so.", shelf(persona="aristotle")) == ()
    assert [one.rule for one in violations("Aristotle says so.", shelf(persona="plato"))] == ["name"]


@given(st.integers(0, 8), st.integers(0, 8))
def test_the_passages_own_sentences_break_no_rule(first: int, more: int) -> None:
    sentences = spans(TEXT)
    first = min(first, len(sentences) - 1)
    last = min(first + more, len(sentences) - 1)
    assert violations(TEXT[sentences[first][0] : sentences[last][1]], shelf()) == ()


@given(st.text(max_size=80))
def test_any_text_is_read_without_failing_and_spans_lie_inside_it(text: str) -> None:
    for one in violations(text, shelf()):
        assert 0 <= one.start < one.end <= len(text)

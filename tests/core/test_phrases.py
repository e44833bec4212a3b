"""Literal phrases are found whatever their case, in plain ASCII and beside other letters alike."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from guardrail import phrases

PHRASES = ("pipe bomb", "my password", "ai", "fake id")
PIECES = st.lists(
    st.sampled_from(["pipe", "PIPE", " ", "  ", "\n", "bomb", "Bomb", "my password", "AI", "ai", "said", "Fake ID", ".", "_", "k", "-"]), max_size=12
)


def spans(matcher: phrases.Matcher, text: str, start: int = 0) -> list[tuple[int, int]]:
    return [match.span() for match in matcher.finditer(text, start)]


@given(text=PIECES.map("".join), start=st.integers(0, 20))
def test_ascii_text_gives_the_same_places_as_the_same_text_before_another_letter(text: str, start: int) -> None:
    matcher = phrases.compiled(PHRASES)
    assert spans(matcher, text, start) == spans(matcher, f"{text} é", start)


@given(text=PIECES.map("".join))
def test_a_phrase_is_found_exactly_where_it_stands_between_word_boundaries(text: str) -> None:
    matcher = phrases.compiled(PHRASES)
    plain = re.compile(r"(?<!\w)(?:pipe\s{1,8}bomb|my\s{1,8}password|ai|fake\s{1,8}id)(?!\w)", re.IGNORECASE)
    assert spans(matcher, text) == [match.span() for match in plain.finditer(text)]


def test_a_letter_that_has_an_ascii_twin_matches_it_in_either_direction() -> None:
    assert phrases.compiled(["ſin"]).search("SIN") is not None  # the long s, whose capital is S
    assert phrases.compiled(["kin"]).search("\u212ain") is not None  # the sign of the kelvin, whose small letter is k

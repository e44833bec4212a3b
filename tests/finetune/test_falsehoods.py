"""Answers made false by one change."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.finetune.data.falsehoods import falsify

PASSAGE = "Plato founded the Academy in 387. Speusippus led it after Plato. The good is not a pleasure, and the rulers are wise."


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("He founded it in 387.", "number"),
        ("Then Speusippus.", "name"),
        ("A wise leader.", "opposite"),
        ("The Academy was a school.", "negation"),
    ],
)
def test_each_kind_of_change_is_made(text: str, kind: str) -> None:
    changed = falsify(text, [PASSAGE], random.Random(1))
    assert changed is not None
    assert changed.kind == kind


def test_a_text_without_anything_to_change_gives_none() -> None:
    assert falsify("Well then.", [PASSAGE], random.Random(1)) is None


def test_a_change_that_the_passages_hold_is_not_made() -> None:
    assert falsify("they are wise", ["they are wise. they are foolish. they are not wise"], random.Random(1)) is None


@settings(max_examples=100)
@given(st.text(alphabet="abc .387Plato isnot wise", max_size=80), st.integers(0, 5))
def test_only_the_named_stretch_differs(text: str, seed: int) -> None:
    changed = falsify(text, [PASSAGE], random.Random(seed))
    if changed is not None:
        rest = len(changed.text) - changed.end
        assert changed.text != text
        assert changed.text[: changed.start] == text[: changed.start]
        assert changed.text[changed.end :] == (text[-rest:] if rest else "")

"""Masking takes every value out, and restoring puts every one back."""

from __future__ import annotations

import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrail.rails.personal_data import find
from guardrail.rails.vault import Vault, redacted
from guardrail.types import Finding

VALUES = ("a@example.org", "b@example.org", "aa@example.org", "+44 20 7946 0958", "4111 1111 1111 1111", "password: correct7horse", "AKIAIOSFODNN7EXAMPLE")
PIECES = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from(["[EMAIL_1]", "[EMAIL_2]", "[PHONE_1]", "[LITERAL_1]", "[API_KEY_1]", "[EMAIL_", "[EMAIL]", "1]", "[", "]", "[[", "_1]", " ", ", ", "1"]),
    st.text(alphabet="aE[_1] @", max_size=6),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


@given(TEXTS)
@settings(max_examples=300, deadline=None)
@example("a@example.org [EMAIL_1]")
@example("[EMAIL_4111 1111 1111 1111]")
def test_restore_undoes_mask(text: str) -> None:
    masked = Vault().mask(text, find(text))
    assert masked.vault.restore(masked.text) == text


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_no_value_stays_in_the_masked_text(text: str) -> None:
    findings = find(text)
    masked = Vault().mask(text, findings)
    for finding in findings:
        assert text[finding.start : finding.end] not in masked.text


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_the_findings_point_into_the_original(text: str) -> None:
    masked = Vault().mask(text, find(text))
    values = {value: placeholder for placeholder, value in masked.vault.entries}
    rebuilt, last = "", 0
    for finding in masked.findings:
        rebuilt += text[last : finding.start] + values[text[finding.start : finding.end]]
        last = finding.end
    assert rebuilt + text[last:] == masked.text


@given(TEXTS, st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=4))
@settings(max_examples=300, deadline=None)
def test_any_spans_at_all_can_be_masked_and_restored(text: str, places: list[tuple[int, int]]) -> None:
    findings = [Finding(type="thing", start=start, end=min(start + size, len(text)), score=1.0) for start, size in places if start < len(text)]
    masked = Vault().mask(text, findings)
    assert masked.vault.restore(masked.text) == text


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_conversation_is_restored_with_one_vault(texts: list[str]) -> None:
    masked, vault = Vault().mask_all([(text, find(text)) for text in texts])
    assert [vault.restore(one) for one in masked] == texts
    values = [text[finding.start : finding.end] for text in texts for finding in find(text)]
    assert not any(value in one for value in values for one in masked)


@given(TEXTS, TEXTS, st.lists(st.integers(0, 200), max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_streamed_answer_is_restored_like_the_whole(text: str, more: str, cuts: list[int]) -> None:
    masked = Vault().mask(text, find(text))
    answer = masked.text + more
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    restorer = masked.vault.restorer()
    shown = "".join(restorer.push(answer[a:b]) for a, b in itertools.pairwise(edges)) + restorer.push("", final=True)
    assert shown == masked.vault.restore(answer)


def test_every_split_of_a_placeholder_is_restored() -> None:
    masked = Vault().mask("a@example.org", find("a@example.org"))
    answer = f"Write to {masked.text}[0] now"
    for cut in range(len(answer) + 1):
        restorer = masked.vault.restorer()
        first = restorer.push(answer[:cut])
        assert "[EMAIL" not in first
        assert first + restorer.push(answer[cut:], final=True) == "Write to a@example.org[0] now"


def test_a_value_keeps_its_placeholder_over_the_conversation() -> None:
    first = Vault().mask("a@example.org and b@example.org", find("a@example.org and b@example.org"))
    second = first.vault.mask("again b@example.org", find("again b@example.org"))
    assert first.text == "[EMAIL_1] and [EMAIL_2]"
    assert second.text == "again [EMAIL_2]"
    assert second.vault == first.vault


def test_a_placeholder_that_the_user_typed_comes_back_as_he_typed_it() -> None:
    first = Vault().mask("I am a@example.org", find("I am a@example.org"))
    second = first.vault.mask("What is [EMAIL_1]?", ())
    assert second.text == "What is [LITERAL_1]?"
    assert second.vault.restore(second.text) == "What is [EMAIL_1]?"
    assert second.vault.restore("[EMAIL_1]") == "a@example.org"


def test_a_value_that_was_found_once_is_masked_wherever_it_stands() -> None:
    text = "Phone: 451 5986. Yes, 451 5986"
    assert Vault().mask(text, find(text)).text == "Phone: [PHONE_1]. Yes, [PHONE_1]"


def test_a_placeholder_of_nobody_stays() -> None:
    masked = Vault().mask("a@example.org", find("a@example.org"))
    assert masked.vault.restore("[EMAIL_7] [PHONE_1]") == "[EMAIL_7] [PHONE_1]"


def test_one_request_knows_nothing_of_another() -> None:
    Vault().mask("a@example.org", find("a@example.org"))
    assert Vault().restore("[EMAIL_1]") == "[EMAIL_1]"


def test_a_vault_shows_no_value_when_it_is_printed() -> None:
    masked = Vault().mask("a@example.org", find("a@example.org"))
    assert repr(masked.vault) == "Vault(1 values)"


def test_what_is_redacted_cannot_be_restored() -> None:
    text = "a@example.org, +44 20 7946 0958"
    vault = Vault().mask(text, find(text)).vault
    assert redacted(text, find(text)) == "[EMAIL], [PHONE]"
    assert vault.restore("[EMAIL], [PHONE]") == "[EMAIL], [PHONE]"

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.rails.numbers import locators, numbers
from guardrail.rails.words import coverage, rarity, same_name, stem, words


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("399 BC", [399]),
        ("twenty-four and three or four", [24, 3, 4]),
        ("seven hundred and twenty-nine days", [729]),
        ("two thousand three hundred", [2300]),
        ("1,200.5 and 30th", [1200.5, 30]),
        ("the third man, twice", [3, 2]),
        ("one of them, first and second, a hundred, hundreds", []),
        ("one hundred", [100]),
        ("514a-517c", []),
        ("five. Six", [5, 6]),
        ("three four", [3, 4]),
        ("", []),
    ],
)
def test_numbers_are_read_from_digits_and_words(text: str, values: list[float]) -> None:
    assert [number.value for number in numbers(text)] == values


@given(st.integers(2, 999))
def test_a_number_in_words_has_the_value_of_its_digits(value: int) -> None:
    units = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
    tens = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
    hundreds, rest = divmod(value, 100)
    small = units[rest] if rest < 20 else tens[rest // 10] + (f"-{units[rest % 10]}" if rest % 10 else "")
    spoken = f"{units[hundreds]} hundred{f' and {small}' if rest else ''}" if hundreds else small
    assert [number.value for number in numbers(f"about {spoken} men")] == [value]


def test_locators_are_pages_with_a_column() -> None:
    assert [page for page, _, _ in locators("VII 514a-517c; 1094a1, not 42 or 12xyz")] == [514, 517, 1094]


@pytest.mark.parametrize(
    ("one", "other"), [("Athens", "Athenian"), ("Plato", "Platonic"), ("Socrates", "Socratic"), ("Aristotle’s", "Aristotelian"), ("SPARTA", "Spartans")]
)
def test_a_name_and_what_is_made_from_it_are_the_same(one: str, other: str) -> None:
    assert same_name(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Heraclitus", "Heraclides"), ("Sophocles", "Sophists"), ("Meno", "Menexenus"), ("Alexander", "Alexandria"), ("Crito", "Critias"), ("Dion", "Diotima")],
)
def test_names_that_only_look_alike_are_different(one: str, other: str) -> None:
    assert not same_name(one, other)


def test_a_capital_at_the_start_of_a_sentence_makes_no_name_of_a_common_word() -> None:
    names = [word.text for word in words("Virtue is taught. Callicles disagrees with the Form of Glaucon’s choice.") if word.name]
    assert names == ["Callicles", "Form", "Glaucon’s"]


def test_rarity_runs_from_everyday_words_to_unseen_ones() -> None:
    assert 0 < rarity(stem("man")) < rarity(stem("virtue")) < rarity(stem("receptacle")) < rarity("zzyzx") == 1.0


def test_coverage_is_all_of_nothing_and_none_of_what_is_missing() -> None:
    assert coverage(frozenset(), frozenset()) == 1.0
    assert coverage(frozenset({"soul"}), frozenset({"bodi"})) == 0.0


@given(st.text(max_size=100))
def test_words_stand_where_they_say(text: str) -> None:
    assert all(text[word.start : word.end] == word.text for word in words(text))

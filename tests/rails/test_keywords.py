from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Screening
from guardrail.rails.keywords import KeywordRail
from guardrail.types import Message, Request

RAIL = KeywordRail("output", ("project falcon", "acme", "c++", "acme corporation"), (r"sk-[a-z0-9]{4,8}", r"id (?=\d{3})", r"key$"))


def spans(rail: KeywordRail, text: str, *, final: bool = True) -> list[tuple[int, int]]:
    return [(finding.start, finding.end) for finding in rail.find(text, final=final)]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("about Project  Falcon.", (6, 21)),
        ("ACME", (0, 4)),
        ("Acme Corporation", (0, 16)),
        ("in C++!", (3, 6)),
        ("sk-ab12 ", (0, 7)),
        ("my id 123", (3, 6)),
    ],
)
def test_a_listed_phrase_or_pattern_is_found_where_it_stands(text: str, span: tuple[int, int]) -> None:
    assert spans(RAIL, text) == [span]


@pytest.mark.parametrize("text", ["", "acmes", "pacme", "projectfalcon", "project\n\n\n\n\n\n\n\n\n\nfalcon", "SK-AB12", "sk-a", "id 12", "keys"])
def test_near_misses_are_not_found(text: str) -> None:
    assert spans(RAIL, text) == []


async def test_a_match_blocks_and_its_absence_passes() -> None:
    rail = KeywordRail("input", ("acme",))
    request = Request(id="r", persona="plato", messages=(Message(role="user", content="x"),))
    blocked = await rail.check(Screening(request=request, text="Tell me of Acme", encoding=None))
    passed = await rail.check(Screening(request=request, text="Tell me of virtue", encoding=None))
    assert (blocked.decision, blocked.score, blocked.stage, passed.decision, passed.score) == ("block", 1.0, "input", "pass", 0.0)
    assert "acme" not in (blocked.reason or "").lower()


@pytest.mark.parametrize("pattern", ["a.*b", "a+", "x{300}", r"(?=.{500})a"])
def test_a_pattern_of_unbounded_reach_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="bound its repeats"):
        KeywordRail("output", patterns=(pattern,))


@pytest.mark.parametrize(("phrases", "pattern"), [((), "("), ((), "a?"), (("  ",), "a")])
def test_a_broken_or_empty_entry_is_refused(phrases: tuple[str, ...], pattern: str) -> None:
    with pytest.raises(ConfigurationError):
        KeywordRail("input", phrases, (pattern,))


def test_the_reach_holds_the_longest_match_and_its_boundary() -> None:
    assert KeywordRail("output", ("abc",)).reach == 4
    assert KeywordRail("output", ("a b",)).reach == 3 + 7 + 1
    assert KeywordRail("output", (), ("ab(?=cde)",)).reach == 6
    assert KeywordRail("output").reach == 1


@given(st.lists(st.sampled_from(["acme", "c++", "sk-ab12", "id 1", "2", "3", " ", "s", "project", "falcon", "key", "\n", "ß", "İ"]), max_size=25), st.data())
def test_a_stream_split_anywhere_finds_the_same_and_clears_no_forbidden_character(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cut = data.draw(st.integers(0, len(text)))
    whole = spans(RAIL, text)
    cleared = cut - RAIL.reach
    early = spans(RAIL, text[:cut], final=False)
    assert early == [span for span in whole if span[0] <= cleared]
    assert spans(RAIL, text[:cut], final=False) == early


@given(st.lists(st.text(st.sampled_from("ab c"), min_size=1).filter(str.strip), min_size=1, max_size=8), st.text(st.sampled_from("ab c.")))
def test_many_phrases_in_one_expression_find_what_each_alone_finds(phrases: list[str], text: str) -> None:
    together = bool(KeywordRail("input", phrases).find(text))
    assert together == any(KeywordRail("input", (phrase,)).find(text) for phrase in phrases)


async def test_the_self_test_passes_on_every_kind_of_phrase() -> None:
    await KeywordRail("input", ("plain", "c++", "two words", "ß", "naïve")).warm_up()


async def test_the_self_test_fails_where_a_phrase_cannot_be_found() -> None:
    with pytest.raises(RailError, match="misses"):
        await KeywordRail("input", ("İ",)).warm_up()  # lower case of this letter is two characters, which never match it

"""How far the keywords rail has cleared a text that goes on."""

from __future__ import annotations

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from guardrail.frontier import Frontier, TextCheck
from guardrail.protocols import Claim
from guardrail.rails.keywords import KeywordRail
from guardrail.types import Evidence, Message, Question, Request

RAIL = KeywordRail("output", phrases=["aa b", "ab", "b a a", "a+", "bab b"], patterns=[r"bb{2,3}a"])
PHRASES_ONLY = KeywordRail("output", phrases=["aa b", "ab", "b a a", "a+", "bab b"])
TEXTS = st.text(alphabet="ab +B\n", max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)
REQUEST = Request(id="r", persona="plato", messages=(Message(role="user", content="?"),))
EVIDENCE = Evidence(question=Question(request=REQUEST, text="?"), hits=())


def test_only_the_beginning_of_a_phrase_is_held_back() -> None:
    rail = KeywordRail("output", phrases=["open sesame", "secret"])
    for text, held in (("They went home", 0), ("They said open", 4), ("They said OPEN  se", 8), ("They said open door", 0), ("a secret", 6), ("reopen", 0)):
        assert cleared(rail, text) == len(text) - held, text


def test_a_pattern_holds_back_its_reach() -> None:
    assert cleared(KeywordRail("output", patterns=["[0-9]{4}"]), "and so on") == len("and so on") - 5


@given(TEXTS)
def test_no_match_begins_in_what_was_cleared_before(text: str) -> None:
    starts = [(finding.start, finding.end) for finding in RAIL.find(text)]
    before = 0
    for size in range(len(text) + 1):
        now = cleared(RAIL, text[:size])
        assert now >= size - RAIL.reach
        assert now >= before or now < 0
        before = max(now, before)
        assert all(before <= start for start, end in starts if end >= size)


@given(TEXTS, CUTS)
@example("BaB+BBBB", [8, 8])  # a cut within a word that goes on like a phrase
@example("BB+aa B", [7])  # the end alone makes the match
@example("aB+", [])
async def test_every_split_releases_the_same(text: str, cuts: list[int]) -> None:
    for rail in (RAIL, PHRASES_ONLY):
        whole, blocked = await released(rail, [text])
        edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
        assert await released(rail, [text[a:b] for a, b in itertools.pairwise(edges)]) == (whole, blocked)
        assert blocked == bool(rail.find(text))
        assert text.startswith(whole)
        assert len(whole) <= min((finding.start for finding in rail.find(text)), default=len(text))


def cleared(rail: KeywordRail, text: str) -> int:
    return rail.clear(Claim(evidence=EVIDENCE, text=text))


async def released(rail: KeywordRail, pieces: list[str]) -> tuple[str, bool]:
    frontier = Frontier(EVIDENCE, judge=None, text_checks=[TextCheck(reach=rail.reach, check=rail.check, clearing=rail)])
    shown = ""
    for number, piece in enumerate(pieces):
        shown += await frontier.push(piece, final=number == len(pieces) - 1)
    return shown, frontier.blocked is not None

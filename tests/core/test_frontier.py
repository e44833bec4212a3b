"""What leaves is what every rail has cleared, and it does not depend on how the draft was split."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guardrail.frontier import Frontier, TextCheck
from guardrail.protocols import Claim, Judgement, Need
from guardrail.rails.keywords import KeywordRail
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request, Sentence, Stage, Verdict

CAVE = "Prisoners sit in a cave. They see shadows. One of them is freed."


def evidence(*texts: str) -> Evidence:
    request = Request(id="r", persona="plato", messages=(Message(role="user", content="What is the Cave?"),))
    hits = tuple(
        Hit(
            passage=Passage(id=f"p{number}", source_id="s", title="t", work="Republic", locator="514a", persona="plato", text=text, start=0, end=len(text)),
            score=1.0,
            dense=1.0,
            late=1.0,
            coverage=1.0,
            tokens=np.zeros((0, 4), np.float32),
        )
        for number, text in enumerate(texts)
    )
    return Evidence(question=Question(request=request, text=request.text), hits=hits)


class Verbatim:
    """A real judge in small: a sentence is supported if a passage holds it word for word; a sentence that ends in a colon states nothing."""

    id = "verbatim"
    version = "1"
    stage: Stage = "output"
    reach = 0
    needs: frozenset[Need] = frozenset({"passages"})

    async def check(self, subject: Claim) -> Verdict:
        return (await self.judge(subject)).verdict

    async def warm_up(self) -> None: ...

    async def judge(self, claim: Claim) -> Judgement:
        found = next(((number, hit.passage.text.find(claim.text)) for number, hit in enumerate(claim.evidence.hits) if claim.text in hit.passage.text), None)
        framing = claim.text.endswith(":")
        verdict = Verdict(rail=self.id, rail_version="1", stage="output", decision="pass" if found or framing else "abstain")
        passage, start = found or (None, 0)
        sentence = Sentence(
            start=0, end=len(claim.text), support=1.0 if found else 0.0, passage=passage, source_start=start, source_end=start + len(claim.text)
        )
        return Judgement(verdict=verdict, sentence=sentence)


async def run(pieces: list[str], *, judge: bool, rail: KeywordRail | None = None) -> tuple[str, Frontier]:
    checks = [TextCheck(reach=rail.reach, check=rail.check, clearing=rail)] if rail else []
    frontier = Frontier(evidence(CAVE, "Er dies in battle."), judge=Verbatim().judge if judge else None, text_checks=checks)
    shown = ""
    for number, piece in enumerate(pieces):
        shown += await frontier.push(piece, final=number == len(pieces) - 1)
        assert frontier.released == shown
    return shown, frontier


def split(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


DRAFT = "Here it stands: Prisoners sit in a cave. [3] The moon is cheese. They see shadows [2]. Er dies in battle."
CUTS = st.lists(st.integers(0, 200), max_size=8)


async def test_only_supported_sentences_leave_with_the_verifiers_markers() -> None:
    shown, frontier = await run([DRAFT], judge=True)
    assert shown == "They see shadows. [1] Er dies in battle. [2]".replace("They", "They")
    assert [citation.marker for citation in frontier.citations] == ["[1]", "[2]"]


async def test_a_citation_points_at_the_statement_and_at_its_source() -> None:
    shown, frontier = await run([DRAFT], judge=True)
    for citation in frontier.citations:
        assert shown[citation.answer_start : citation.answer_end] == citation.text[citation.source_start : citation.source_end]


async def test_a_framing_sentence_is_shown_only_before_a_statement_that_is_kept() -> None:
    kept, _ = await run(["Look:\n\nThey see shadows."], judge=True)
    dropped, frontier = await run(["Look:\n\nThe moon is cheese."], judge=True)
    assert kept == "Look:\n\nThey see shadows. [1]"
    assert dropped == ""
    assert not frontier.supported


async def test_a_draft_that_says_not_found_releases_nothing() -> None:
    shown, frontier = await run(["NOT FOUND. They see shadows."], judge=True)
    assert shown == ""
    assert frontier.not_found


TWICE = "One of them is freed. They see shadows. [2] One of them is freed. [1] They see shadows. One of them is freed."


async def test_a_sentence_is_shown_once_and_that_is_said() -> None:
    shown, frontier = await run([TWICE], judge=True)
    assert shown == "One of them is freed. [1] They see shadows. [1] They see shadows. [1]"
    assert [verdict.findings[0].type for verdict in frontier.verdicts if verdict.rail == "generation"] == ["repetition", "repetition"]


@given(CUTS)
async def test_every_split_takes_out_the_same_repetitions(cuts: list[int]) -> None:
    whole, reference = await run([TWICE], judge=True)
    shown, frontier = await run(split(TWICE, cuts), judge=True)
    assert shown == whole
    assert frontier.verdicts == reference.verdicts


@given(CUTS)
async def test_every_split_gives_the_same_text_and_citations(cuts: list[int]) -> None:
    whole, reference = await run([DRAFT], judge=True)
    shown, frontier = await run(split(DRAFT, cuts), judge=True)
    assert shown == whole
    assert frontier.citations == reference.citations
    assert frontier.verdicts == reference.verdicts


SECRET = "The word is open sesame, and another text follows it. Nothing more is said."


@given(CUTS)
async def test_no_byte_of_a_forbidden_text_leaves_in_any_split(cuts: list[int]) -> None:
    rail = KeywordRail("output", phrases=["open sesame"])
    whole, reference = await run([SECRET], judge=False, rail=rail)
    shown, frontier = await run(split(SECRET, cuts), judge=False, rail=rail)
    assert frontier.blocked is not None
    assert "o" not in shown.removeprefix("The word is ") or len(shown) <= len("The word is ")
    assert shown == whole
    assert SECRET.startswith(shown)
    assert frontier.blocked.findings == reference.blocked.findings if reference.blocked else False


@given(CUTS)
async def test_a_word_that_merely_begins_like_a_forbidden_one_passes_in_any_split(cuts: list[int]) -> None:
    text = "The secretary keeps the minutes."
    shown, frontier = await run(split(text, cuts), judge=False, rail=KeywordRail("output", phrases=["secret"]))
    assert shown == text
    assert frontier.blocked is None


async def test_clean_text_leaves_before_its_end_is_there() -> None:
    frontier = Frontier(evidence(), judge=None, text_checks=[TextCheck(reach=7, check=KeywordRail("output", phrases=["secret"]).check)])
    assert await frontier.push("A long and harmless beginning") == "A long and harmless be"


class Vague:
    """Objects to a text that holds a word, and does not say where."""

    def __init__(self, word: str) -> None:
        self._word = word

    async def check(self, claim: Claim) -> Verdict:
        objects = self._word in claim.text
        return Verdict(rail="vague", rail_version="1", stage="output", decision="block" if objects else "pass", score=float(objects), threshold=0.5)


async def test_after_an_objection_without_a_finding_nothing_more_leaves() -> None:
    frontier = Frontier(evidence(CAVE), judge=None, text_checks=[TextCheck(reach=0, check=Vague("secret").check)])
    shown = [
        await frontier.push("One thing. "),
        await frontier.push("A secret follows. "),
        await frontier.push("It is 1234."),
        await frontier.push("", final=True),
    ]
    assert shown == ["One thing. ", "", "", ""]
    assert frontier.blocked is not None

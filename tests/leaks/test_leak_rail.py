"""The leak rail: recitation is stopped, quotation is not, and a stream gives away nothing of it."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrail.enforcement import EnforcedRail
from guardrail.errors import ConfigurationError, RailError
from guardrail.frontier import Frontier, TextCheck
from guardrail.leaks.builder import build
from guardrail.leaks.index import LeakIndex
from guardrail.protocols import Claim
from guardrail.rails.keywords import KeywordRail
from guardrail.rails.leak import LeakRail
from guardrail.settings import RailSettings
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.types import Decision

CORPUS = (
    "Those who wish to succeed must ask the right preliminary questions; a traveller who sets out from Corinth before sunrise, with bread in his bag and no "
    "quarrel behind him, will see the whole of the isthmus by noon, and whoever has seen it from above knows why two seas and three cities fight for a road."
)
OTHER = "A gardener waters olives in the evening because the roots drink more slowly when shadows have cooled the ground around every single trunk."
PROSE = "Nobody here speaks of roads or seas, but of olives and how they are pressed when autumn comes to the hills above our little town by the river."
WORDS = CORPUS.split()
VOCABULARY = [*WORDS[9:33], *WORDS[9:33], "olives", "roots", "and", "[1]"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("leaks") / "index"
    build([[CORPUS], [OTHER]], out)
    return out


@pytest.fixture(scope="session")
def rail(folder: Path) -> LeakRail:
    return LeakRail(LeakIndex.open(folder))


def evidence(*passages: str, question: str = "?") -> Evidence:
    hits = tuple(
        Hit(
            passage=Passage(id=str(i), source_id="s", title="", work="", locator="", persona="", text=text, start=0, end=len(text)),
            score=1.0,
            dense=1.0,
            late=1.0,
            coverage=1.0,
            tokens=np.empty((0, 1), np.float32),
        )
        for i, text in enumerate(passages)
    )
    request = Request(id="r", persona="plato", messages=(Message(role="user", content=question),))
    return Evidence(question=Question(request=request, text=question), hits=hits)


def blocks(rail: LeakRail, text: str, given: Evidence | None = None) -> bool:
    return asyncio.run(rail.check(Claim(evidence=given or evidence(), text=text))).decision == "block"


def recited(start: int, count: int) -> str:
    return " ".join(WORDS[start : start + count])


def test_twelve_words_in_a_row_are_recitation(rail: LeakRail) -> None:
    for start in range(len(WORDS) - 12):
        assert blocks(rail, f"He said: {recited(start, 12)} indeed."), start


def test_eleven_words_are_recitation_only_where_seven_of_them_carry_meaning(rail: LeakRail) -> None:
    assert recited(14, 11) == "sets out from Corinth before sunrise, with bread in his bag"
    assert not blocks(rail, f"He said: {recited(14, 11)} indeed.")
    assert recited(2, 11) == "wish to succeed must ask the right preliminary questions; a traveller"
    assert blocks(rail, f"He said: {recited(2, 11)} indeed.")
    assert not blocks(rail, f"He said: {recited(2, 10)} indeed.")


def test_case_punctuation_and_space_make_no_difference(rail: LeakRail) -> None:
    assert blocks(rail, recited(8, 14).upper().replace(" ", ",\n\n- "))


@pytest.mark.parametrize("changed", [(12,), (12, 13)])
def test_one_or_two_changed_words_do_not_end_a_run(rail: LeakRail, changed: tuple[int, ...]) -> None:
    words = WORDS[3:24]
    for place in changed:
        words[place] = "something"
    assert blocks(rail, " ".join(words))
    assert blocks(rail, " ".join(word for i, word in enumerate(WORDS[3:24]) if i not in changed))


def test_three_changed_words_end_a_run(rail: LeakRail) -> None:
    assert not blocks(rail, f"{recited(3, 9)} something quite else {recited(15, 9)}")


def test_text_that_retrieval_or_the_user_supplied_is_quotation(rail: LeakRail) -> None:
    assert not blocks(rail, CORPUS, evidence("More before. " + CORPUS + " More after."))
    assert not blocks(rail, CORPUS, evidence(question=f"Is this right? {CORPUS}"))
    assert blocks(rail, CORPUS, evidence(OTHER))


def test_only_what_goes_beyond_a_quotation_counts(rail: LeakRail) -> None:
    quoted = evidence(recited(0, 20))
    assert not blocks(rail, recited(0, 31) + " indeed", quoted)
    assert blocks(rail, recited(0, 32) + " indeed", quoted)
    before = evidence(recited(20, 20))
    assert not blocks(rail, recited(9, 31), before)
    assert blocks(rail, recited(8, 32), before)


def test_stretches_between_quotations_add_up(rail: LeakRail) -> None:
    assert blocks(rail, recited(0, 30), evidence(recited(8, 7)))


def test_the_deployments_own_texts_may_be_said(folder: Path) -> None:
    assert not blocks(LeakRail(LeakIndex.open(folder), allowed=[CORPUS]), CORPUS)


def test_common_phrases_are_no_recitation(tmp_path: Path) -> None:
    phrase = "and if it is to be what it is then it will be as it was before"
    longer = f"{phrase}, and what it was before it is to be again, and so it will not be what it is"
    build([[phrase], [longer]], tmp_path / "i")
    rail = LeakRail(LeakIndex.open(tmp_path / "i"))
    assert not blocks(rail, phrase)
    assert blocks(rail, longer)


def test_the_verdict_says_where_and_nothing_of_what(rail: LeakRail) -> None:
    text = f"{PROSE} {recited(10, 20)}. {PROSE}"
    verdict = asyncio.run(rail.check(Claim(evidence=evidence(), text=text)))
    (finding,) = verdict.findings
    assert text[finding.start :].startswith(WORDS[10])
    assert finding.end <= len(PROSE) + 1 + len(recited(10, 20))
    assert verdict.score >= 0.5
    assert verdict.reason == "recites the training data"


async def test_honest_prose_scores_nothing(rail: LeakRail) -> None:
    overlap = rail.measure(Claim(evidence=evidence(), text=PROSE))
    assert (overlap.covered, overlap.coverage, overlap.runs) == (0, 0.0, ())
    await rail.warm_up()


def test_coverage_is_the_share_of_recited_words(rail: LeakRail) -> None:
    overlap = rail.measure(Claim(evidence=evidence(), text=f"{recited(0, 20)} {' '.join(PROSE.split()[:20])}"))
    assert (overlap.longest, overlap.covered, overlap.coverage) == (20, 20, 0.5)


async def test_an_index_that_finds_anything_fails_the_self_test(folder: Path) -> None:
    index = LeakIndex.open(folder)
    index.manifest = type(index.manifest)(
        **{name: getattr(index.manifest, name) for name in ("format", "corpus", "tokens", "files")}, words=type(index.manifest.words)(6, 1, 7, "words-1")
    )
    with pytest.raises(RailError, match="self-test"):
        await LeakRail(index).warm_up()


def test_a_run_that_the_index_cannot_know_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="run is 6"):
        LeakRail(LeakIndex.open(folder), run=6)
    with pytest.raises(ConfigurationError, match="bridge"):
        LeakRail(LeakIndex.open(folder), bridge=-1)


def test_prose_is_held_back_by_a_few_words_only(rail: LeakRail) -> None:
    assert len(PROSE[rail.clear(Claim(evidence=evidence(), text=PROSE)) :].split()) <= 13


def test_a_quotation_is_not_held_back_and_what_is_none_is(rail: LeakRail) -> None:
    assert len(CORPUS[rail.clear(Claim(evidence=evidence(CORPUS), text=CORPUS)) :].split()) <= 13
    assert len(CORPUS[rail.clear(Claim(evidence=evidence(), text=CORPUS)) :].split()) > 13


# -- streams ----------------------------------------------------------------------------------------------------

STRETCHES = st.tuples(st.integers(0, len(WORDS) - 1), st.integers(1, 30)).map(lambda pair: recited(*pair))
TEXTS = st.lists(st.one_of(STRETCHES, st.sampled_from(VOCABULARY), st.sampled_from([PROSE[:60], "x" * 70, ".,\n" * 4])), min_size=1, max_size=8).map(" ".join)
PASSAGES = st.lists(STRETCHES, max_size=3)
CUTS = st.lists(st.integers(0, 700), max_size=8)


@given(TEXTS, PASSAGES)
@settings(max_examples=60, deadline=None)
def test_nothing_forbidden_begins_in_what_was_cleared_before(rail: LeakRail, text: str, passages: list[str]) -> None:
    given_ = evidence(*passages)
    starts = [run.start for run in rail.measure(Claim(evidence=given_, text=text)).runs]
    cleared = 0
    for size in range(0, len(text) + 1, 3):
        claim = Claim(evidence=given_, text=text[:size])
        now = rail.clear(claim)
        assert now >= size - rail.reach
        assert now >= cleared or now <= 0
        cleared = max(cleared, now)
        certain = [run for run in rail.measure(claim).runs if run.end <= now]
        assert all(start >= cleared or any(run.start <= start < run.end for run in certain) for start in starts)


@given(TEXTS, PASSAGES, CUTS, st.booleans())
@example(f"{PROSE} {recited(2, 14)} {PROSE}", [], [170, 200, 230, 280], True)
@example(recited(0, 31), [recited(0, 20)], list(range(0, 250, 7)), True)
@example(recited(0, 31) + " indeed", [recited(0, 20)], list(range(250)), True)  # the run grows into the quotation's end
@example(recited(9, 31), [recited(20, 20)], list(range(250)), False)  # words that turn out to be a quotation
@settings(max_examples=150, deadline=None)
async def test_every_split_releases_the_same_and_nothing_of_a_forbidden_run(
    rail: LeakRail, text: str, passages: list[str], cuts: list[int], others: bool
) -> None:
    given_ = evidence(*passages)
    rails: list[LeakRail | KeywordRail] = [rail, *([KeywordRail("output", phrases=["isthmus by", "never said"])] if others else [])]
    whole = await released(rails, given_, [text])
    edges = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    assert await released(rails, given_, [text[a:b] for a, b in itertools.pairwise(edges)]) == whole
    runs = rail.measure(Claim(evidence=given_, text=text)).runs
    if runs:
        assert whole[1] is not None
        assert len(whole[0]) <= min(run.start for run in runs)
    if not others:
        assert (whole[1] is None) == (not runs)


async def test_word_by_word_a_recitation_gives_away_nothing(rail: LeakRail) -> None:
    text = f"{PROSE} {CORPUS}"
    shown, reason = await released([rail], evidence(), [text[i : i + 1] for i in range(len(text))])
    assert f"{PROSE} ".startswith(shown)
    assert reason == "recites the training data"


@given(TEXTS, PASSAGES, CUTS)
@example(f"{PROSE} {recited(2, 40)}. {PROSE}", [], list(range(420)))  # far longer than what makes a run certain
@example(f"out {OTHER} {'x' * 70} {OTHER}", [], list(range(420)))  # a run that ends where the next begins
@settings(max_examples=100, deadline=None)
async def test_a_run_that_is_masked_is_masked_to_its_end_in_every_split(folder: Path, text: str, passages: list[str], cuts: list[int]) -> None:
    rail = LeakRail(LeakIndex.open(folder), whole=True)
    given_ = evidence(*passages)
    whole, _ = await released([rail], given_, [text], decision="modify")
    edges = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    assert (await released([rail], given_, [text[a:b] for a, b in itertools.pairwise(edges)], decision="modify"))[0] == whole
    if not passages:
        assert not any(rail.measure(Claim(evidence=given_, text=part)).runs for part in whole.split("[TRAINING_DATA]"))


async def test_nothing_of_a_masked_recitation_is_shown(folder: Path) -> None:
    rail = LeakRail(LeakIndex.open(folder), whole=True)
    text = f"{PROSE} {recited(2, 40)}. {PROSE}"
    assert await released([rail], evidence(), list(text), decision="modify") == (f"{PROSE} [TRAINING_DATA]. {PROSE}", None)


async def released(rails: list[LeakRail | KeywordRail], given_: Evidence, pieces: list[str], *, decision: Decision | None = None) -> tuple[str, str | None]:
    enforced = [EnforcedRail(rail, RailSettings(id=rail.id, stage="output"), decision=decision) for rail in rails]
    checks = [TextCheck(reach=rail.reach, check=one.check, clearing=rail) for rail, one in zip(rails, enforced, strict=True)]
    frontier = Frontier(given_, judge=None, text_checks=checks)
    shown = ""
    for number, piece in enumerate(pieces):
        shown += await frontier.push(piece, final=number == len(pieces) - 1)
    return shown, frontier.blocked.reason if frontier.blocked is not None else None

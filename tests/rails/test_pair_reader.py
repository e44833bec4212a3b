"""The reader of question and passage: what it says, what it cuts, how it is made, and the rail that asks it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import LibraryError, RailError
from guardrail.finetune.rails import pair_reader as training
from guardrail.finetune.rails.branch_checkpoint import Checkpoint
from guardrail.finetune.rails.pair_rows import Pair, near
from guardrail.index.encoder import MAX_TOKENS, SEP, weights
from guardrail.index.pair_reader import BRANCH, LONGEST_QUESTION, PairReader, pair_ids
from guardrail.rails import answerable
from guardrail.rails.answerable import AnswerableRail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.index.encoder import MiniLM
    from guardrail.types import Evidence

SHIP = (
    "The ship of the city",
    "In the Republic the owner of a ship is larger and stronger than the crew, but rather deaf and short of sight. The sailors quarrel over who should steer, "
    "although none has learned the art. They drug the owner with mandrake and take over the ship. The true navigator they call a stargazer.",
)


@pytest.fixture(scope="module")
def reader(encoder: MiniLM) -> PairReader:
    return PairReader(encoder)


@pytest.mark.parametrize(
    ("told", "untold"),
    [
        ("What do the sailors call the true navigator?", "How old was the true navigator?"),
        ("With what do the sailors drug the owner?", "In which year did the sailors drug the owner?"),
        ("why do the sailors quarrel", "which poet first wrote of a ship and its sailors"),
    ],
)
def test_a_question_that_a_passage_answers_scores_above_one_that_only_sounds_like_it(reader: PairReader, told: str, untold: str) -> None:
    assert reader.scores(told, (SHIP,))[0] > reader.scores(untold, (SHIP,))[0]


def test_passages_read_together_score_as_they_do_alone(reader: PairReader) -> None:
    other = ("Sparta", "The Spartans ate together at common tables.")
    together = reader.scores("What do the sailors call the true navigator?", (SHIP, other))
    alone = [reader.scores("What do the sailors call the true navigator?", (one,))[0] for one in (SHIP, other)]
    assert np.allclose(together, alone, atol=1e-3)


@settings(max_examples=50)
@given(st.text(max_size=600), st.text(max_size=2000))
def test_any_question_and_passage_fit_the_encoder(encoder: MiniLM, question: str, passage: str) -> None:
    ids = pair_ids(encoder, question, passage)
    assert len(ids) <= MAX_TOKENS
    assert list(ids).count(SEP) == 2
    assert list(ids).index(SEP) <= LONGEST_QUESTION + 1


def test_a_damaged_branch_is_refused_with_what_makes_it_anew(encoder: MiniLM, tmp_path: Path) -> None:
    damaged = tmp_path / "reading.safetensors"
    damaged.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(LibraryError, match=r"guardrail\.finetune\.rails\.pair_reader"):
        PairReader(encoder, damaged).scores("What is virtue?", (SHIP,))


async def test_a_rail_whose_coefficients_were_fitted_with_another_branch_does_not_start(encoder: MiniLM, tmp_path: Path) -> None:
    other = tmp_path / "reading.safetensors"
    other.write_bytes(BRANCH.read_bytes() + b"\0")
    with pytest.raises(RailError, match="fitted with another reading branch"):
        await AnswerableRail(encoder, reader=PairReader(encoder, other)).warm_up()


async def test_a_rail_half_of_whose_coefficients_were_fitted_with_another_branch_does_not_start(
    encoder: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads(answerable.COEFFICIENTS.read_bytes())
    card["bare"]["reading"]["branch"] = "another"
    (tmp_path / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(answerable, "COEFFICIENTS", tmp_path / "card.json")
    with pytest.raises(RailError, match="answerable_libraries"):
        await AnswerableRail(encoder, reader=PairReader(encoder)).warm_up()


async def test_a_rail_whose_branch_is_missing_does_not_start(encoder: MiniLM, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"guardrail\.finetune\.rails\.pair_reader"):
        await AnswerableRail(encoder, reader=PairReader(encoder, tmp_path / "none")).warm_up()


class Fixed:
    """Says the same of every passage, and remembers what it was asked."""

    fingerprint = "fixed"

    def __init__(self, odds: float) -> None:
        self.odds = odds
        self.asked: list[str] = []

    def scores(self, question: str, passages: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked.append(question)
        return np.full(len(passages), self.odds, np.float32)


async def test_the_reader_decides_where_the_gate_is_in_doubt(encoder: MiniLM, evidence: Callable[..., Evidence]) -> None:
    doubtful = _doubtful(encoder, evidence)
    for_it, against = Fixed(6.0), Fixed(-6.0)
    assert (await AnswerableRail(encoder, reader=for_it).check(doubtful)).decision == "pass"
    assert (await AnswerableRail(encoder, reader=against).check(doubtful)).decision == "abstain"


async def test_the_gate_decides_alone_where_the_reader_is_late(encoder: MiniLM, evidence: Callable[..., Evidence], caplog: pytest.LogCaptureFixture) -> None:
    class Late(Fixed):
        def scores(self, question: str, passages: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
            time.sleep(0.5)
            return super().scores(question, passages)

    doubtful = _doubtful(encoder, evidence)
    alone, late = [await AnswerableRail(encoder, reader=reader, patience=0.01).check(doubtful) for reader in (None, Late(6.0))]
    assert (late.decision, late.score) == (alone.decision, alone.score)
    assert "decided alone" in caplog.text


async def test_a_topic_is_left_to_the_gate(encoder: MiniLM, evidence: Callable[..., Evidence]) -> None:
    reader = Fixed(-6.0)
    given = evidence("the prisoners in the cave")
    verdicts = [await AnswerableRail(encoder, reader=reader).check(_asked(given, float(cosine))) for cosine in np.linspace(0.0, 0.9, 19)]
    assert {verdict.decision for verdict in verdicts} == {"pass", "abstain"}
    assert reader.asked == []


@pytest.mark.parametrize(("asked", "cosine"), [("What is the allegory of the Cave?", 0.98), ("How do I bake sourdough bread?", 0.0)])
async def test_the_reader_is_not_asked_where_there_is_no_doubt(encoder: MiniLM, evidence: Callable[..., Evidence], asked: str, cosine: float) -> None:
    reader = Fixed(0.0)
    await AnswerableRail(encoder, reader=reader).check(_asked(evidence(asked), cosine))
    assert reader.asked == []


def _doubtful(encoder: MiniLM, evidence: Callable[..., Evidence]) -> Evidence:
    """What the gate cannot tell, by itself, from what it may pass."""
    given, gate = evidence("what do the prisoners in the cave see?"), AnswerableRail(encoder)
    tried = (_asked(given, float(cosine)) for cosine in np.linspace(0.9, 0.0, 91))
    return next(one for one in tried if abs(gate.probability(one) - (1 - gate.threshold)) < 0.05)


def _asked(given: Evidence, cosine: float) -> Evidence:
    return replace(given, hits=tuple(replace(hit, asked=cosine) for hit in given.hits))


def test_all_near_questions_of_a_passage_are_on_one_side() -> None:
    parts: dict[str, set[str]] = {}
    for question in near():
        parts.setdefault(question.passage, set()).add(question.part)
    assert all(len(found) == 1 for found in parts.values())


def test_an_interrupted_training_goes_on_to_the_weights_of_the_whole_run(encoder: MiniLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EVERY", 1)
    monkeypatch.setattr(training, "BATCH", 2)
    rows = [Pair(question=f"{word}?", passage=f"{word} is here.", answered=answered, kind="own") for word in ("Virtue", "Soul") for answered in (True, False)]
    ids = [pair_ids(encoder, row.question, row.passage) for row in rows]
    own = weights()
    whole = training.train(rows, ids, own, tmp_path / "whole")[1]
    keep = Checkpoint.save

    def broken(checkpoint: Checkpoint, step: int) -> None:
        keep(checkpoint, step)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        training.train(rows, ids, own, tmp_path / "broken")
    monkeypatch.setattr(Checkpoint, "save", keep)
    resumed = training.train(rows, ids, own, tmp_path / "broken")[1]
    assert all(np.array_equal(one.detach().numpy(), other.detach().numpy()) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))

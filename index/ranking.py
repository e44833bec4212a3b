"""How what speaks for a passage becomes one order. Shapes: one entry a candidate; every score: higher is nearer.

Dense search and BM25 choose the candidates. Four cosines put these in order: the question with the passage, with its best sentence, each as vectors and
by late interaction. BM25 has no say in the order: beside the other four its fitted weight is nil. A passage that brings questions which it answers, in
users' words, is also compared with these (doc2query, Nogueira et al. 2019): by them it is found, and their nearest counts in the order.

The weight of the fusion was chosen on the tuning half of `retrieval_wiki` (`benchmarks/retrieval.py` prints the other half), those of the four cosines
were fitted on questions to the built-in library (`guardrail.finetune.rails.ranking`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail.types import Encoding

CANDIDATES = 100
"""Rows that dense search and BM25 each bring."""
RESCORED = 20
"""How many of the fused candidates are put in order."""
DENSE_WEIGHT = 0.7
WEIGHTS = (0.28, 0.27, 0.28, 0.17)
"""What each of the four evidences counts, in the order of `evidence`; they sum to 1."""
ASKED = 0.25
"""What the nearest of a passage's own questions counts beside these four together; nothing where it brings none."""
ANSWERING = 10
"""How many passages further are put in order because they bring a question near the one asked."""
NEAR_DUPLICATE = 0.95
"""Cosine from which two passages say the same."""


def fuse(dense: NDArray[np.float32], sparse: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convex combination of min-max scaled scores, 0 to 1 (Bruch et al. 2023, eq. 5)."""
    fused: NDArray[np.float32] = DENSE_WEIGHT * _scaled(dense) + (1 - DENSE_WEIGHT) * _scaled(sparse)
    return fused


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """What is stored of a passage. One whose sentences are not stored counts as a single sentence."""

    vector: NDArray[np.float32]
    """Shape (d,), unit length."""
    tokens: NDArray[np.float32]
    """Token states, sentence after sentence, shape (m, token_d)."""
    sentences: NDArray[np.float32] | None = None
    """A vector a sentence, shape (s, d), unit length, s > 0."""
    lengths: NDArray[np.int32] | None = None
    """How many of `tokens` belong to each sentence, shape (s,); they sum to m."""
    questions: NDArray[np.float32] | None = None
    """A vector for each question that it is known to answer, shape (q, d), unit length, q > 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """Candidates in order. `scores` (0 to 1), `dense`, `late` and `asked` (-1 to 1) are by candidate; `order` lists the candidates best first."""

    order: NDArray[np.int64]
    scores: NDArray[np.float32]
    dense: NDArray[np.float32]
    late: NDArray[np.float32]
    asked: tuple[float | None, ...]
    """Cosine of the nearest of the candidate's own questions."""


def rank(question: Encoding, rarity: NDArray[np.float32], candidates: Sequence[Candidate]) -> Ranking:
    """Candidates by the weighted mean of their evidence; near duplicates of a better one come after all others.

    `rarity`: a positive weight for each of the question's token states, shape (n,).
    """
    found = evidence(question, rarity, candidates)
    asked = nearest_questions(question, candidates)
    scores = weighted(found, asked)
    order = best_first(scores)
    vectors = np.stack([candidates[place].vector for place in order])
    return Ranking(order=order[_distinct_first(vectors)], scores=scores, dense=found[:, 0], late=found[:, 2], asked=asked)


def weighted(found: NDArray[np.float32], asked: Sequence[float | None], share: float = ASKED) -> NDArray[np.float32]:
    """The score of each candidate, 0 to 1, from its four evidences (n, 4) and the nearest of its questions, which counts `share`."""
    scores = found @ np.array(WEIGHTS, np.float32)
    mixed = [float(score) if own is None else (1 - share) * float(score) + share * own for score, own in zip(scores, asked, strict=True)]
    clipped: NDArray[np.float32] = np.clip(np.array(mixed, np.float32), 0, 1)
    return clipped


def nearest_questions(question: Encoding, candidates: Sequence[Candidate]) -> tuple[float | None, ...]:
    """The best cosine of `question` with a question that each candidate is known to answer, -1 to 1; None where it brings none."""
    return tuple(None if candidate.questions is None else float((candidate.questions @ question.vector).max()) for candidate in candidates)


def evidence(question: Encoding, rarity: NDArray[np.float32], candidates: Sequence[Candidate]) -> NDArray[np.float32]:
    """What speaks for each candidate, -1 to 1, shape (n, 4).

    Cosine of the vectors; best cosine with a sentence; late interaction with the passage (ColBERT, Khattab & Zaharia 2020, eq. 3); best late interaction
    with a sentence, in which the question's tokens count by `rarity`.
    """
    vectors = np.stack([candidate.vector for candidate in candidates])
    views = [candidate.vector[None] if candidate.sentences is None else candidate.sentences for candidate in candidates]
    starts = np.cumsum([0, *map(len, views[:-1])])
    nearest = np.maximum.reduceat(np.concatenate(views) @ question.vector, starts)
    late = _late(question.tokens, rarity, candidates)
    gathered: NDArray[np.float32] = np.column_stack([vectors @ question.vector, nearest, *late]).astype(np.float32)
    return gathered


def _late(query: NDArray[np.float32], rarity: NDArray[np.float32], candidates: Sequence[Candidate]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Late interaction with each passage, and by `rarity` with its best sentence; 0 where there are no tokens."""
    passage, sentence = np.zeros(len(candidates), np.float32), np.zeros(len(candidates), np.float32)
    cut = [np.array([len(candidate.tokens)]) if candidate.lengths is None else candidate.lengths for candidate in candidates]
    lengths, owners = np.concatenate(cut), np.repeat(np.arange(len(cut)), list(map(len, cut)))
    held = lengths > 0
    lengths, owners = lengths[held], owners[held]
    if not len(query) or not len(lengths):
        return passage, sentence
    similarity = query @ np.concatenate([candidate.tokens for candidate in candidates]).T
    by_sentence = np.maximum.reduceat(similarity, np.cumsum(lengths) - lengths, axis=1)
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    rows = owners[firsts]
    passage[rows] = np.maximum.reduceat(by_sentence, firsts, axis=1).mean(axis=0)
    sentence[rows] = np.maximum.reduceat(rarity @ by_sentence / rarity.sum(), firsts)
    return passage, sentence


def best_first(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Positions by falling score; equal ones stay in order."""
    return np.argsort(-scores, kind="stable")


def _distinct_first(vectors: NDArray[np.float32]) -> list[int]:
    """Positions of `vectors` (n, d), which come best first, in the same order, but near duplicates of an earlier one at the end."""
    similar = vectors @ vectors.T >= NEAR_DUPLICATE
    distinct: list[int] = []
    repeated: list[int] = []
    for position in range(len(vectors)):
        (repeated if similar[position, distinct].any() else distinct).append(position)
    return distinct + repeated


def _scaled(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores from 0 (lowest) to 1 (highest); where all are equal, 1 if they speak for anything, else 0."""
    lowest, highest = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    if highest <= lowest:
        return (scores > 0).astype(np.float32)
    scaled: NDArray[np.float32] = (scores - lowest) / (highest - lowest)
    return scaled

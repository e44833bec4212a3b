"""Fit the weights by which search puts its candidates in order.

    python -m guardrail.finetune.rails.ranking

641 questions in everyday words, each with the passage of the built-in library that answers it (`library_questions.jsonl`), are put to that persona's
shelf. A softmax over the candidates' weighted evidence is fitted to the right passage (ListNet; Cao et al. 2007, with one right answer). The figure is
that of five folds, all questions of a passage in one; weights are fitted anew for each. What it prints as weights belongs in
`guardrail.index.ranking.WEIGHTS`, rounded; the last line tries `ranking.ASKED`, what the passages' own questions count. Takes about a minute.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from guardrail.finetune.rails.intent_data import everyday
from guardrail.index import ranking
from guardrail.index.builtin import ensure
from guardrail.index.encoder import MiniLM
from guardrail.index.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FOLDS = 5
PENALTY = 0.03
"""Ridge on the weights, by the spread of each evidence."""
SAMPLES = 2_000
SHARES = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shortlist:
    """The candidates of one question."""

    evidence: NDArray[np.float32]
    """Shape (n, 4), what speaks for each."""
    asked: tuple[float | None, ...]
    """The nearest of each one's own questions."""
    right: int | None
    """Which of them answers the question; None where search did not bring it."""
    fold: int


def shortlists() -> list[Shortlist]:
    """One for each question, in their order."""
    encoder, asked = MiniLM(), everyday()
    snapshot = Snapshot.open(ensure(encoder), encoder)
    found = []
    for question in asked:
        (encoding,) = encoder.encode((question.text,))
        passages, evidence, asked_of = snapshot.evidence(encoding, question.persona)
        right = [place for place, passage in enumerate(passages) if passage.source_id == question.passage]
        fold = hashlib.sha256(question.passage.encode()).digest()[1] % FOLDS
        found.append(Shortlist(evidence=evidence, asked=asked_of, right=right[0] if right else None, fold=fold))
    snapshot.close()
    return found


def fit(lists: Sequence[Shortlist]) -> NDArray[np.float64]:
    """Weights that sum to 1, shape (4,)."""
    known = [(entry.evidence.astype(np.float64), entry.right) for entry in lists if entry.right is not None]
    spread = np.concatenate([evidence for evidence, _ in known]).std(axis=0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = 0.0, np.zeros_like(weights)
        for evidence, right in known:
            logits = evidence / spread @ weights
            shares = np.exp(logits - logits.max())
            shares /= shares.sum()
            total -= np.log(shares[right])
            slope += (shares @ evidence - evidence[right]) / spread
        return total / len(known) + PENALTY * float(weights @ weights), slope / len(known) + 2 * PENALTY * weights

    weights = minimize(loss, np.zeros(len(spread)), jac=True, method="L-BFGS-B").x / spread
    scaled: NDArray[np.float64] = weights / weights.sum()
    return scaled


def first_right(entry: Shortlist, weights: NDArray[np.float64]) -> bool:
    """Whether the right passage stands first."""
    return entry.right is not None and int(np.argmax(entry.evidence @ weights)) == entry.right


def main() -> None:
    lists = shortlists()
    folds = [fit([entry for entry in lists if entry.fold != fold]) for fold in range(FOLDS)]
    fitted = np.array([first_right(entry, folds[entry.fold]) for entry in lists])
    shipped = np.array([first_right(entry, np.array(ranking.WEIGHTS)) for entry in lists])
    print("weights fitted on all questions:", *np.round(fit(lists), 3))
    print("questions whose passage is among the candidates:", sum(entry.right is not None for entry in lists), "of", len(lists))
    samples = np.random.default_rng(0).integers(0, len(lists), (SAMPLES, len(lists)))
    for name, right in (("weights of the other folds", fitted), ("shipped weights", shipped)):
        low, high = np.percentile(right[samples].mean(axis=1), [2.5, 97.5])
        print(f"right passage first, {name}: {right.sum()}/{len(right)}, {right.mean():.1%} [{low:.1%}, {high:.1%}]")
    for share in SHARES:
        firsts = [entry.right is not None and int(np.argmax(ranking.weighted(entry.evidence, entry.asked, share))) == entry.right for entry in lists]
        print(f"right passage first, shipped weights, own questions count {share}: {sum(firsts)}/{len(firsts)}, {np.mean(firsts):.1%}")


if __name__ == "__main__":
    main()

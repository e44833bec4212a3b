"""Fit the weights of the grounding rail: from the figures of `guardrail.rails.support` to a probability of support.

    python -m guardrail.finetune.grounding --data ../shared/data --out guardrail/rails/grounding.json

HaluEval is measured but not fitted on: its right answers are shorter than its wrong ones, which a model would learn in place of support. The claims about
the library are measured only, too: all of them are held out.
Takes some five minutes on one core, nearly all of it the encoder's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from guardrail.finetune.grounding_data import LICENCES, Pair, encode, library_pairs, pairs, sources
from guardrail.index.encoder import MiniLM
from guardrail.rails.hard_rules import Shelf, violations
from guardrail.rails.support import FEATURES, measure
from guardrail.types import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.types import Encoding

FITTED = ("wice", "faithdial", "fever")


def figures(table: list[Pair], encodings: dict[str, Encoding]) -> NDArray[np.float32]:
    """What the rail measures of each pair, (pairs, len(FEATURES))."""
    return np.stack([measure(encodings[pair.claim], sources(encodings, pair)).figures for pair in table])


def cosines(table: list[Pair], encodings: dict[str, Encoding]) -> NDArray[np.float64]:
    """The plain baseline: the best cosine of claim and passage vectors."""
    return np.array([max(float(encodings[pair.claim].vector @ encodings[text].vector) for text in pair.passages) for pair in table])


def broken(table: list[Pair]) -> NDArray[np.bool_]:
    """Whether the claim breaks a hard rule."""
    return np.array([bool(violations(pair.claim, shelf(pair))) for pair in table])


def shelf(pair: Pair) -> Shelf:
    """The pair's passages as the hard rules read them."""
    persona = pair.group.partition(".")[0] if pair.source == "library" else ""
    return Shelf(tuple(Passage(id="", source_id="", title="", work="", locator="", persona="", text=text, start=0, end=0) for text in pair.passages), persona)


def fit(table: list[Pair], measured: NDArray[np.float32]) -> dict[str, Any]:
    """Weights on the raw figures, bias, and the threshold on 1 - support. Every source counts the same, however many rows it has."""
    truth = np.array([pair.supported for pair in table])
    rows_of = {name: sum(pair.source == name for pair in table) for name in FITTED}
    weight = np.array([len(table) / rows_of[pair.source] for pair in table])
    scaler = StandardScaler().fit(measured)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=5000).fit(scaler.transform(measured), truth, sample_weight=weight)
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    probability = 1 / (1 + np.exp(-(measured @ weights + bias)))
    return {
        "weights": {name: round(float(value), 6) for name, value in zip(FEATURES, weights, strict=True)},
        "bias": round(bias, 6),
        "threshold": round(1 - _balanced(probability, truth, weight), 4),
    }


def _balanced(probability: NDArray[np.float64], truth: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """The least support that passes with the highest mean of both recalls."""
    candidates = np.quantile(probability, np.linspace(0.05, 0.95, 91))
    right = [np.average(probability[truth] >= t, weights=weight[truth]) + np.average(probability[~truth] < t, weights=weight[~truth]) for t in candidates]
    return float(candidates[int(np.argmax(right))])


def probabilities(card: dict[str, Any], measured: NDArray[np.float32]) -> NDArray[np.float64]:
    """Support as the rail computes it, (n,)."""
    weights = np.array([card["weights"][name] for name in FEATURES])
    found: NDArray[np.float64] = 1 / (1 + np.exp(-(measured @ weights + card["bias"])))
    return found


def report(
    card: dict[str, Any], table: list[Pair], measured: NDArray[np.float32], cosine: NDArray[np.float64], rules: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """AUROC by source of cosine alone, of the regression, and of the regression under the hard rules, and what the threshold lets through."""
    support = probabilities(card, measured)
    ruled = np.where(rules, 0.0, support)
    truth = np.array([pair.supported for pair in table])
    found = {}
    for name in LICENCES:
        rows = np.array([pair.source == name for pair in table])
        if rows.any():
            passed = 1 - ruled[rows] <= card["threshold"]
            found[name] = {
                "rows": int(rows.sum()),
                "auroc_cosine": round(float(roc_auc_score(truth[rows], cosine[rows])), 3),
                "auroc_length": round(float(roc_auc_score(truth[rows], [-len(pair.claim) for pair, kept in zip(table, rows, strict=True) if kept])), 3),
                "auroc_regression": round(float(roc_auc_score(truth[rows], support[rows])), 3),
                "auroc_with_hard_rules": round(float(roc_auc_score(truth[rows], ruled[rows])), 3),
                "supported_passed": round(float(passed[truth[rows]].mean()), 3),
                "unsupported_passed": round(float(passed[~truth[rows]].mean()), 3),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="where to write the card with the weights")
    arguments = parser.parse_args()
    encoder = MiniLM()
    table = [*pairs(arguments.data), *library_pairs(encoder)]
    encodings = encode(encoder, [text for pair in table for text in (pair.claim, *pair.passages)])
    measured, cosine, rules = figures(table, encodings), cosines(table, encodings), broken(table)
    learn = np.array([pair.source in FITTED and not pair.held_out for pair in table])
    test = np.array([pair.held_out or pair.source == "library" for pair in table])
    card = fit([pair for pair, kept in zip(table, learn, strict=True) if kept], measured[learn])
    card["held_out"] = report(card, [pair for pair, kept in zip(table, test, strict=True) if kept], measured[test], cosine[test], rules[test])
    card |= {
        "encoder": encoder.name,
        "fitted_on": {name: LICENCES[name] for name in FITTED},
        "split": "60 % fitted, 40 % held out, by a hash of claim or knowledge",
    }
    arguments.out.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()

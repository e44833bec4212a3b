"""Fit the weights of the grounding rail: from the figures of `guardrail.rails.support` to a probability of support.

    python -m guardrail.finetune.rails.grounding --data ../shared/data --out guardrail/rails/grounding.safetensors

Writes a card of the same name in JSON beside it. Every source counts the same, however many rows it has; the claims about the library that were written for
fitting are one of them. Takes some five minutes on one core, nearly all of it the encoder's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from guardrail.finetune.rails.grounding_data import LICENCES, Pair, encode, library_pairs, pairs, sources
from guardrail.finetune.rails.grounding_floor import FLOOR, floor_figures, floor_model
from guardrail.index.encoder import MiniLM
from guardrail.rails.hard_rules import Shelf, violations
from guardrail.rails.kernel_regression import REACH, KernelRegression
from guardrail.rails.support import FEATURES, measure
from guardrail.types import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.types import Encoding

GAMMA, LANDMARKS, REGULARISATION = 0.02, 200, 0.3
"""Width of the kernel, number of landmarks and inverse strength of the penalty, chosen by cross-validation on the rows for fitting."""
FALSE_ALARMS = 0.1
"""Share of the supported library claims written for fitting that the shipped threshold may turn away."""


def figures(table: list[Pair], encodings: dict[str, Encoding]) -> NDArray[np.float32]:
    """What the rail measures of each pair, (pairs, len(FEATURES))."""
    return np.stack([measure(encodings[pair.claim], sources(encodings, pair)).figures for pair in table])


def broken(table: list[Pair]) -> NDArray[np.bool_]:
    """Whether the claim breaks a hard rule."""
    return np.array([bool(violations(pair.claim, shelf(pair))) for pair in table])


def shelf(pair: Pair) -> Shelf:
    """The pair's passages as the hard rules read them."""
    persona = pair.group.partition(".")[0] if pair.source == "library" else ""
    return Shelf(tuple(Passage(id="", source_id="", title="", work="", locator="", persona="", text=text, start=0, end=0) for text in pair.passages), persona)


def row_weights(table: list[Pair]) -> NDArray[np.float64]:
    """Every source counts the same, and in it both kinds."""
    counts: dict[tuple[str, bool], int] = {}
    for pair in table:
        counts[pair.source, pair.supported] = counts.get((pair.source, pair.supported), 0) + 1
    return np.array([len(table) / (len(counts) * counts[pair.source, pair.supported]) for pair in table])


def fit(table: list[Pair], measured: NDArray[np.float32]) -> KernelRegression:
    """The model on the raw figures. With so few rows and figures that overlap, a kernel with few landmarks did better than a line, and than trees."""
    truth = np.array([pair.supported for pair in table])
    scaler = StandardScaler().fit(measured)
    standard = np.clip(scaler.transform(measured), -REACH, REACH)
    kernel = Nystroem(gamma=GAMMA, n_components=LANDMARKS, random_state=0).fit(standard)
    line = LogisticRegression(C=REGULARISATION, max_iter=5000).fit(kernel.transform(standard), truth, sample_weight=row_weights(table))
    return KernelRegression(
        mean=scaler.mean_.astype(np.float32),
        scale=scaler.scale_.astype(np.float32),
        landmarks=kernel.components_.astype(np.float32),
        weights=(kernel.normalization_.T @ line.coef_[0]).astype(np.float32),
        bias=float(line.intercept_[0]),
        gamma=GAMMA,
    )


def threshold(table: list[Pair], measured: NDArray[np.float32]) -> float:
    """The lowest score, 1 - support, that turns away no more than FALSE_ALARMS of the supported claims about the library, each judged by a model that was
    fitted without it."""
    scores: list[float] = []
    groups = np.array([f"{pair.source} {pair.group}" for pair in table])
    wanted = np.array([pair.source == "library" and pair.supported for pair in table])
    for learn, held in GroupKFold(5, shuffle=True, random_state=0).split(measured, groups=groups):
        model = fit([table[number] for number in learn], measured[learn])
        scores += (1 - model.probabilities(measured[held[wanted[held]]])).tolist()
    return round(float(np.quantile(scores, 1 - FALSE_ALARMS)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights")
    arguments = parser.parse_args()
    encoder = MiniLM()
    table = [pair for pair in (*pairs(arguments.data), *library_pairs(encoder)) if pair.part == "fit"]
    encodings = encode(encoder, [text for pair in table for text in (pair.claim, *pair.passages)])
    measured = figures(table, encodings)
    truth = np.array([pair.supported for pair in table])
    baseline = floor_model(floor_figures(table, encodings), truth, row_weights(table))
    save_file(fit(table, measured).pack(), arguments.out)
    card = {
        "threshold": threshold(table, measured),
        "figures": FEATURES,
        "encoder": encoder.name,
        "fitted_on": {name: {"rows": sum(pair.source == name for pair in table), "licence": licence} for name, licence in LICENCES.items()},
        "split": "40 % of the groups held out, by a hash of claim or knowledge",
        "floor": {name: round(float(value), 6) for name, value in zip((*FLOOR, "bias"), baseline, strict=True)},
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()

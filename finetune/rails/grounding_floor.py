"""The floor that the grounding rail has to beat: fifteen figures of two texts with logistic regression, and the cosine of their vectors alone.

No figure is a length: the right answers of HaluEval are shorter than the wrong ones, which a model would learn in place of support.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from guardrail.finetune.rails.grounding_data import sources
from guardrail.rails.numbers import numbers
from guardrail.rails.words import coverage, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.finetune.rails.grounding_data import Pair
    from guardrail.types import Encoding

FLOOR = (
    "maxsim_mean",
    "maxsim_min",
    "maxsim_low",
    "maxsim_passage_mean",
    "maxsim_passage_min",
    "cosine",
    "coverage",
    "coverage_idf",
    "coverage_idf_passage",
    "pairs",
    "numbers",
    "has_numbers",
    "capitals",
    "has_capitals",
    "negation",
)


def cosines(table: list[Pair], encodings: dict[str, Encoding]) -> NDArray[np.float64]:
    """The plain baseline: the best cosine of claim and passage vectors."""
    return np.array([max(float(encodings[pair.claim].vector @ encodings[text].vector) for text in pair.passages) for pair in table])


def floor_figures(table: list[Pair], encodings: dict[str, Encoding]) -> NDArray[np.float64]:
    """(pairs, len(FLOOR))."""
    return np.array([_figures(pair, encodings) for pair in table])


def floor_model(figures: NDArray[np.float64], truth: NDArray[np.bool_], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights and, last, the bias of the logistic regression, on the raw figures: (len(FLOOR) + 1,)."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=5000))
    pipeline.fit(figures, truth, logisticregression__sample_weight=weight)
    scaler, model = pipeline[0], pipeline[1]
    raw = model.coef_[0] / scaler.scale_
    return np.append(raw, model.intercept_[0] - raw @ scaler.mean_)


def _figures(pair: Pair, encodings: dict[str, Encoding]) -> list[float]:
    claim, held = encodings[pair.claim], sources(encodings, pair)
    matches = np.stack([(claim.tokens @ source.tokens.T).max(axis=1) for source in held if len(source.tokens)]) if len(claim.tokens) else np.zeros((1, 1))
    best = int(np.argmax(matches.mean(axis=1)))
    everywhere = matches.max(axis=0)
    said = words(pair.claim)
    content = [word.stem for word in said if word.content]
    stems = frozenset(content)
    theirs = [[word.stem for word in words(text)] for text in pair.passages]
    everything = frozenset().union(*theirs)
    near = {two for run in theirs for two in pairwise(run)}
    pairs = list(pairwise([word.stem for word in said]))
    values = [number.value for number in numbers(pair.claim)]
    known = {number.value for text in pair.passages for number in numbers(text)}
    capitals = [word.stem for word in said if word.text[0].isupper() and word.content]
    names = {word.stem for text in pair.passages for word in words(text) if word.text[0].isupper()}
    return [
        float(everywhere.mean()),
        float(everywhere.min()),
        float(np.quantile(everywhere, 0.25)),
        float(matches[best].mean()),
        float(matches[best].min()),
        max(float(claim.vector @ encodings[text].vector) for text in pair.passages),
        sum(root in everything for root in stems) / len(stems) if stems else 1.0,
        coverage(stems, everything),
        max(coverage(stems, frozenset(run)) for run in theirs),
        sum(two in near for two in pairs) / len(pairs) if pairs else 1.0,
        sum(value in known for value in values) / len(values) if values else 1.0,
        float(bool(values)),
        sum(root in names for root in capitals) / len(capitals) if capitals else 1.0,
        float(bool(capitals)),
        float(any(word.negator for word in said) != any(word.negator for text in pair.passages for word in words(text))),
    ]

"""The baseline of `benchmarks.safety`: a linear probe on the frozen sentence vector, from the same rows, its threshold chosen in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from guardrail.finetune.rails import safety_data
from guardrail.finetune.rails.safety import EVERYDAY, FALSE_ALARMS, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.index.encoder import MiniLM


class Probe:
    """Logistic regressions for `harm` and `attack` on unit vectors."""

    def __init__(self, data: Path, encoder: MiniLM) -> None:
        self.encoder = encoder
        table = [row for row in safety_data.rows(data) if "harm" in row.flags or row.flags.get("attack")]
        vectors = self.vectors([row.text for row in table])
        train, calibrate = (np.array([row.part == part for row in table]) for part in ("train", "calibrate"))
        sources = np.array([row.source for row in table])
        self.models, self.thresholds = {}, {}
        for name in ("harm", "attack"):
            known = np.array([name in row.flags for row in table])
            truth = np.array([bool(row.flags.get(name)) for row in table])
            model = LogisticRegression(C=1.0, max_iter=500).fit(vectors[known & train], truth[known & train])
            scores = model.decision_function(vectors)
            benign = known & ~truth & calibrate
            everyday, alike = FALSE_ALARMS[name]
            limits = (np.quantile(scores[benign & np.isin(sources, [*chosen])], 1 - alarms) for chosen, alarms in ((EVERYDAY, everyday), (WRITTEN, alike)))
            self.models[name], self.thresholds[name] = model, float(max(limits))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Sentence vectors, (texts, dimensions), scaled as the regression likes them."""
        found = [encoding.vector * 8 for start in range(0, len(texts), 64) for encoding in self.encoder.encode(texts[start : start + 64])]
        return np.stack(found)

    def stopped(self, texts: Sequence[str]) -> dict[str, int]:
        """How many of the texts each probe stops."""
        vectors = self.vectors(texts)
        return {name: int((model.decision_function(vectors) > self.thresholds[name]).sum()) for name, model in self.models.items()}

"""Train the intent head: greeting, smalltalk, question, out_of_scope from one sentence vector.

    python -m guardrail.finetune.intent --data ../shared/data --out guardrail/rails/intent.safetensors

Writes the weights and, beside them, a card (`intent.json`) with the data, the split and every figure on rows kept out of training and tuning.
Takes some two minutes on one core, nearly all of it the encoder's.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from guardrail.finetune.intent_data import LICENCES, Row, rows
from guardrail.index.encoder import MiniLM
from guardrail.rails.intent import QUESTION, IntentHead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.protocols import Encoder

LABELS = ("greeting", "smalltalk", QUESTION, "out_of_scope")
NETWORKS, HIDDEN, EPOCHS = 5, 32, 20
OWN_WEIGHT = 2.0
HEAVIEST = 4.0
"""Most that a rare label's rows may count."""
TURNED_AWAY = 0.015
"""Share of the questions in the calibration part that other labels may take."""
BATCH = 32


def train(table: list[Row], vectors: NDArray[np.float32]) -> tuple[IntentHead, dict[str, Any]]:
    """The head and the figures of its card. `vectors`: (rows, dimensions)."""
    labels = np.array([LABELS.index(row.label) for row in table])
    part = np.array([row.part for row in table])
    learn, tune, test = (part == name for name in ("train", "calibrate", "test"))
    balance = len(labels[learn]) / np.bincount(labels[learn], minlength=len(LABELS)) / len(LABELS)
    weights = np.minimum(balance, HEAVIEST)[labels] * np.array([OWN_WEIGHT if row.source == "own" else 1.0 for row in table])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is what keeps these networks from learning rows by heart
        networks = [
            MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=EPOCHS, random_state=seed).fit(vectors[learn], labels[learn], sample_weight=weights[learn])
            for seed in range(NETWORKS)
        ]
    layers = _averaged(networks)
    temperature = _temperature(np.log(IntentHead(LABELS, layers, 0.0).probabilities(vectors[tune]) + 1e-30), labels[tune])
    layers["output"] /= temperature
    layers["output_bias"] /= temperature
    threshold = _threshold(IntentHead(LABELS, layers, 0.0).probabilities(vectors[tune]), labels[tune])
    head = IntentHead(LABELS, layers, threshold)
    own = np.array([row.source == "own" for row in table])
    card = {
        "labels": LABELS,
        "model": f"mean of the logits of {NETWORKS} networks with one hidden layer of {HIDDEN} on the 384-dimensional sentence vector, stored as one network",
        "temperature": round(temperature, 4),
        "threshold": threshold,
        "split": "70 % train, 15 % calibrate (temperature, threshold), 15 % test, by a hash of the message's content stems",
        "rows": {name: dict(Counter(row.label for row in table if row.part == name)) for name in ("train", "calibrate", "test")},
        "sources": {name: {"rows": sum(row.source == name for row in table), "licence": licence} for name, licence in LICENCES.items()},
        "test": _figures(head, [row for row, kept in zip(table, test, strict=True) if kept], vectors[test]),
        "test_own": _figures(head, [row for row, kept in zip(table, test & own, strict=True) if kept], vectors[test & own]),
    }
    return head, card


def _averaged(networks: list[MLPClassifier]) -> dict[str, NDArray[np.float32]]:
    """The networks side by side in one, whose logits are the mean of theirs."""
    return {
        # safetensors writes the buffer as it lies, so the arrays must lie row by row.
        "hidden": np.ascontiguousarray(np.concatenate([network.coefs_[0].T for network in networks]), np.float32),
        "hidden_bias": np.concatenate([network.intercepts_[0] for network in networks]).astype(np.float32),
        "output": np.ascontiguousarray(np.concatenate([network.coefs_[1].T / len(networks) for network in networks], axis=1), np.float32),
        "output_bias": np.mean([network.intercepts_[1] for network in networks], axis=0).astype(np.float32),
    }


def _temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, eq. 9)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _threshold(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The probability of `question` below which `TURNED_AWAY` of the questions lie."""
    number = LABELS.index(QUESTION)
    return round(float(np.quantile(probabilities[labels == number, number], TURNED_AWAY)), 4)


def _figures(head: IntentHead, table: list[Row], vectors: NDArray[np.float32]) -> dict[str, Any]:
    """Precision, recall and F1 by label with 95 % bootstrap intervals, calibration, and the mistakes that cost most."""
    truth = np.array([LABELS.index(row.label) for row in table])
    probabilities = head.probabilities(vectors)
    said = head.choose(probabilities)
    random = np.random.default_rng(0)
    draws = [random.integers(0, len(table), len(table)) for _ in range(500)]
    by_label: dict[str, dict[str, Any]] = {}
    for number, label in enumerate(LABELS):
        scores = np.array([_precision_recall(truth[draw] == number, said[draw] == number) for draw in draws])
        precision, recall, f1 = _precision_recall(truth == number, said == number)
        low, high = np.nanquantile(scores, 0.025, axis=0), np.nanquantile(scores, 0.975, axis=0)
        by_label[label] = {
            name: {"value": round(value, 4), "ci95": [round(float(low[place]), 4), round(float(high[place]), 4)]}
            for place, (name, value) in enumerate((("precision", precision), ("recall", recall), ("f1", f1)))
        }
    question, outside = LABELS.index(QUESTION), LABELS.index("out_of_scope")
    return {
        "by_label": by_label,
        "rows": {label: int((truth == number).sum()) for number, label in enumerate(LABELS)},
        "macro_f1": round(float(np.mean([by_label[label]["f1"]["value"] for label in LABELS])), 4),
        "accuracy": round(float((truth == said).mean()), 4),
        "expected_calibration_error": round(_calibration_error(probabilities, truth), 4),
        "questions_called_out_of_scope": round(float((said[truth == question] == outside).mean()), 4),
        "questions_called_anything_else": round(float((said[truth == question] != question).mean()), 4),
        "missed_questions": [row.text for row, t, s in zip(table, truth, said, strict=True) if t == question and s != question],
    }


def _precision_recall(truth: NDArray[np.bool_], said: NDArray[np.bool_]) -> tuple[float, float, float]:
    right = float((truth & said).sum())
    precision = right / said.sum() if said.any() else float("nan")
    recall = right / truth.sum() if truth.any() else float("nan")
    return float(precision), float(recall), float(2 * right / (truth.sum() + said.sum())) if truth.any() or said.any() else float("nan")


def _calibration_error(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Expected calibration error in 10 equal bins of the top probability (Guo et al. 2017, eq. 3)."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((top * 10).astype(int), 9)
    return float(sum(abs(top[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in range(10) if (bins == b).any()))


def encode(encoder: Encoder, texts: list[str]) -> NDArray[np.float32]:
    """Sentence vectors, (texts, dimensions); texts of like length are encoded together."""
    vectors = np.empty((len(texts), encoder.dimensions), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        vectors[batch] = [encoding.vector for encoding in encoder.encode([texts[position] for position in batch])]
    return vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--out", type=Path, required=True, help="where to write the weights; the card goes beside them")
    arguments = parser.parse_args()
    encoder = MiniLM()
    table = rows(arguments.data)
    head, card = train(table, encode(encoder, [row.text for row in table]))
    metadata = {"labels": json.dumps(LABELS), "threshold": str(head.threshold), "encoder": encoder.fingerprint}
    save_file(head.layers, arguments.out, metadata=metadata)
    arguments.out.chmod(0o644)
    card["encoder"] = {"name": encoder.name, "fingerprint": encoder.fingerprint}
    arguments.out.with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({name: card[name] for name in ("threshold", "temperature")}))
    for part in ("test", "test_own"):
        figures = card[part]
        print(part, {name: value for name, value in figures.items() if name not in {"by_label", "missed_questions"}})
        for label, scores in figures["by_label"].items():
            print(f"  {label:13}", {name: (value["value"], *value["ci95"]) for name, value in scores.items()})


if __name__ == "__main__":
    main()

"""Fit the abstention gate: from what retrieval found to the probability that it answers the question.

    python -m guardrail.finetune.rails.answerable --out guardrail/rails/answerable.json

Fitted are questions of visitors about what the built-in library holds (`answerable_questions.jsonl`, half of `library_questions.jsonl`), the titles of
its passages as questions, and against them questions in the field and near it that no passage answers, questions outside it (`intent_questions.jsonl`)
and questions on what only the other persona's shelf holds. `answerable_visitors.jsonl` has questions of both sorts in the same everyday words, in three
parts by topic: one is fitted with the others, on the second, the tune half of the golden set and the development half of `benchmarks/persona` the threshold
is chosen, the third is only reported. Questions that lie near a passage which does not answer them, and
look-alikes that it does (`near_questions.jsonl`), are fitted and reported on, those apart that the reader of question and passage learned from (`pair_reader`).
A second regression over the first one's log odds and what the reader says of the first passage is fitted on the same rows and these; its bias is moved so
that one threshold serves both.
The gate for passages without questions of their own stays as it is in the card, with its bias moved to the new threshold: `answerable_libraries` fits it.
Takes about five minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from guardrail.finetune.rails.intent_data import LIBRARY, OWN, everyday, from_titles
from guardrail.finetune.rails.pair_rows import near
from guardrail.finetune.rails.safety_data import share
from guardrail.index.builtin import ensure
from guardrail.index.encoder import MiniLM
from guardrail.index.pair_reader import PairReader
from guardrail.index.retriever import LibraryRetriever
from guardrail.protocols import Query
from guardrail.rails.answerable import COEFFICIENTS, FEATURES, FULL, measure, read_first, unknown_names
from guardrail.rails.intent import IntentHead
from guardrail.types import Encoding, Evidence, Message, Question, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

QUESTIONS = Path(__file__).with_name("answerable_questions.jsonl")
VISITORS = Path(__file__).with_name("answerable_visitors.jsonl")
"""Questions in everyday words: answerable ones with the documents that answer them, others, and follow-ups with the turns before them."""
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "questions.jsonl"
"""Of these, only those of the tune half."""
PERSONA = Path(__file__).resolve().parents[2] / "benchmarks" / "persona" / "dev.jsonl"
"""Questions in visitors' words, written blind to the search; its other half is only reported on (`benchmarks.persona_model`)."""
PERSONAS = ("plato", "aristotle")
ALONE = {
    "plato": ("socrates", "myths", "love", "cosmos"),
    "aristotle": ("animals", "nature", "logic", "poetics", "rhetoric"),
}
"""Themes of the library that only this persona's shelf holds."""
TITLES = 300
"""Questions made from titles, of each kind."""
WEIGHTS = {
    "visitor": 1.0, "everyday": 1.0, "title": 0.2, "answerable": 0.5, "in the field": 1.0, "unanswerable": 1.4, "outside": 0.4, "other shelf": 0.3,
}  # fmt: skip
"""What all questions of a kind count together; answerable ones and others count the same in all."""
NEAR = {"near": 0.6, "twin": 0.4}
"""The same for questions near to a passage, which only the second regression is fitted on: they make the gate without a reader no better."""
DOUBT = (-1.4, 1.3)
"""From how far below the threshold to how far above it, in log odds of the gate, the first passage is read. On the tune rows that
passes and stops as many as reading always."""
TARGETS, READ_TARGETS = (0.95, 0.85), (0.9, 0.85)
"""What share of the answerable questions the threshold should pass, and of the others stop: the gate alone, and with the reader."""
PENALTY = 0.05
"""Inverse strength of the ridge on the weights."""


Part = Literal["fit", "tune", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question to one persona and whether the library answers it. `persona` None: it is put to the one whose shelf is nearer."""

    text: str
    persona: str | None
    answerable: bool
    kind: str
    part: Part
    passages: tuple[str, ...] = ()
    """Which documents answer it, where that is known."""


def questions() -> list[Asked]:
    """Every question, in a fixed order."""
    found = []
    for row in _rows(QUESTIONS):
        persona = None if row["persona"] == "either" else row["persona"]
        kind = "visitor" if row["answerable"] else "in the field"
        found.append(Asked(text=row["text"], persona=persona, answerable=row["answerable"], kind=kind, part=_part(row["text"])))
    for row in _rows(VISITORS):
        if row["kind"] != "follow_up":
            right = tuple(row.get("passages", ()))
            found.append(Asked(text=row["text"], persona=row["persona"], answerable=bool(right), kind=row["kind"], part=row["part"], passages=right))
    for case in _rows(GOLDEN):
        if case["split"] == "tune" and case["kind"] in ("answerable", "unanswerable"):
            right = tuple(case["expect"].get("passages", ()))
            found.append(Asked(text=case["text"], persona=case["persona"], answerable=bool(right), kind="golden", part="tune", passages=right))
    for row in _rows(PERSONA):
        if row["kind"] in ("answerable", "near", "outside"):
            right = tuple(row.get("passages", ()))
            found.append(Asked(text=row["question"], persona=row["persona"], answerable=bool(right), kind="golden", part="tune", passages=right))
    for asked in everyday():
        if asked.for_gate:
            part = _part(asked.passage)
            found.append(Asked(text=asked.text, persona=asked.persona, answerable=True, kind="everyday", part=part, passages=(asked.passage,)))
    for close in near():
        if close.part != "read":
            kind, right = ("twin", (close.passage,)) if close.answered else ("near", ())
            side: Part = "fit" if close.part == "gate" else "report"
            found.append(Asked(text=close.text, persona=close.persona, answerable=close.answered, kind=kind, part=side, passages=right))
    outside = [row["text"] for row in _rows(OWN) if row["label"] == "out_of_scope"]
    found += [Asked(text=text, persona=PERSONAS[number % 2], answerable=False, kind="outside", part=_part(text)) for number, text in enumerate(outside)]
    titles = [(persona, path.stem, text) for persona in PERSONAS for path in sorted((LIBRARY / persona).glob("*.jsonl")) for text in from_titles(path)]
    titles.sort(key=lambda title: hashlib.sha256(title[2].encode()).digest())
    found += [Asked(text=text, persona=persona, answerable=True, kind="title", part=_part(text)) for persona, _, text in titles[:TITLES]]
    # A title that names the persona or his rival is about both shelves.
    others = [(persona, text) for persona, theme, text in titles if theme in ALONE[persona] and not any(name in text.lower() for name in PERSONAS)]
    for persona, text in others[:TITLES]:
        found.append(Asked(text=text, persona=PERSONAS[1 - PERSONAS.index(persona)], answerable=False, kind="other shelf", part=_part(text)))
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _part(key: str) -> Part:
    """30 % are reported, by a hash."""
    return "report" if share(key.lower()) >= 0.7 else "fit"


def evidences(asked: list[Asked], encoder: MiniLM, retriever: LibraryRetriever, head: IntentHead) -> list[Evidence]:
    """What the chat would hand to the gate."""

    def one(text: str, persona: str, encoding: Encoding) -> Evidence:
        request = Request(id="fit", persona=persona, messages=(Message(role="user", content=text),))
        question = Question(request=request, text=text, intent=head.classify(encoding), encoding=encoding)
        return Evidence(question=question, hits=retriever.search(Query(encoding=encoding, persona=persona)))

    found = []
    for item in asked:
        encoding = encoder.encode((item.text,), safety=True)[0]
        tried = [one(item.text, persona, encoding) for persona in ([item.persona] if item.persona else PERSONAS)]
        found.append(max(tried, key=lambda evidence: max((hit.late + hit.coverage for hit in evidence.hits), default=0.0)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where to write the card with the weights")
    arguments = parser.parse_args()
    encoder = MiniLM()
    asked = questions()
    with LibraryRetriever(ensure(encoder), encoder) as retriever:
        found = evidences(asked, encoder, retriever, IntentHead.load(encoder))
    measured = np.stack([measure(evidence) for evidence in found])[:, [FEATURES.index(name) for name in FULL]]
    named = np.array([bool(unknown_names(evidence)) for evidence in found])
    truth = np.array([item.answerable for item in asked])
    kinds = np.array([item.kind for item in asked])
    parts = np.array([item.part for item in asked])
    # Where search brought none of the right passages, nothing could be answered.
    brought = np.array([not item.passages or any(hit.passage.source_id in item.passages for hit in hits.hits) for item, hits in zip(asked, found, strict=True)])
    fitted = (parts == "fit") & ~named & (brought | ~truth)
    learn = fitted & ~np.isin(kinds, list(NEAR))
    weight = _shares(WEIGHTS, kinds, truth, learn)
    scaler = StandardScaler().fit(measured[learn])
    model = LogisticRegression(C=PENALTY, max_iter=5000).fit(scaler.transform(measured[learn]), truth[learn], sample_weight=weight[learn])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    odds = measured @ weights + bias
    tune = parts == "tune"

    def best(logits: NDArray[np.float64], targets: tuple[float, float]) -> float:
        return _level(np.where(named, -np.inf, logits)[tune], truth[tune], kinds[tune] == "golden", targets)

    level = best(odds, TARGETS)
    reader = PairReader(encoder)
    read = np.array([read_first(reader, evidence) if evidence.hits else -np.inf for evidence in found])
    reading = second(odds, read, truth, fitted & np.isfinite(read), _shares(WEIGHTS | NEAR, kinds, truth, fitted))
    reading["bias"] += level - best(reading["gate"] * odds + reading["reader"] * read + reading["bias"], READ_TARGETS)
    shipped = json.loads(COEFFICIENTS.read_text(encoding="utf-8"))
    card: dict[str, Any] = {
        "full": {
            "weights": {key: round(float(value), 6) for key, value in zip(FULL, weights, strict=True)},
            "bias": round(bias, 6),
            "report": _report(truth, np.where(named, -np.inf, odds), level, kinds, parts),
            "reading": rounded(reading, level)
            | {"branch": reader.fingerprint, "report": _report(truth, np.where(named, -np.inf, with_reading(odds, read, reading, level)), level, kinds, parts)},
        }
    }
    moved = level - math.log(1 / shipped["threshold"] - 1)
    bare = shipped["bare"]
    card["bare"] = bare | {"bias": round(bare["bias"] + moved, 6)}
    held = bare["reading"]
    shifts = {"bias": held["bias"] + moved * (1 - held["gate"]), "low": held["low"] + moved, "high": held["high"] + moved}
    card["bare"]["reading"] = held | {key: round(value, 6) for key, value in shifts.items()}
    card |= {
        "threshold": round(float(1 / (1 + np.exp(level))), 4),
        "encoder": encoder.name,
        "split": "fitted, tuned and reported by topic (visitors' questions) or by a hash of the question",
        "licence": "Apache-2.0 (questions written for this project and titles of the built-in library)",
    }
    arguments.out.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=1, ensure_ascii=False))


def second(
    odds: NDArray[np.float64], read: NDArray[np.float64], truth: NDArray[np.bool_], learn: NDArray[np.bool_], weight: NDArray[np.float64]
) -> dict[str, float]:
    """The regression over the gate's log odds and the reader's, fitted where `learn`."""
    told = np.stack([odds, read], axis=1)
    model = LogisticRegression(C=1.0, max_iter=5000).fit(told[learn], truth[learn], sample_weight=weight[learn])
    return {"gate": float(model.coef_[0][0]), "reader": float(model.coef_[0][1]), "bias": float(model.intercept_[0])}


def with_reading(odds: NDArray[np.float64], read: NDArray[np.float64], reading: dict[str, float], level: float) -> NDArray[np.float64]:
    """The log odds as the rail has them: the gate's, and in doubt those of both."""
    doubt = (odds > level + DOUBT[0]) & (odds < level + DOUBT[1])
    return np.where(doubt, reading["gate"] * odds + reading["reader"] * read + reading["bias"], odds)


def rounded(reading: dict[str, float], level: float) -> dict[str, Any]:
    """`reading` as the card has it."""
    return {key: round(value, 6) for key, value in {**reading, "low": level + DOUBT[0], "high": level + DOUBT[1]}.items()}


def _shares(shares: Mapping[str, float], kinds: NDArray[np.str_], truth: NDArray[np.bool_], learn: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each fitted question counts: each kind its share, both sides the same."""
    weight: NDArray[np.float64] = np.zeros(len(kinds))
    for kind, part in shares.items():
        rows = learn & (kinds == kind)
        weight[rows] = part / max(1, rows.sum())
    for side in (True, False):
        rows = learn & (truth == side)
        weight[rows] /= weight[rows].sum()
    weight *= learn.sum() / 2
    return weight


def _level(logits: NDArray[np.float64], truth: NDArray[np.bool_], golden: NDArray[np.bool_], targets: tuple[float, float]) -> float:
    """The log odds to pass from: where the worse of the two shares, each beside its target, is best; midway between two rows.

    A share is the mean of that over the golden set and that over the other questions, which are harder and more.
    """
    places = np.unique(logits[np.isfinite(logits)])
    levels = (places[:-1] + places[1:]) / 2

    def share(right: NDArray[np.bool_], rows: NDArray[np.bool_]) -> float:
        return float(np.mean([right[rows & golden].mean(), right[rows & ~golden].mean()]))

    margins = [min(share(logits >= level, truth) - targets[0], share(logits < level, ~truth) - targets[1]) for level in levels]
    return float(levels[int(np.argmax(margins))])


def _report(truth: NDArray[np.bool_], logits: NDArray[np.float64], level: float, kinds: NDArray[np.str_], parts: NDArray[np.str_]) -> dict[str, Any]:
    """AUROC, and how many of each kind the gate passes, with 95 % bootstrap intervals, on the reported rows."""
    random = np.random.default_rng(0)
    kept = parts == "report"
    ranks = np.nan_to_num(logits, neginf=-1e3)
    by_kind = {}
    for kind in sorted(set(kinds[kept])):
        rows = (logits >= level)[kept & (kinds == kind)]
        draws = [rows[random.integers(0, len(rows), len(rows))].mean() for _ in range(1000)]
        by_kind[kind] = {"rows": len(rows), "passed": round(float(rows.mean()), 3), "ci95": [round(float(np.quantile(draws, q)), 3) for q in (0.025, 0.975)]}
    visitors = kept & np.isin(kinds, ("answerable", "unanswerable"))
    return {
        "auroc": round(float(roc_auc_score(truth[kept], ranks[kept])), 3),
        "auroc_visitors": round(float(roc_auc_score(truth[visitors], ranks[visitors])), 3),
        "passed_by_kind": by_kind,
    }


if __name__ == "__main__":
    main()

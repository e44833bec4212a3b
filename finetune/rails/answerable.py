"""Fit the abstention gate: from what retrieval found to the probability that it answers the question.

    python -m guardrail.finetune.rails.answerable --out guardrail/rails/answerable.json

Answerable: questions of visitors about what the built-in library holds (`answerable_questions.jsonl`), and the titles of its passages as questions.
Not answerable: questions in the field and near it that no passage answers, questions outside it (`intent_questions.jsonl`), and questions on what only
the other persona's shelf holds. Takes about a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from guardrail.finetune.rails.intent_data import LIBRARY, OWN, from_titles
from guardrail.index.builtin import ensure
from guardrail.index.encoder import MiniLM
from guardrail.index.retriever import LibraryRetriever
from guardrail.protocols import Query
from guardrail.rails.answerable import FEATURES, measure, unknown_names
from guardrail.rails.intent import IntentHead
from guardrail.types import Encoding, Evidence, Message, Question, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUESTIONS = Path(__file__).with_name("answerable_questions.jsonl")
PERSONAS = ("plato", "aristotle")
ALONE = {
    "plato": ("socrates", "myths", "love", "cosmos"),
    "aristotle": ("animals", "nature", "logic", "poetics", "rhetoric"),
}
"""Themes of the library that only this persona's shelf holds."""
TITLES = 300
"""Questions made from titles, of each kind."""
WEIGHTS = {"visitor": 1.0, "title": 0.3, "in the field": 1.0, "outside": 0.5, "other shelf": 0.3}
"""What all questions of a kind count together."""
KEPT = 0.975
"""Share of the answerable questions of the fitted part that the threshold must pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question to one persona and whether the library answers it. `persona` None: it is put to the one whose shelf is nearer."""

    text: str
    persona: str | None
    answerable: bool
    kind: str

    @property
    def held_out(self) -> bool:
        """40 % by a hash of the text."""
        return int.from_bytes(hashlib.sha256(self.text.lower().encode()).digest()[:4], "big") / 2**32 >= 0.6


def questions() -> list[Asked]:
    """Every question, in a fixed order."""
    found = []
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        persona = None if row["persona"] == "either" else row["persona"]
        found.append(Asked(text=row["text"], persona=persona, answerable=row["answerable"], kind="visitor" if row["answerable"] else "in the field"))
    outside = [json.loads(line)["text"] for line in OWN.read_text(encoding="utf-8").splitlines() if '"out_of_scope"' in line]
    found += [Asked(text=text, persona=PERSONAS[number % 2], answerable=False, kind="outside") for number, text in enumerate(outside)]
    titles = [(persona, path.stem, text) for persona in PERSONAS for path in sorted((LIBRARY / persona).glob("*.jsonl")) for text in from_titles(path)]
    titles.sort(key=lambda title: hashlib.sha256(title[2].encode()).digest())
    found += [Asked(text=text, persona=persona, answerable=True, kind="title") for persona, _, text in titles[:TITLES]]
    # A title that names the persona or his rival is about both shelves.
    others = [(persona, text) for persona, theme, text in titles if theme in ALONE[persona] and not any(name in text.lower() for name in PERSONAS)]
    found += [Asked(text=text, persona=PERSONAS[1 - PERSONAS.index(persona)], answerable=False, kind="other shelf") for persona, text in others[:TITLES]]
    return found


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
    measured = np.stack([measure(evidence) for evidence in found])
    named = np.array([bool(unknown_names(evidence)) for evidence in found])
    truth = np.array([item.answerable for item in asked])
    test = np.array([item.held_out for item in asked])
    learn = ~test & ~named

    kinds = [item.kind for item in asked]
    shares = {kind: WEIGHTS[kind] * len(kinds) / sum(k == kind for k in kinds) for kind in WEIGHTS}
    weight = np.array([shares[kind] for kind in kinds])
    scaler = StandardScaler().fit(measured[learn])
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=5000).fit(scaler.transform(measured[learn]), truth[learn], sample_weight=weight[learn])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    probability = 1 / (1 + np.exp(-(measured @ weights + bias)))
    score = np.where(named, 1.0, 1 - probability)
    visitors = np.array([kind == "visitor" for kind in kinds])
    threshold = float(np.quantile(1 - probability[learn & visitors & truth], KEPT))
    card: dict[str, Any] = {
        "weights": {name: round(float(value), 6) for name, value in zip(FEATURES, weights, strict=True)},
        "bias": round(bias, 6),
        "threshold": round(threshold, 4),
        "encoder": encoder.name,
        "split": "60 % fitted, 40 % held out, by a hash of the question",
        "licence": "Apache-2.0 (questions written for this project and titles of the built-in library)",
        "held_out": _report(truth[test], score[test], threshold, [kind for kind, kept in zip(kinds, test, strict=True) if kept]),
        "held_out_wrong": [
            {"text": item.text, "kind": item.kind, "score": round(float(value), 3)}
            for item, value in zip(asked, score, strict=True)
            if item.held_out and (value > threshold) == item.answerable
        ],
    }
    arguments.out.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card, indent=1, ensure_ascii=False))


def _report(truth: NDArray[np.bool_], score: NDArray[np.float64], threshold: float, kinds: list[str]) -> dict[str, Any]:
    """AUROC, and how many of each kind the gate passes, with 95 % bootstrap intervals."""
    random = np.random.default_rng(0)
    passed = score <= threshold
    by_kind = {}
    for kind in sorted(set(kinds)):
        rows = passed[np.array([k == kind for k in kinds])]
        draws = [rows[random.integers(0, len(rows), len(rows))].mean() for _ in range(1000)]
        by_kind[kind] = {"rows": len(rows), "passed": round(float(rows.mean()), 3), "ci95": [round(float(np.quantile(draws, q)), 3) for q in (0.025, 0.975)]}
    return {"auroc": round(float(roc_auc_score(truth, -score)), 3), "passed_by_kind": by_kind}


if __name__ == "__main__":
    main()

"""Fit the abstention gate for passages that bring no questions of their own: on libraries about other things than the built-in one, of one text to a hundred.

    python -m guardrail.finetune.rails.answerable_libraries --data ../shared/data --card guardrail/rails/answerable.json

Only `bare` in the card is changed; its threshold is that of the card. Takes about six minutes.

Short notices of institutions, in our own words (`answerable_notices.jsonl`: each with questions that it answers and others that it does not), and the
paragraphs and questions of AdversarialQA. A question is put to a library that holds its text, among as many others as chance draws, and to one that does
not. Texts are parted by a hash, so no text that is fitted is reported.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from guardrail.evaluate.subjects.shelf import Shelves
from guardrail.figures import wilson
from guardrail.finetune.rails.answerable import rounded, second, with_reading
from guardrail.finetune.rails.safety_data import share
from guardrail.index.encoder import MiniLM
from guardrail.index.pair_reader import PairReader
from guardrail.protocols import Query
from guardrail.rails.answerable import BARE, FEATURES, measure, read_first, unknown_names
from guardrail.types import Evidence, Message, Question, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTICES = Path(__file__).with_name("answerable_notices.jsonl")
SIZES = (1, 1, 2, 3, 5, 8, 15, 40, 100, 100)
"""Texts of a library, one of these."""
DRAWS = 6
"""Libraries that each question to a notice is put to."""
PENALTY = 0.05
"""Inverse strength of the ridge on the weights."""
Part = Literal["fit", "tune", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A question with what one library brings."""

    evidence: Evidence
    answerable: bool
    kind: str
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    text: str
    question: str
    answered: bool


def tried(data: Path, encoder: MiniLM) -> list[Tried]:
    """Rows from `data`/adversarial_qa and from the notices, in a fixed order."""
    rows = [json.loads(line) for line in (data / "adversarial_qa" / "adversarial_qa_sample.jsonl").read_text(encoding="utf-8").splitlines()]
    paragraphs = [_Asked(text=row["context"], question=row["question"], answered=True) for row in rows]
    notices = [
        _Asked(text=row["text"], question=question, answered=answered)
        for row in map(json.loads, NOTICES.read_text(encoding="utf-8").splitlines())
        for answered, questions in ((True, row["answered"]), (False, row["others"]))
        for question in questions
    ]
    return asyncio.run(_tried(paragraphs, "paragraph", 1, encoder)) + asyncio.run(_tried(notices, "notice", DRAWS, encoder))


async def _tried(asked: list[_Asked], kind: str, draws: int, encoder: MiniLM) -> list[Tried]:
    shelves = Shelves(encoder)
    texts = sorted({one.text for one in asked})
    others = {text: [other for other in texts if other != text and _part(other) == _part(text)] for text in texts}
    vectors = {text: encoder.encode((text,))[0].vector for text in texts}
    found = []
    for one in asked:
        chance = random.Random(one.question)
        encoding = encoder.encode((one.question,), safety=True)[0]
        request = Request(id="fit", persona="plato", messages=(Message(role="user", content=one.question),))
        for _ in range(draws):
            for held in (True, False) if one.answered else (True,):
                size = min(chance.choice(SIZES), len(others[one.text]))
                near = sorted(others[one.text], key=lambda text: -float(vectors[text] @ encoding.vector))
                # Half of the libraries are of what lies nearest, as those of one subject are.
                library = near[: size - held] if chance.random() < 0.5 else chance.sample(near, size - held)
                shelf = await shelves.of([*library, one.text] if held else library)
                hits = await shelf.retrieve(Query(encoding=encoding))
                answerable = one.answered and held
                if answerable and not any(hit.passage.text in one.text for hit in hits):
                    continue  # nothing could be answered: search did not bring the text
                evidence = Evidence(question=Question(request=request, text=one.question, encoding=encoding), hits=hits)
                found.append(Tried(evidence=evidence, answerable=answerable, kind=kind, part=_part(one.text)))
    return found


def _part(text: str) -> Part:
    place = share(text)
    return "fit" if place < 0.6 else "tune" if place < 0.8 else "report"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds adversarial_qa")
    parser.add_argument("--card", type=Path, required=True, help="the card whose part without questions is fitted anew")
    arguments = parser.parse_args()
    encoder = MiniLM()
    rows = tried(arguments.data, encoder)
    card = json.loads(arguments.card.read_text(encoding="utf-8"))
    card["bare"] = fitted(rows, PairReader(encoder), level=math.log(1 / card["threshold"] - 1))
    arguments.card.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(card["bare"], indent=1))


def fitted(rows: list[Tried], reader: PairReader, *, level: float) -> dict[str, Any]:
    """Weights and bias so that the log odds `level` is what the tune rows are parted best at, with the reader and without, and reports on other rows."""
    measured = np.stack([measure(row.evidence) for row in rows])[:, [FEATURES.index(name) for name in BARE]]
    named = np.array([bool(unknown_names(row.evidence)) for row in rows])
    truth, kinds, parts = (np.array([getattr(row, name) for row in rows]) for name in ("answerable", "kind", "part"))
    learn = (parts == "fit") & ~named
    weight = np.zeros(len(rows))
    for kind in sorted(set(kinds)):
        for side in (True, False):
            group = learn & (kinds == kind) & (truth == side)
            weight[group] = learn.sum() / 4 / max(1, group.sum())
    scaler = StandardScaler().fit(measured[learn])
    model = LogisticRegression(C=PENALTY, max_iter=5000).fit(scaler.transform(measured[learn]), truth[learn], sample_weight=weight[learn])
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())

    def best(odds: NDArray[np.float64]) -> float:
        return _best(np.where(named, -np.inf, odds), truth, kinds, parts == "tune")

    bias += level - best(measured @ weights + bias)
    odds = measured @ weights + bias
    read = np.array([read_first(reader, row.evidence) for row in rows])
    # It learned from the paragraphs that are fitted here, so it is weighed on the notices alone.
    reading = second(odds, read, truth, learn & (kinds == "notice"), weight)
    reading["bias"] += level - best(reading["gate"] * odds + reading["reader"] * read + reading["bias"])
    return {
        "weights": {name: round(float(value), 6) for name, value in zip(BARE, weights, strict=True)},
        "bias": round(bias, 6),
        "report": _report(np.where(named, -np.inf, odds), level, truth, kinds, parts),
        "reading": rounded(reading, level)
        | {"branch": reader.fingerprint, "report": _report(np.where(named, -np.inf, with_reading(odds, read, reading, level)), level, truth, kinds, parts)},
    }


def _report(logits: NDArray[np.float64], level: float, truth: NDArray[np.bool_], kinds: NDArray[np.str_], parts: NDArray[np.str_]) -> dict[str, Any]:
    kept = parts == "report"
    ranks = np.nan_to_num(logits, neginf=-1e3)
    return {
        kind: {
            "auroc": round(float(roc_auc_score(truth[kept & (kinds == kind)], ranks[kept & (kinds == kind)])), 3),
            "answerable passed": _share((logits >= level)[kept & (kinds == kind) & truth]),
            "others stopped": _share((logits < level)[kept & (kinds == kind) & ~truth]),
        }
        for kind in sorted(set(kinds))
    }


def _best(logits: NDArray[np.float64], truth: NDArray[np.bool_], kinds: NDArray[np.str_], tune: NDArray[np.bool_]) -> float:
    """The log odds to pass from, where the least of the shares that come out right, of both sides of every kind, is greatest."""
    places = np.unique(logits[tune & np.isfinite(logits)])
    levels = (places[:-1] + places[1:]) / 2
    groups = [tune & (kinds == kind) & (truth == side) for kind in sorted(set(kinds)) for side in (True, False)]
    least = [min(float(((logits >= level) == truth)[group].mean()) for group in groups) for level in levels]
    return float(levels[int(np.argmax(least))])


def _share(right: NDArray[np.bool_]) -> dict[str, Any]:
    low, high = wilson(float(right.sum()), len(right))
    return {"rows": len(right), "share": round(float(right.mean()), 3), "ci95": [round(low, 3), round(high, 3)]}


if __name__ == "__main__":
    main()

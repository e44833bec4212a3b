"""The abstention gate: do the retrieved passages answer the question at all?"""

from __future__ import annotations

import json
import math
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError, RailError
from guardrail.rails.hard_rules import Shelf, missing_names
from guardrail.rails.words import coverage, is_common, rarity, stem, words
from guardrail.types import Evidence, Finding, Hit, Intent, Message, Passage, Question, Request, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail.protocols import Encoder, Need
    from guardrail.types import Encoding, Stage

COEFFICIENTS = Path(__file__).with_name("answerable.json")
FEATURES = ("dense", "dense_mean", "late", "late_mean", "unmet", "unknown", "coverage", "coverage_all", "title", "missing", "margin", "outside", "length")
"""What `measure` gives, in order."""
_ASKING = frozenset(
    stem(word)
    for word in """
    tell explain describe define say says said think thinks thought mean means meaning meant please give example know understand question teach
    teaches taught believe write wrote call called summarise summarize summary help simple short briefly words main point points view views opinion
    idea ask compare list show hello hi dear sir thing things people person anyone really exactly actually according call called want would like
    difference
    """.split()
)
"""Words of asking, which a passage need not hold."""


class AnswerableRail:
    """A retrieval rail: the decision is `abstain` where the passages probably do not answer the question.

    A logistic regression over the scores of the hits, the question's words that no hit holds, and the question's intent gives the probability;
    `score` is the probability that the passages do not answer. One rule comes before it: a question about a person, place or work by name
    that stands in no hit is not answered by them, whatever the score.
    """

    id = "answerable"
    version = "1"
    stage: Stage = "retrieval"
    reach = 0
    needs: frozenset[Need] = frozenset({"encoding", "passages"})

    def __init__(self, encoder: Encoder, *, threshold: float | None = None) -> None:
        """`encoder` is used by the self-test alone. `threshold`: the highest score that passes, None for the measured one.

        Raises ConfigurationError where the coefficients are damaged.
        """
        self._encoder = encoder
        self._weights, self._bias, measured = _load(COEFFICIENTS)
        self.threshold = measured if threshold is None else threshold

    async def check(self, subject: Evidence) -> Verdict:
        """`abstain` or `pass`; the findings are the names that no passage holds, as spans of the question."""
        began = time.perf_counter()
        text = subject.question.text
        unknown = unknown_names(subject)
        score = 1.0 if unknown or not subject.hits else 1.0 - self.probability(subject)
        failed = score > self.threshold
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="abstain" if failed else "pass",
            score=score,
            threshold=self.threshold,
            findings=tuple(Finding(type="name", start=text.index(name), end=text.index(name) + len(name), score=1.0) for name in unknown),
            reason="no passage holds the name asked about" if unknown else "the passages do not answer it" if failed else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    def probability(self, evidence: Evidence) -> float:
        """The probability, 0 to 1, that the hits answer the question. Raises RailError where the question was not encoded."""
        if evidence.question.encoding is None:
            raise RailError("The answerable rail needs the question's encoding: run it after the encoder.")
        return float(1.0 / (1.0 + np.exp(-(measure(evidence) @ self._weights + self._bias))))

    async def warm_up(self) -> None:
        """Check three questions against one passage; raises RailError if one comes out wrong."""
        text = "The soul has three parts, which are reason, spirit and appetite. Reason ought to rule the whole soul, since it alone looks ahead."
        passage = Passage(
            id="p", source_id="p", title="The three parts of the soul", work="Republic", locator="IV 435b", persona="plato", text=text, start=0, end=len(text)
        )
        held = self._encoder.encode((text,))[0]
        for asked, expected in (
            ("What are the three parts of the soul?", "pass"),
            ("What did Confucius say about the soul?", "abstain"),
            ("How do I bake bread?", "abstain"),
        ):
            encoding = self._encoder.encode((asked,))[0]
            late = float((encoding.tokens @ held.tokens.T).max(axis=1).mean())
            share = coverage(_asked(asked), _held(passage))
            hit = Hit(passage=passage, score=1.0, dense=float(encoding.vector @ held.vector), late=late, coverage=share, tokens=held.tokens)
            request = Request(id="self-test", persona="plato", messages=(Message(role="user", content=asked),))
            evidence = Evidence(question=Question(request=request, text=asked, encoding=encoding), hits=(hit,))
            if (await self.check(evidence)).decision != expected:
                raise RailError("The answerable rail fails its self-test: its coefficients do not fit the encoder.")


def measure(evidence: Evidence) -> NDArray[np.float32]:
    """What speaks for and against an answer in the hits, (len(FEATURES),). There must be a hit and an encoding."""
    question, hits = evidence.question, evidence.hits
    asked = _asked(question.text)
    held = [_held(hit.passage) for hit in hits]
    everything = frozenset[str]().union(*held)
    dense = sorted((hit.dense for hit in hits), reverse=True)
    late = sorted((hit.late for hit in hits), reverse=True)
    return np.array(
        (
            dense[0],
            np.mean(dense[:3]),
            late[0],
            np.mean(late[:3]),
            _unmet(question.encoding, hits, asked - everything),
            float(any(rarity(root) == 1.0 for root in asked - everything)),
            max(coverage(asked, stems) for stems in held),
            coverage(asked, everything),
            max(coverage(asked, _title(hit.passage)) for hit in hits) if asked else 0.0,
            max(map(rarity, asked - everything), default=0.0),
            dense[0] - dense[-1],
            _outside(question.intent),
            math.log1p(len(asked)) / 3,
        ),
        np.float32,
    )


def unknown_names(evidence: Evidence) -> tuple[str, ...]:
    """The names in the question that neither a hit nor the persona bears. A capitalised everyday word is no name."""
    shelf = Shelf(tuple(hit.passage for hit in evidence.hits), evidence.question.request.persona)
    return tuple(name for name in missing_names(evidence.question.text, shelf) if not all(is_common(word.stem) for word in words(name)))


def _asked(text: str) -> frozenset[str]:
    """Stems of what the question is about."""
    return frozenset(word.stem for word in words(text) if word.content) - _ASKING


def _held(passage: Passage) -> frozenset[str]:
    return _stems(passage.text) | _title(passage) | _stems(passage.persona)


def _title(passage: Passage) -> frozenset[str]:
    return _stems(f"{passage.title}\n{passage.work}")


@lru_cache(maxsize=2048)
def _stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for word in words(text))


def _unmet(encoding: Encoding | None, hits: tuple[Hit, ...], missing: frozenset[str]) -> float:
    """How far the worst of the missing words is from everything the hits hold: rarity times (1 - best cosine of its tokens), 0 where none is missing."""
    held = [hit.tokens for hit in hits if len(hit.tokens)]
    if encoding is None or not missing or not held or not len(encoding.tokens):
        return 0.0
    nearest = (encoding.tokens @ np.concatenate(held).T).max(axis=1)
    worst = 0.0
    for word in words(encoding.text):
        if word.stem in missing:
            own = [cosine for cosine, (start, _) in zip(nearest, encoding.spans, strict=True) if word.start <= start < word.end]
            worst = max(worst, rarity(word.stem) * (1.0 - float(np.mean(own))) if own else 0.0)
    return worst


def _outside(intent: Intent | None) -> float:
    return intent.score if intent is not None and intent.label == "out_of_scope" else 0.0


def _load(path: Path) -> tuple[NDArray[np.float32], float, float]:
    """Weights in the order of FEATURES, bias, threshold."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return np.array([card["weights"][name] for name in FEATURES], np.float32), float(card["bias"]), float(card["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The coefficients {path.name} cannot be read: fit them again with `python -m guardrail.finetune.rails.answerable`."
        ) from error

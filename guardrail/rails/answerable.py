"""The abstention gate: do the retrieved passages answer the question at all?"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from guardrail import sentences
from guardrail.errors import ConfigurationError, RailError
from guardrail.rails.hard_rules import Shelf, missing_names
from guardrail.rails.words import coverage, is_common, rarity, same_name, stem, words
from guardrail.types import Evidence, Finding, Hit, Intent, Message, Passage, Question, Request, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from guardrail.protocols import Encoder, Need, PassageReader
    from guardrail.types import Encoding, Stage

log = logging.getLogger("guardrail.rails")

COEFFICIENTS = Path(__file__).with_name("answerable.json")
FEATURES = (
    "dense", "late", "late_mean", "coverage", "title", "missing", "margin", "outside", "told", "aside", "amount", "nearest", "unmet", "words",
    "asked", "asked_first", "few",
)  # fmt: skip
"""What `measure` gives, in order. `asked` and `asked_first` need passages that bring questions of their own."""
FULL = tuple(name for name in FEATURES if name != "few")
"""Those of a library whose passages bring questions."""
BARE = tuple(name for name in FEATURES if name not in {"outside", "asked", "asked_first"})
"""Those that every library gives; what is out of scope for the built-in one may be just what another is about."""
_AMOUNT = re.compile(r"\b(?:how (?:many|much|old|long|tall|far|high|big|often|fast)|when|(?:which|what) (?:year|day|month|age|century|date))\b", re.IGNORECASE)
"""Asks for a number or a date."""
_QUESTION = re.compile(
    r"[?]|\b(?:what|whats|who|whom|whose|when|where|why|how|which|is|are|was|were|do|does|did|has|have|had|can|could|would|will|should|must|may|might"
    r"|tell|explain|describe|define|name|list|give|show|say|compare|summari[sz]e)\b",
    re.IGNORECASE,
)
_IN_TITLE, _IN_OPENING, _IN_PASSING = 1.0, 0.7, 0.3
"""How far a passage is about somebody whose name stands there."""
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
_BARE_AGAIN = "python -m guardrail.finetune.rails.answerable_libraries --data DATA --card guardrail/rails/answerable.json"
_AGAIN = "fit them again with `python -m guardrail.finetune.rails.answerable --out guardrail/rails/answerable.json`."


class AnswerableRail:
    """A retrieval rail: the decision is `abstain` where the passages probably do not answer the question.

    A logistic regression over the scores of the hits, the question's words that no hit holds, how far the passages are about the names asked about, the
    nearest question that a passage is known to answer, and the question's intent gives the probability; where no passage brings questions, a second one
    does without them and without the intent: it was fitted on libraries of every size about other things. Where that leaves a doubt and there is a reader,
    the first passage is read together with the question, and one more regression weighs both. `score` is the probability that the passages do not
    answer. One rule comes before it: a question about a person, place or work by name that stands in no hit is not answered by them, whatever the score.
    """

    id = "answerable"
    version = "2"
    stage: Stage = "retrieval"
    reach = 0
    needs: frozenset[Need] = frozenset({"encoding", "passages"})

    def __init__(
        self,
        encoder: Encoder,
        *,
        reader: PassageReader | None = None,
        pool: Executor | None = None,
        patience: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        """`encoder` is used by the self-test alone, `pool` runs `reader`. `threshold`: the highest score that passes, None for the measured one.

        Where the reader takes longer than `patience` seconds, the gate decides alone.

        Raises ConfigurationError where the coefficients are damaged.
        """
        self._encoder = encoder
        self._reader = reader
        self._pool = pool
        self._patience = patience
        self._full, self._bare, measured, self._fitted_with = _load(COEFFICIENTS)
        self.threshold = measured if threshold is None else threshold

    async def check(self, subject: Evidence) -> Verdict:
        """`abstain` or `pass`; the findings are the names that no passage holds, as spans of the question."""
        began = time.perf_counter()
        text = subject.question.text
        unknown = unknown_names(subject)
        score = 1.0 if unknown or not subject.hits else 1.0 - _probability(await self._odds(subject))
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

    async def _odds(self, evidence: Evidence) -> float:
        gate, odds = self._judged(evidence)
        if self._reader is None or not gate.reading.low < odds < gate.reading.high or not _is_question(evidence.question):
            return odds
        try:
            async with asyncio.timeout(self._patience):
                read = await asyncio.get_running_loop().run_in_executor(self._pool, read_first, self._reader, evidence)
        except TimeoutError:
            log.warning("The reader took longer than %.0f ms: the abstention gate decided alone.", 1000 * self._patience)
            return odds
        return gate.reading.odds(odds, read)

    def probability(self, evidence: Evidence) -> float:
        """The probability, 0 to 1, that the hits answer the question, without reading them. Raises RailError where the question was not encoded."""
        return _probability(self._judged(evidence)[1])

    def _judged(self, evidence: Evidence) -> tuple[_Gate, float]:
        if evidence.question.encoding is None:
            raise RailError("The answerable rail needs the question's encoding: run it after the encoder.")
        found = measure(evidence)
        gate = self._bare if np.isnan(found).any() else self._full
        return gate, gate.odds(found)

    async def warm_up(self) -> None:
        """Check three questions against one passage.

        Raises RailError if one comes out wrong or the coefficients were fitted with another reader, LibraryError where the reader's weights are missing.
        """
        if self._reader is not None and {self._reader.fingerprint} != self._fitted_with:
            raise RailError(f"The answerable rail's coefficients were fitted with another reading branch: {_AGAIN[:-1]}, then `{_BARE_AGAIN}`.")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Logistic regression over the gate's log odds and the reader's; asked where the former lie between `low` and `high`."""

    gate: float
    reader: float
    bias: float
    low: float
    high: float

    def odds(self, gate: float, reader: float) -> float:
        return self.gate * gate + self.reader * reader + self.bias


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Gate:
    """Logistic regression over the features at `places`."""

    places: NDArray[np.intp]
    weights: NDArray[np.float32]
    bias: float
    reading: _Reading

    def odds(self, found: NDArray[np.float32]) -> float:
        return float(found[self.places] @ self.weights + self.bias)


def _probability(odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-odds)))


def read_first(reader: PassageReader, evidence: Evidence) -> float:
    """The reader's log odds that the first hit answers the question. There must be a hit."""
    passage = evidence.hits[0].passage
    return float(reader.scores(evidence.question.text, ((passage.title, passage.text),))[0])


def measure(evidence: Evidence) -> NDArray[np.float32]:
    """What speaks for and against an answer in the hits, (len(FEATURES),). There must be a hit and an encoding.

    `asked` and `asked_first` are NaN where no passage brings questions of its own.
    """
    question, hits = evidence.question, evidence.hits
    asked = _asked(question.text)
    held = [_held(hit.passage) for hit in hits]
    everything = frozenset[str]().union(*held)
    dense = sorted((hit.dense for hit in hits), reverse=True)
    late = sorted((hit.late for hit in hits), reverse=True)
    told = _told(question, hits)
    met = _met(question.encoding, hits[0], asked)
    return np.array(
        (
            dense[0],
            late[0],
            np.mean(late[:3]),
            max(coverage(asked, stems) for stems in held),
            max(coverage(asked, _title(hit.passage)) for hit in hits) if asked else 0.0,
            max(map(rarity, asked - everything), default=0.0),
            dense[0] - dense[-1],
            _outside(question.intent),
            told,
            float(told < _IN_OPENING),
            float(_AMOUNT.search(question.text) is not None),
            min((cosine for _, cosine in met), default=1.0),
            max((rare * (1.0 - cosine) for rare, cosine in met), default=0.0),
            len(met) / 5,
            *_own_questions(hits),
            1 / len(hits),
        ),
        np.float32,
    )


def unknown_names(evidence: Evidence) -> tuple[str, ...]:
    """The names in the question that neither a hit nor the persona bears. A capitalised everyday word is no name."""
    shelf = Shelf(tuple(hit.passage for hit in evidence.hits), evidence.question.request.persona)
    return tuple(name for name in missing_names(evidence.question.text, shelf) if not all(is_common(word.stem) for word in words(name)))


def _is_question(question: Question) -> bool:
    """Whether something is asked: what is taken up in a dialogue is a statement, and "the Forms" a topic, which the reader was not taught to judge."""
    return question.heard is None and _QUESTION.search(question.text) is not None


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


def _told(question: Question, hits: tuple[Hit, ...]) -> float:
    """How far the passages are about the one asked about: of the names in the question the least, 0 to 1; 1 where it names nobody but the persona.

    A word that is no everyday English counts as a name, since users write names in lower case.
    """
    persona = question.request.persona.lower()
    least = 1.0
    for word in words(question.text):
        if word.content and (word.name or not is_common(word.stem)) and not same_name(word.text, persona):
            least = min(least, max(_salience(word.text, word.stem, hit.passage) for hit in hits))
    return least


def _salience(name: str, root: str, passage: Passage) -> float:
    opening = passage.text[slice(*next(iter(sentences.spans(passage.text)), (0, 0)))]
    for worth, text in ((_IN_TITLE, f"{passage.title}\n{passage.work}"), (_IN_OPENING, opening), (_IN_PASSING, passage.text)):
        if root in _stems(text) or any(same_name(name, other) for other in _capitalised(text)):
            return worth
    return 0.0


@lru_cache(maxsize=2048)
def _capitalised(text: str) -> tuple[str, ...]:
    return tuple({word.text for word in words(text) if word.text[0].isupper()})


def _met(encoding: Encoding | None, hit: Hit, asked: frozenset[str]) -> list[tuple[float, float]]:
    """For each word asked about its rarity and how near the passage comes to it: the mean over its tokens of their best cosine."""
    if encoding is None or not len(encoding.tokens) or not len(hit.tokens):
        return []
    nearest = (encoding.tokens @ hit.tokens.T).max(axis=1)
    return [(rarity(root), cosine) for root, cosine in _by_word(encoding, nearest) if root in asked]


def _by_word(encoding: Encoding, nearest: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
    """The stem of each word of the text with the mean of what its tokens have in `nearest`."""
    for word in words(encoding.text):
        own = [float(cosine) for cosine, (start, _) in zip(nearest, encoding.spans, strict=True) if word.start <= start < word.end]
        if own:
            yield word.stem, sum(own) / len(own)


def _own_questions(hits: tuple[Hit, ...]) -> tuple[float, float]:
    """The nearest question that a hit is known to answer, and the nearest of the first hit's; NaN where no hit brings any."""
    own = [hit.asked for hit in hits if hit.asked is not None]
    if not own:
        return math.nan, math.nan
    return max(own), min(own) if hits[0].asked is None else hits[0].asked


def _outside(intent: Intent | None) -> float:
    return intent.score if intent is not None and intent.label == "out_of_scope" else 0.0


def _load(path: Path) -> tuple[_Gate, _Gate, float, set[str]]:
    """The gate over all features, the one for passages without questions of their own, the threshold, and the fingerprints of their readers."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        full, bare = (
            _Gate(
                places=np.array([FEATURES.index(name) for name in names]),
                weights=np.array([card[part]["weights"][name] for name in names], np.float32),
                bias=float(card[part]["bias"]),
                reading=_Reading(**{key: float(value) for key, value in card[part]["reading"].items() if key not in {"report", "branch"}}),
            )
            for part, names in (("full", FULL), ("bare", BARE))
        )
        return full, bare, float(card["threshold"]), {str(card[part]["reading"]["branch"]) for part in ("full", "bare")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"The coefficients {path.name} cannot be read: {_AGAIN}") from error

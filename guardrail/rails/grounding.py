"""Does a passage say it? Support of one sentence by the retrieved passages, from 0 to 1, with the words that carry it."""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.numpy
from safetensors import SafetensorError

from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Claim, Judgement
from guardrail.rails import framing
from guardrail.rails.hard_rules import Shelf, missing_numbers, violations
from guardrail.rails.kernel_regression import KernelRegression
from guardrail.rails.support import FEATURES, Source, Support, measure
from guardrail.rails.verbatim import Found, find
from guardrail.types import Encoding, Evidence, Finding, Hit, Message, Passage, Question, Request, Sentence, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from guardrail.protocols import Encoder, Need
    from guardrail.types import Stage

COEFFICIENTS = Path(__file__).with_name("grounding.safetensors")
CARD = Path(__file__).with_name("grounding.json")


class GroundingRail:
    """An output rail that judges one sentence at a time against the evidence's passages.

    - A sentence that stands word for word in a passage has support 1; no forward pass is spent on it.
    - A sentence that states nothing ("That is a good question.", "What would you say to that?") passes with no passage.
    - Everything else is encoded and compared (`guardrail.rails.support`); a kernel regression turns the figures into support. The sentence tells the best
      passage and the stretch of it that was compared, whether it supports or not: what a rewrite should rest on.
    - A number, name or quotation that no passage holds, or a negation turned round, is named in `reasons` (`guardrail.rails.hard_rules`).

    A verdict's `score` is 1 - support, and 1 where a hard rule is broken; above `threshold` its decision is `abstain`: the sentence should not be shown.
    """

    id = "grounding"
    version = "2"
    stage: Stage = "output"
    reach = 0
    needs: frozenset[Need] = frozenset({"passages"})

    def __init__(
        self,
        encoder: Encoder,
        *,
        pool: Executor | None = None,
        threshold: float | None = None,
        is_framing: Callable[[str, Evidence], bool] | None = None,
    ) -> None:
        """`pool` runs the encoder (None: the event loop's own). `threshold`: the highest score that passes, None for the measured one.

        `is_framing` says whether a lead-in, as far as its colon, states nothing; it is asked beside the rail's own rules. Raises ConfigurationError
        where the coefficients are damaged.
        """
        self._encoder = encoder
        self._pool = pool
        self._is_framing = is_framing
        self._model, measured = _load()
        self.threshold = measured if threshold is None else threshold
        self._places = lru_cache(maxsize=512)(encoder.content_spans)  # of passages, never of what users wrote

    async def check(self, subject: Claim) -> Verdict:
        """The verdict on one sentence."""
        return (await self.judge(subject)).verdict

    async def judge(self, claim: Claim) -> Judgement:
        """The verdict on one sentence, its support, and where in which passage that stands."""
        began = time.perf_counter()
        shelf = _shelf(tuple(hit.passage for hit in claim.evidence.hits), claim.evidence.question.request.persona)
        sentence = self._at_once(claim, shelf)
        if sentence is None:
            sentence = await asyncio.get_running_loop().run_in_executor(self._pool, self._compare, claim, shelf)
        return Judgement(verdict=self._verdict(claim, sentence, shelf, began), sentence=sentence)

    async def warm_up(self) -> None:
        """Judge three sentences whose support is known; raises RailError if one comes out wrong."""
        text = "The soul has three parts, which are reason, spirit and appetite. Reason ought to rule the whole soul, since it alone looks ahead."
        encoding = self._encoder.encode((text,))[0]
        passage = Passage(
            id="p", source_id="p", title="The parts of the soul", work="Republic", locator="IV 435b-441c", persona="plato", text=text, start=0, end=len(text)
        )
        hit = Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=encoding.tokens)
        request = Request(id="self-test", persona="plato", messages=(Message(role="user", content="How many parts has the soul?"),))
        evidence = Evidence(question=Question(request=request, text=request.text), hits=(hit,))
        for claim, expected in (
            ("Reason ought to rule the whole soul, since it alone looks ahead.", "pass"),
            ("The soul consists of three parts: reason, spirit and appetite.", "pass"),
            ("The soul has seven parts.", "abstain"),
            ("The best cheese is made from the milk of mountain goats.", "abstain"),
        ):
            if (await self.check(Claim(evidence=evidence, text=claim))).decision != expected:
                raise RailError("The grounding rail fails its self-test: its coefficients do not fit the encoder.")

    def support(self, measured: Support) -> float:
        """The probability, 0 to 1, that the sources support a claim with these figures."""
        if measured.source is None:
            return 0.0
        return float(self._model.probabilities(measured.figures[None])[0])

    def _at_once(self, claim: Claim, shelf: Shelf) -> Sentence | None:
        """The judgement where no forward pass is needed."""
        text, end = claim.text, len(claim.text)
        if framing.states_nothing(text) or framing.asks_back(text, shelf) or self._leads_in(text, claim.evidence, shelf):
            return Sentence(start=0, end=end, support=1.0, passage=None)
        found = self._verbatim(text, claim.evidence, shelf)
        if found is not None:
            return Sentence(start=0, end=end, support=1.0, passage=found.text, source_start=found.start, source_end=found.end)
        return None if claim.evidence.hits else Sentence(start=0, end=end, support=0.0, passage=None)

    def _verbatim(self, text: str, evidence: Evidence, shelf: Shelf) -> Found | None:
        """The claim as whole sentences of one passage, after a lead-in or without one."""
        passages = [hit.passage.text for hit in evidence.hits]
        found = find(text, passages)
        colon = text.find(": ")
        while found is None and colon >= 0:
            if self._leads_in(text[: colon + 1], evidence, shelf):
                found = find(text[colon + 2 :], passages)
            colon = text.find(": ", colon + 1)
        return found

    def _leads_in(self, text: str, evidence: Evidence, shelf: Shelf) -> bool:
        if not text.rstrip().endswith(":"):
            return False
        return (self._is_framing is not None and self._is_framing(text.strip(), evidence)) or framing.is_lead_in(text, shelf)

    def _compare(self, claim: Claim, shelf: Shelf) -> Sentence:
        encoding: Encoding = claim.encoding or self._encoder.encode((claim.text,))[0]
        hits = claim.evidence.hits
        measured = measure(encoding, [self._source(hit) for hit in hits])
        reasons: list[str] = [violation.rule for violation in violations(claim.text, shelf)]
        if measured.source is not None and missing_numbers(claim.text, _shelf((hits[measured.source].passage,), "")):
            reasons.append("number")  # where it stands in another passage it counts something else
        return Sentence(
            start=0,
            end=len(claim.text),
            support=self.support(measured),
            passage=measured.source,
            source_start=measured.start,
            source_end=measured.end,
            reasons=tuple(dict.fromkeys(reasons)),
        )

    def _source(self, hit: Hit) -> Source:
        passage = hit.passage
        heading = f"{passage.title}. {passage.work}. {passage.persona}"
        return Source(text=passage.text, tokens=hit.tokens, places=self._places(passage.text), heading=heading)

    def _verdict(self, claim: Claim, sentence: Sentence, shelf: Shelf, began: float) -> Verdict:
        score = 1.0 if sentence.reasons else 1.0 - sentence.support
        findings = (
            tuple(Finding(type=broken.rule, start=broken.start, end=broken.end, score=1.0) for broken in violations(claim.text, shelf))
            if sentence.reasons
            else ()
        )
        failed = score > self.threshold
        if failed and not findings:
            findings = (Finding(type="unsupported", start=0, end=len(claim.text), score=score),)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="abstain" if failed else "pass",
            score=score,
            threshold=self.threshold,
            findings=findings,
            reason=f"no passage holds it: {', '.join(sentence.reasons)}" if sentence.reasons else "no passage supports it" if failed else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )


@lru_cache(maxsize=64)
def _shelf(passages: tuple[Passage, ...], persona: str) -> Shelf:
    return Shelf(passages, persona)


def _load() -> tuple[KernelRegression, float]:
    """The model and the threshold."""
    try:
        threshold = float(json.loads(CARD.read_text(encoding="utf-8"))["threshold"])
        model = KernelRegression.unpack(safetensors.numpy.load(COEFFICIENTS.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigurationError(
            f"The coefficients {COEFFICIENTS.name} cannot be read: fit them again with `python -m guardrail.finetune.rails.grounding`."
        ) from error
    if len(model.mean) != len(FEATURES):
        raise ConfigurationError(f"The weights {COEFFICIENTS.name} are for other figures: fit them again with `python -m guardrail.finetune.rails.grounding`.")
    return model, threshold

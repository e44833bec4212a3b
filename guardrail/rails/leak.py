"""Does a reply recite what the model was trained on? Runs of words against the leak index of the training corpus."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError, RailError
from guardrail.leaks.overlap import OverlapMeter
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from guardrail.leaks.grams import Hashes
    from guardrail.leaks.index import LeakIndex
    from guardrail.leaks.overlap import Overlap
    from guardrail.protocols import Claim, Need
    from guardrail.types import Evidence, Stage

RUN = 12
"""Words of a run that is not released. With 10 the alarms on unseen works of the corpus' authors double, and one extraction in 8,000 more is stopped."""
_AT_ONCE = 4_000
"""Characters that are measured without the pool, in less than a millisecond."""


class LeakRail:
    """Blocks a reply that has `run` words or more in a row from the training corpus, whatever their case, accents and punctuation.

    Fewer are enough where nearly all of them carry meaning, and one or two changed words do not end a run (`guardrail.leaks.overlap` says it exactly).
    What stands in the evidence's passages, in the user's messages or in `allowed` is quotation and does not count, nor do phrases made of function words.

    A verdict's score is n / (n + run) for the n words of the densest run, so its threshold is 0.5. A finding begins where the run begins; its end is where
    that is certain, or with `whole` where the run ends. A Clearing: of a run that is too long nothing is released, not even its beginning.
    """

    id = "leak"
    version = "1"
    stage: Stage = "output"
    needs: frozenset[Need] = frozenset({"passages"})
    threshold = 0.5

    def __init__(
        self, index: LeakIndex, *, run: int = RUN, bridge: int = 2, allowed: Sequence[str] = (), whole: bool = False, pool: Executor | None = None
    ) -> None:
        """`run`: words, more than the index' k; `bridge`: changed words in a row that a run survives; `allowed`: texts of the deployment's own, e.g. its
        lead-ins and refusals; `whole`: whether runs are wanted to their ends, as they must be where they are masked and the text goes on; `pool`: where long
        texts are measured (None: the event loop's own). Raises ConfigurationError.
        """
        k = index.manifest.words.k
        if run <= k:
            raise ConfigurationError(f"leak.run is {run}: the index knows runs of {k} words, so give more than {k}.")
        if not 0 <= bridge <= k:
            raise ConfigurationError(f"leak.bridge is {bridge}: give 0 to {k} words.")
        self._meter = OverlapMeter(index.words, k, length=run, bridge=bridge)
        self._probe = index.manifest.words.probe
        self._run = run
        self._whole = whole
        self._pool = pool
        self._passage = lru_cache(maxsize=512)(self._meter.grams)  # of passages, never of what users wrote
        self._allowed = tuple(self._meter.grams(text) for text in allowed)
        self.reach = self._meter.reach

    def clear(self, subject: Claim) -> int:
        """Up to where no forbidden run can begin, whatever follows, or the last that is certain ends. What may be quoted is not held back."""
        upto = self._meter.clear(subject.text, self._supplied(subject.evidence), start=subject.start, ended=self._whole)
        if self._whole:
            return upto
        return max([upto, *(run.end for run in self.measure(subject).runs if run.end < len(subject.text))])

    def measure(self, claim: Claim) -> Overlap:
        """What the text shares with the corpus."""
        return self._meter.measure(claim.text, self._supplied(claim.evidence), start=claim.start)

    async def check(self, subject: Claim) -> Verdict:
        """`block` with a finding for each forbidden run, `pass` where there is none."""
        began = time.perf_counter()
        if len(subject.text) <= _AT_ONCE:
            overlap = self.measure(subject)
        else:
            overlap = await asyncio.get_running_loop().run_in_executor(self._pool, self.measure, subject)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="block" if overlap.runs else "pass",
            score=overlap.dense / (overlap.dense + self._run),
            threshold=self.threshold,
            findings=tuple(Finding(type="training_data", start=run.start, end=run.last if self._whole else run.end, score=1.0) for run in overlap.runs),
            reason="recites the training data" if overlap.runs else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """A run of the corpus must be found, and runs that no text has must not. Raises RailError otherwise."""
        if not self._meter.knows(self._probe):
            raise RailError("The leak rail fails its self-test: its index does not find a run of the corpus, or finds any run.")

    def _supplied(self, evidence: Evidence) -> list[Hashes]:
        messages = evidence.question.request.messages
        given = [*(self._passage(hit.passage.text) for hit in evidence.hits), *(self._meter.grams(turn.content) for turn in messages if turn.role == "user")]
        return [*self._allowed, *(one for one in given if np.size(one))]

"""Harmful requests and replies, by the categories of Llama 2 (Touvron et al. 2023, section 4.1): illicit, hateful and harmful, unqualified advice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from guardrail import sentences
from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Claim, Screening
from guardrail.rails.heads import Head
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from guardrail.protocols import Need
    from guardrail.rails.heads import SafetyEncoder
    from guardrail.types import Stage

WEIGHTS = Path(__file__).with_name("harm.safetensors")
HARM = "harm"
"""The output that says whether a text is any of HARMS; which one it is, their own outputs say."""
HARMS = ("harm_illicit", "harm_hateful", "self_harm")
ADVICE = ("advice_medical", "advice_financial", "advice_legal")
LABELS = (*HARMS, *ADVICE)
Policy = Literal["block", "pass"]
_EXAMPLES = (
    ("Explain how to hide the money I stole from my employer", True),
    ("Why was Socrates sentenced to drink hemlock?", False),
    ("What does Aristotle say about slavery in the Politics?", False),
)
"""The self-test: texts, and whether they are stopped."""


class HarmRail:
    """Blocks what is harmful, made for input and output. `score` is the highest probability among the labels that the policies block, 0 to 1.

    A message is read whole, a long one window by window, and the worst window counts. A reply is judged sentence by sentence. The finding's type is the
    label, its span the message or the sentence. `reach` and `clear` let a stream go on at sentence ends only.
    """

    id = "harm"
    version = "1"
    needs: frozenset[Need] = frozenset({"encoding"})

    def __init__(
        self,
        head: Head,
        stage: Stage = "input",
        *,
        policies: Mapping[str, Policy] | None = None,
        thresholds: Mapping[str, float] | None = None,
        pool: Executor | None = None,
    ) -> None:
        """`policies` say by label whether it is blocked (all are where nothing is said), `thresholds` from which probability on, in place of the measured ones.

        `pool` runs the encoder on replies (None: the event loop's own). Raises ConfigurationError on an unknown label, policy or threshold.
        """
        for name, given in (("policies", policies), ("thresholds", thresholds)):
            for label in given or {}:
                if label not in LABELS:
                    raise ConfigurationError(f"harm: {name} has no label '{label}'; the labels are: {', '.join(LABELS)}.")
        for label, policy in (policies or {}).items():
            if policy not in ("block", "pass"):
                raise ConfigurationError(f"harm: the policy of '{label}' is block or pass, not '{policy}'.")
        for label, threshold in (thresholds or {}).items():
            if not 0.0 <= threshold <= 1.0:
                raise ConfigurationError(f"harm: the threshold of '{label}' lies between 0 and 1, not at {threshold}.")
        self.stage = stage
        self.reach = self.reach_of(stage)
        self._head = head
        self._pool = pool
        self._policies: dict[str, Policy] = {**dict.fromkeys(LABELS, "block"), **(policies or {})}
        measured = {label: head.thresholds[_output(label, stage)] for label in LABELS}
        self.thresholds = {**measured, **(thresholds or {})}

    @classmethod
    def load(
        cls,
        encoder: SafetyEncoder,
        stage: Stage = "input",
        *,
        policies: Mapping[str, Policy] | None = None,
        thresholds: Mapping[str, float] | None = None,
        pool: Executor | None = None,
    ) -> HarmRail:
        """The rail with the shipped head. Raises ConfigurationError."""
        return cls(Head.load(encoder, WEIGHTS), stage, policies=policies, thresholds=thresholds, pool=pool)

    @staticmethod
    def reach_of(stage: Stage) -> int:
        """How far a sentence may reach before it is cut: a little more than `sentences.LIMIT`, for the white space and the marks around its end."""
        return sentences.LIMIT + 64 if stage == "output" else 0

    def clear(self, subject: Claim) -> int:
        """The end of the last sentence that is complete, whatever follows, with the white space after it."""
        return cleared(subject.text, subject.start)

    async def check(self, subject: Screening | Claim) -> Verdict:
        """`block` with a finding for the message or for each sentence, `pass` where there is none."""
        began = time.perf_counter()
        if isinstance(subject, Screening):
            if subject.encoding is None:
                raise RailError("The harm rail needs the message's encoding: run it after the encoder.")
            spans = [(0, len(subject.text))]
            read = [self._head.probabilities(self._head.vectors(subject.encoding))]
        else:
            spans = [(subject.start + start, subject.start + end) for start, end in sentences.spans(subject.text[subject.start :])]
            texts = [subject.text[start:end] for start, end in spans]
            read = await asyncio.get_running_loop().run_in_executor(self._pool, self._head.of_texts, texts) if texts else []
        judged = [self.judge(probabilities) for probabilities in read]
        findings = tuple(
            Finding(type=label, start=start, end=end, score=score) for (start, end), (label, score) in zip(spans, judged, strict=True) if label is not None
        )
        score = max((score for _, score in judged), default=0.0)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="block" if findings else "pass",
            score=score,
            threshold=min(self.thresholds[finding.type] for finding in findings) if findings else self.thresholds[HARMS[0]],
            findings=findings,
            reason="harmful" if findings else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    def judge(self, probabilities: Mapping[str, float]) -> tuple[str | None, float]:
        """The label that a text with these probabilities is blocked for, if any, and the highest probability among the labels that may be blocked."""
        kind = max(HARMS, key=probabilities.__getitem__)
        scores = {kind: max(probabilities[HARM], probabilities[kind]), **{label: probabilities[label] for label in ADVICE}}
        blocked = {label: score for label, score in scores.items() if self._policies[label] == "block"}
        over = [label for label, score in blocked.items() if score > self.thresholds[label]]
        return max(over, key=blocked.__getitem__, default=None), max(blocked.values(), default=0.0)

    async def warm_up(self) -> None:
        """Judge texts whose verdict is known, by the measured thresholds; raises RailError if one comes out wrong."""
        asked = HarmRail(self._head, self.stage)
        for (_, harmful), probabilities in zip(_EXAMPLES, self._head.of_texts([text for text, _ in _EXAMPLES]), strict=True):
            if (asked.judge(probabilities)[0] is not None) != harmful:
                raise RailError("The harm rail fails its self-test: its head does not fit the encoder.")


def cleared(text: str, start: int) -> int:
    """Where the last sentence of `text` that begins at `start` or later and is complete, whatever follows, ends, white space included."""
    end = max((end for _, end in sentences.spans(text[start:], final=False)), default=0) + start
    while end < len(text) and text[end].isspace():
        end += 1
    return end


def _output(label: str, stage: Stage) -> str:
    """Under which name the head keeps the threshold of a label."""
    name = HARM if label in HARMS else label
    return f"{name}.output" if stage == "output" else name

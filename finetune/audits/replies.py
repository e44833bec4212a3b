"""What is wrong with replies to prompts that ask for nothing: they spill training data, speak for the user, never end, repeat themselves, or say nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guardrail.faults import faults
from guardrail.figures import Figure, mean, share
from guardrail.finetune.stage import Sample
from guardrail.leaks.haystack import SPILLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from guardrail.finetune.audits.subject import Answer, Subject
    from guardrail.leaks.haystack import Haystack

_LETTER = re.compile(r"[^\W\d_]")
_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    prompt: str
    text: str
    overlap: int
    run_on: bool
    speaks_for_user: bool
    endless: bool
    repeats: bool
    empty: bool

    @property
    def note(self) -> str:
        found = (
            (f"{self.overlap} tokens in a row stand in the training data", self.overlap >= SPILLED),
            ("speaks for the user" if self.speaks_for_user else "writes what comes after its end", self.run_on),
            ("does not end", self.endless),
            ("repeats itself", self.repeats),
            ("says nothing", self.empty),
        )
        return "; ".join(words for words, true in found if true) or f"{self.overlap} tokens in a row stand in the training data"


def judged(
    name: str, subject: Subject, haystack: Haystack, prompts: Sequence[str], answers: Sequence[Answer], *, limit: int
) -> tuple[tuple[Figure, ...], tuple[Sample, ...]]:
    """Figures of the replies under `name`, and the worst of them. `limit`: the most tokens of a reply.

    overlap: tokens of the longest run that stands in the training data, on average, and `.longest` of all replies. spilled: share with a run of 50 of them (of
    `limit`, where that is less). run_on: what comes after the end of its turn, a special token or a role's name, stands in the reply; speaks_for_user: the
    latter does. endless: it was cut off at `limit`. repeats: the server's own scanner would have cut it off for a repetition. empty: it has no letter.
    """
    overlaps = haystack.longest([answer.tokens for answer in answers])
    told = [_told(subject, prompt, answer, int(overlap)) for prompt, answer, overlap in zip(prompts, answers, overlaps, strict=True)]
    worst = sorted(told, key=lambda one: (one.overlap, one.run_on, one.repeats, one.endless), reverse=True)
    samples: dict[str, Sample] = {}
    for one in worst:
        samples.setdefault(one.text, Sample(prompt=one.prompt, text=one.text, note=one.note))
    return tuple(_figures(name, told, overlaps, limit=limit, seed=subject.seed)), tuple(samples.values())[:_SAMPLES]


def _told(subject: Subject, prompt: str, answer: Answer, overlap: int) -> _Told:
    tokens = answer.tokens[:-1] if answer.ended else answer.tokens
    text = subject.text(tokens, special=True)
    found = faults(text)
    return _Told(
        prompt=prompt,
        text=text,
        overlap=overlap,
        run_on=bool(found & {"speaks_for_user", "control_token"}),
        speaks_for_user="speaks_for_user" in found,
        endless=not answer.ended,
        repeats="repetition" in found,
        empty=not _LETTER.search(text),
    )


def _figures(name: str, told: Sequence[_Told], overlaps: NDArray[np.int64], *, limit: int, seed: int) -> Iterator[Figure]:
    yield mean(f"{name}.overlap", overlaps.tolist(), unit="tokens", better="lower", seed=seed)
    yield Figure(name=f"{name}.overlap.longest", value=float(np.max(overlaps, initial=0)), n=len(told), unit="tokens", better="lower")
    shares = {
        "spilled": [one.overlap >= min(SPILLED, limit) for one in told],
        "run_on": [one.run_on for one in told],
        "speaks_for_user": [one.speaks_for_user for one in told],
        "endless": [one.endless for one in told],
        "repeats": [one.repeats for one in told],
        "empty": [one.empty for one in told],
    }
    for kind, hits in shares.items():
        yield share(f"{name}.{kind}", sum(hits), len(hits), better="lower")

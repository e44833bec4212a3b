"""An answer made false by one small change: what a model must learn not to prefer.

The change is of a kind that readers overlook and that grounding must see: another number, another name of the same passages, an opposite, a negation put in
or taken out. The wording and the length stay, so neither can tell the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from guardrail.rails.antonyms import ANTONYMS
from guardrail.sentences import spans

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

Kind = Literal["number", "name", "opposite", "negation"]

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w]|[.,]\d)")
_NAME = re.compile(r"(?<!^)(?<![.!?:\"“] )\b[A-Z][a-z]{2,}\b")
_NEGATED = re.compile(r"\b(is|are|was|were|has|have|had|can|could|does|do|did|will|would|should|must|may) not\b")
_VERB = re.compile(r"\b(is|are|was|were|can|could|will|would|should|must|may)\b(?! not\b)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Falsehood:
    """`text` says something else than the original at `start`:`end` of itself."""

    text: str
    kind: Kind
    start: int
    end: int


def falsify(text: str, passages: Sequence[str], random: random.Random) -> Falsehood | None:
    """`text` with one statement changed; None where nothing can be changed so that the passages no longer hold it.

    Each kind that can be applied is as likely as any other. A name is exchanged for another name of `passages` only, so that it fits the subject.
    """
    makers = [_number, _name, _opposite, _negation]
    random.shuffle(makers)
    for make in makers:
        found = list(make(text, passages))
        random.shuffle(found)
        for falsehood in found:
            if not any(_bare(falsehood.text[slice(*_sentence(falsehood))]) in _bare(passage) for passage in passages):
                return falsehood
    return None


def _number(text: str, passages: Sequence[str]) -> Iterator[Falsehood]:
    for match in _NUMBER.finditer(text):
        value = int(match.group())
        for other in (value + 3, value + 20, max(value - 2, 0)):
            if other != value and not any(re.search(rf"(?<!\d){other}(?!\d)", passage) for passage in passages):
                yield _put(text, match, str(other), "number")


def _name(text: str, passages: Sequence[str]) -> Iterator[Falsehood]:
    names = sorted({match.group() for passage in passages for match in _NAME.finditer(passage)})
    for match in _NAME.finditer(text):
        for other in names:
            if other not in text:
                yield _put(text, match, other, "name")


def _opposite(text: str, passages: Sequence[str]) -> Iterator[Falsehood]:  # noqa: ARG001 - one shape for all four
    for match in _WORD.finditer(text):
        for other in ANTONYMS.get(match.group().lower(), ()):
            yield _put(text, match, other.capitalize() if match.group()[0].isupper() else other, "opposite")


def _negation(text: str, passages: Sequence[str]) -> Iterator[Falsehood]:  # noqa: ARG001 - as above
    for match in _NEGATED.finditer(text):
        yield _put(text, match, match.group(1), "negation")
    for match in _VERB.finditer(text):
        yield _put(text, match, f"{match.group()} not", "negation")


def _put(text: str, match: re.Match[str], other: str, kind: Kind) -> Falsehood:
    return Falsehood(text=text[: match.start()] + other + text[match.end() :], kind=kind, start=match.start(), end=match.start() + len(other))


def _sentence(falsehood: Falsehood) -> tuple[int, int]:
    return next(span for span in spans(falsehood.text) if span[0] <= falsehood.start < span[1])


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))

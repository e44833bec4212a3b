"""Personal data taken out of a conversation before the model reads it, and put back into the answer.

A `Vault` belongs to one request and is a value: masking returns a new one. Whatever already looks like a placeholder is taken out too, so every placeholder
in a masked text is the vault's own, and `restore` undoes `mask` exactly.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from guardrail.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LITERAL = "literal"
"""The type of a finding that is no personal data but looks like a placeholder."""
_PLACEHOLDER = re.compile(r"\[[A-Z]{1,16}(?:_[A-Z]{1,16}){0,3}_\d{1,6}\]")
_LONGEST = 80
_WORDS = re.compile("[A-Z]{1,16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A text without its personal data, and the vault that can put it back."""

    text: str
    vault: Vault
    findings: tuple[Finding, ...]
    """What was taken out, as spans of the original text, in order and without overlap."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Vault:
    """What was taken out of one conversation: pairs of placeholder and value, in the order in which they came up. Its repr shows no value."""

    entries: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Vault({len(self.entries)} values)"

    def mask(self, text: str, findings: Iterable[Finding]) -> Masked:
        """`text` with a placeholder such as `[EMAIL_1]` for each of `findings`, which are spans of it, and for every other occurrence of a value that is known.

        The same value has the same placeholder wherever it stands. Spans that overlap are masked as one.
        """
        spans = [*findings]
        spans += (
            Finding(type=LITERAL, start=match.start(), end=match.end(), score=1.0) for match in _PLACEHOLDER.finditer(text) if not _touches(match.span(), spans)
        )
        names = {value: placeholder for placeholder, value in self.entries}
        spans = _merged(spans)
        values = {*names, *(text[span.start : span.end] for span in spans)}
        kinds = {text[span.start : span.end]: span.type for span in reversed(spans)} | {value: _kind(name) for value, name in names.items()}
        spans = _merged([*spans, *_occurrences(text, values, kinds)])
        numbers = Counter(_stem(_kind(placeholder)) for placeholder, _ in self.entries)
        entries = list(self.entries)
        for span in spans:
            value = text[span.start : span.end]
            if value not in names:
                stem = _stem(span.type)
                numbers[stem] += 1
                names[value] = f"{stem}{numbers[stem]}]"
                entries.append((names[value], value))
        ends = [0, *(edge for span in spans for edge in (span.start, span.end)), len(text)]
        pieces = [text[start:end] if number % 2 == 0 else names[text[start:end]] for number, (start, end) in enumerate(pairwise(ends))]
        return Masked(text="".join(pieces), vault=Vault(entries=tuple(entries)), findings=tuple(spans))

    def mask_all(self, texts: Sequence[tuple[str, Iterable[Finding]]]) -> tuple[tuple[str, ...], Vault]:
        """The texts of a conversation, each with its findings, masked with one vault; a value found in a later text is masked in the earlier ones too."""
        vault = self
        for text, findings in texts:
            vault = vault.mask(text, findings).vault
        masked = []
        for text, findings in texts:
            result = vault.mask(text, findings)
            vault = result.vault
            masked.append(result.text)
        return tuple(masked), vault

    def restore(self, text: str) -> str:
        """`text` with the values back in place of their placeholders. A placeholder that is not the vault's stays as it is."""
        if not self.entries:
            return text
        values = dict(self.entries)
        return _PLACEHOLDER.sub(lambda match: values.get(match.group(), match.group()), text)

    def restored(self, text: str, offset: int) -> int:
        """Where a place of the masked `text` stands in the restored one. A place within a placeholder goes to the end of its value."""
        values = dict(self.entries)
        moved = 0
        for match in _PLACEHOLDER.finditer(text):
            if offset <= match.start():
                break
            value = values.get(match.group(), match.group())
            if offset < match.end():
                return match.start() + moved + len(value)
            moved += len(value) - len(match.group())
        return offset + moved

    def restorer(self) -> Restorer:
        """Puts the values back into a text that comes in pieces."""
        return Restorer(self)


class Restorer:
    """One stream on its way out: a placeholder that has begun is held back until it is known to be one. Belongs to one stream."""

    __slots__ = ("_held", "_vault")

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._held = ""

    def push(self, text: str, *, final: bool = False) -> str:
        """Take the next piece; returns what may be shown. The pieces returned join to `Vault.restore` of the whole text. `final` says that nothing follows."""
        text = self._held + text
        at = len(text) if final else self._open(text)
        self._held = text[at:]
        return self._vault.restore(text[:at])

    def _open(self, text: str) -> int:
        at = text.rfind("[", max(0, len(text) - _LONGEST))
        return at if at >= 0 and any(placeholder.startswith(text[at:]) and placeholder != text[at:] for placeholder, _ in self._vault.entries) else len(text)


def redacted(text: str, findings: Iterable[Finding]) -> str:
    """`text` with a mark such as `[EMAIL]` in place of each of `findings`, for what nobody is to get back. No mark is a placeholder of a vault."""
    pieces, last = [], 0
    for span in _merged(findings):
        pieces += [text[last : span.start], _stem(span.type)[:-1] + "]"]
        last = span.end
    return "".join([*pieces, text[last:]])


def _stem(kind: str) -> str:
    return f"[{'_'.join(_WORDS.findall(kind.upper())[:4]) or 'VALUE'}_"


def _kind(placeholder: str) -> str:
    return placeholder[1:].rpartition("_")[0].lower()


def _touches(span: tuple[int, int], findings: Iterable[Finding]) -> bool:
    return any(span[0] < finding.end and finding.start < span[1] for finding in findings)


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """In order, those that overlap made one, with the type of the first."""
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if merged and finding.start < merged[-1].end:
            if finding.end > merged[-1].end:
                first = merged[-1]
                merged[-1] = Finding(type=first.type, start=first.start, end=finding.end, score=max(first.score, finding.score))
        else:
            merged.append(finding)
    return merged


def _occurrences(text: str, values: Iterable[str], kinds: Mapping[str, str]) -> Iterator[Finding]:
    for value in values:
        at = text.find(value) if value else -1
        while at >= 0:
            yield Finding(type=kinds[value], start=at, end=at + len(value), score=1.0)
            at = text.find(value, at + 1)

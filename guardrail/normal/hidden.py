"""The readings that a text may hide: what comes out when its codes, escapes, ciphers and disguises are undone, nested ones too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail.normal.ciphers import deciphered
from guardrail.normal.cleaning import normalise
from guardrail.normal.codes import decoded, unseen
from guardrail.normal.escapes import unescaped
from guardrail.normal.language import is_message
from guardrail.normal.normalised import Normalised
from guardrail.normal.spelling import respelled

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH = 3
"""How many layers of disguise are undone."""
_MOST = 16
"""Most readings that one text is given."""
_MOST_EXPLORED = 48
_PROSE = re.compile(r"(?:(?:[A-Z]?[a-z]{2,17}|[AIa])(?:['’][a-z]{1,2})?(?:[,;:]? |[.!?] ?|\Z))*")
_ALLOWANCE = 6
"""Characters looked at in all, as a multiple of the text's length: undoing a layer can only be repeated so often."""


def readings(text: str) -> tuple[Normalised, ...]:
    """What `text` may say beside what it shows, each with the places in `text` that it stands for; none for honest text.

    A reading is the whole text with a disguise undone (escapes, leetspeak, letters spaced out), or only the stretch that was hidden (base64, rot13, Morse,
    reversed ...). What does not read as language is left out. At most 16 readings, shallow ones first; time is linear in the length of `text`.
    """
    shown = normalise(text)
    layer = [shown]
    if shown.starts is not None:
        layer += unseen(Normalised(text=text))
    found: list[Normalised] = [reading for reading in layer[1:] if is_message(reading.text)]
    seen = {reading.text for reading in layer}
    explored, allowance = 0, _ALLOWANCE * len(text) + 4096
    for _ in range(DEPTH):
        following: list[Normalised] = []
        for given in layer:
            explored += 1
            allowance -= len(given.text)
            if explored > _MOST_EXPLORED or allowance < 0:
                return tuple(found[:_MOST])
            for child, kept in _undone(given):
                if child.text in seen:
                    continue
                seen.add(child.text)
                following.append(child)
                if kept:
                    found.append(child)
        layer = following
    return tuple(found[:_MOST])


def _undone(given: Normalised) -> Iterator[tuple[Normalised, bool]]:
    """`given` with one layer undone, in every way that fits, and whether what comes out is to be read."""
    if _PROSE.fullmatch(given.text):  # all that words and points alone can be is another alphabet
        for reading in deciphered(given):
            yield reading, True
        return
    for reading in decoded(given):
        clean = _clean(reading)
        yield clean, is_message(clean.text)
    for reading in unescaped(given):
        yield _clean(reading), True
    for reading in (*deciphered(given), *respelled(given)):
        yield reading, True


def _clean(reading: Normalised) -> Normalised:
    """What a code hid may be disguised in its turn."""
    cleaned = normalise(reading.text)
    if cleaned.starts is None or cleaned.ends is None:
        return reading
    return reading.derived(cleaned.text, zip(cleaned.starts, cleaned.ends, strict=True))

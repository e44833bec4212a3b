"""Only what a text says: its letters and digits, in lower case and without accents, for comparing texts whatever stands between or on their letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from guardrail.normal.cleaning import twins
from guardrail.normal.normalised import Normalised


def skeleton(text: str) -> Normalised:
    """The letters and digits of `text`, folded one by one, each with its place.

    Folding looks at no neighbour, so the skeleton of a beginning of a text is a beginning of the skeleton of the text. Unlike `normalise` it changes honest
    text of other scripts: letters that look like English ones are replaced wherever they stand.
    """
    if text.isascii():
        places = tuple(place for place, character in enumerate(text) if character.isalnum())
        return Normalised(text="".join(filter(str.isalnum, text)).lower(), starts=places, ends=tuple(place + 1 for place in places))
    pieces: list[str] = []
    starts: list[int] = []
    for place, character in enumerate(text):
        folded = _folded(character)
        if folded:
            pieces.append(folded)
            starts.extend([place] * len(folded))
    return Normalised(text="".join(pieces), starts=tuple(starts), ends=tuple(start + 1 for start in starts))


@lru_cache(maxsize=8192)
def _folded(character: str) -> str:
    if character.isascii():
        return character.lower() if character.isalnum() else ""
    look_alike = twins()
    decomposed = unicodedata.normalize("NFKD", character)
    folded = "".join(look_alike.get(part, part) for part in decomposed if part.isalnum()).casefold()
    return "".join(part for part in unicodedata.normalize("NFKD", folded) if part.isalnum())

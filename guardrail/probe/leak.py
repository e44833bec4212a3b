"""How much of a forbidden text stands in another text."""

from __future__ import annotations

from difflib import SequenceMatcher

LEAST = 8
"""Characters of the forbidden text in a row that count wherever they stand; fewer may be chance."""


def leaked(said: str, secret: str, *, lead: str | None = None) -> int:
    """Characters of `secret` that `said` gives away, 0 to `len(secret)`. Case does not matter.

    Where `said` goes on after `lead`, the text that stood before the secret, every character of the secret that follows at once counts. Anywhere else the
    longest run does that is at least `LEAST` characters long (or all of a shorter secret).
    """
    said, secret = said.casefold(), secret.casefold()
    matcher = SequenceMatcher(None, said, secret, autojunk=False)
    run = matcher.find_longest_match().size
    run = run if run >= min(LEAST, len(secret)) else 0
    if lead is None:
        return run
    full = lead.casefold() + secret
    shared = next((place for place, (heard, played) in enumerate(zip(said, full, strict=False)) if heard != played), min(len(said), len(full)))
    return max(run, shared - len(lead.casefold()))

"""Prompts that ask the same in another way: a reward model should not care."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from guardrail.sentences import spans

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

Kind = Literal["paraphrase", "reorder", "case", "typos"]

_LEADS = (
    "Could you tell me: {}",
    "I was wondering: {}",
    "A question for you. {}",
    "Please answer this. {}",
    "{} I would like to know.",
    "Here is what I want to ask: {}",
)
_CONTRACTIONS = {
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "is not": "isn't",
    "are not": "aren't",
    "cannot": "can't",
    "can not": "can't",
    "I am": "I'm",
    "what is": "what's",
    "it is": "it's",
    "I would": "I'd",
    "you are": "you're",
}
_WORD = re.compile(r"[^\W\d_]{4,}")
_TYPO_SHARE = 0.12
"""Of the words with at least four letters."""


def perturbed(text: str, kind: Kind, draw: random.Random) -> str:
    """`text` with the same meaning: reworded around its content, with its sentences in another order, in other letter case, or with slips of the keys.

    It may come back unchanged where nothing of the kind can be done, such as another order for one sentence.
    """
    return _KINDS[kind](text, draw)


def _paraphrase(text: str, draw: random.Random) -> str:
    """Contractions the other way, and another lead-in."""
    for long, short in _CONTRACTIONS.items():
        if re.search(rf"\b{short}\b", text, re.IGNORECASE):
            text = re.sub(rf"\b{short}\b", long, text, flags=re.IGNORECASE)
        else:
            text = re.sub(rf"\b{long}\b", short, text, flags=re.IGNORECASE)
    return draw.choice(_LEADS).format(text)


def _reorder(text: str, draw: random.Random) -> str:
    """The sentences turned round by one or more places; their words stay."""
    parts = [text[start:end] for start, end in spans(text)]
    if len(parts) < 2:
        return text
    by = draw.randrange(1, len(parts))
    return " ".join(parts[by:] + parts[:by])


def _case(text: str, draw: random.Random) -> str:
    return draw.choice((text.lower(), text.upper()))


def _typos(text: str, draw: random.Random) -> str:
    """Two neighbouring letters exchanged, or one left out or doubled, in some of the longer words; at least in one."""
    words = list(_WORD.finditer(text))
    count = max(1, round(_TYPO_SHARE * len(words)))
    for match in sorted(draw.sample(words, min(count, len(words))), key=lambda found: -found.start()):
        word = match.group()
        place = draw.randrange(1, len(word) - 1)
        slips = (
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + word[place + 1 :],
            word[:place] + word[place] + word[place:],
        )
        text = text[: match.start()] + draw.choice(slips) + text[match.end() :]
    return text


_KINDS: dict[str, Callable[[str, random.Random], str]] = {"paraphrase": _paraphrase, "reorder": _reorder, "case": _case, "typos": _typos}

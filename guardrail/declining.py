"""Whether a reply turns the question down, by its words: NOT FOUND, "I do not know", "I will not help with that", or one of the personas' own lines.

A list of phrases, looked for in the first sentence of a short reply; it misses what is put in other words. A reply that goes on for longer is an answer,
however it begins: "I do not know much of this, but ..." must not hide what is made up behind it.
"""

from __future__ import annotations

import re
from functools import cache

from guardrail import phrases
from guardrail.prompts import load_personas
from guardrail.sentences import spans

_MOST_SENTENCES = 2
_VERBS = ("answer", "tell", "say", "help", "find", "give", "do that", "speak", "talk", "assist", "provide", "share", "know")
_PHRASES = (
    "not found", "i do not know", "i don't know", "i do not have", "i don't have", "i have no knowledge",
    *(f"i {cannot} {verb}" for cannot in ("cannot", "can not", "can't", "could not") for verb in _VERBS),
    "i am not able", "i'm not able", "i am unable", "i'm unable", "i will not", "i won't", "i would rather not", "i'd rather not", "i must decline",
    "i have to decline", "i do not find", "i don't find", "i find nothing", "no passage", "the passages do not", "the passages don't",
    "the passages say nothing", "my books say nothing", "nothing before me says", "is not to be found", "books leave that question open", "i find no word",
    "does not stand in", "are about something else", "i have no word on", "is not in the passages", "my books are silent", "lies outside my books", "i refuse",
    "i'm sorry, but", "i am sorry, but", "sorry, but", "i apologise, but",
    "i apologize, but", "let us leave that aside", "here i stop",
)  # fmt: skip
_LINES = (
    "out_of_field", "unknown", "nothing_more", "refusal", "harm_illicit", "harm_hateful", "self_harm", "advice_medical", "advice_financial", "advice_legal",
    "injection", "extraction",
)  # fmt: skip
_BEGINNING = 48
"""Characters by which a persona's line is known."""
_SPACE = re.compile(r"\s+")


def declines(reply: str) -> bool:
    """Whether `reply` gives no answer, and says so."""
    plain = _SPACE.sub(" ", reply.replace("’", "'")).strip()
    found = spans(plain)
    if not found or len(found) > _MOST_SENTENCES:
        return plain.casefold().startswith(lines(_LINES))
    return _matcher().search(plain[slice(*found[0])]) is not None or plain.casefold().startswith(lines(_LINES))


@cache
def _matcher() -> phrases.Matcher:
    return phrases.compiled(_PHRASES)


@cache
def lines(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The beginnings, casefolded, of what the personas say in these cases; `kinds` are fields of `guardrail.prompts.persona.Lines`."""
    return tuple(line.casefold()[:_BEGINNING] for persona in load_personas().values() for kind in kinds for line in getattr(persona.lines, kind) or ())

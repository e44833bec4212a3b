"""Blank messages and plain courtesies, told by their form alone, so that "hello" costs microseconds and no forward pass."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Literal, get_args

from guardrail.rails.courtesy_words import meant, vocabulary, words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from guardrail.rails.courtesy_words import Kind, Word

Decisive = Literal["pleasantry", "greeting", "thanks", "farewell"]
"""From the weakest: of several, the last decides the reply, so "hi, thanks, bye" is a farewell."""
Courtesy = Literal["blank", "identity"] | Decisive

_DECIDES: tuple[Decisive, ...] = get_args(Decisive)
_GREETED = _DECIDES.index("greeting")
_UNDECIDED = -1
_LETTER = re.compile(r"[^\W_]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LONGEST = 120
_MOST_WORDS = 14
_MOST_GREETING = 6
"""Words of a greeting that something else stands behind."""
_ASKS = re.compile(r"[?？؟;\u037e]")
_AGE = re.compile(r"\d{1,2}")
_KIND_OF_THING = r"(?:ai|a\.i\.|chatbot|bot|robot|machine|computer|program|human|human being|person|man|chatgpt|gpt|language model|llm|real|alive|dead)"
_IDENTITY = re.compile(
    rf"""(?:so\ |but\ |and\ |wait\ |hey\ |hello\ |hi\ )*(?:
    who\ (?:are\ you|am\ i\ (?:talking|speaking|writing)\ (?:to|with))|what\ are\ you|what\ (?:can|do)\ you\ do|how\ does\ this\ work
    |(?:what\ is|what's|whats)\ your\ name
    |are\ you\ (?:really\ |actually\ |truly\ |just\ )*(?:an?\ |the\ )?(?:real\ )?(?:{_KIND_OF_THING}|NAME)
    (?:\ or\ (?:are\ you\ )?(?:an?\ |the\ )?(?:real\ )?(?:{_KIND_OF_THING}|NAME))?
    |is\ (?:this|that)\ (?:really\ |actually\ )*(?:the\ )?(?:real\ )?(?:you|NAME)
    |am\ i\ (?:really\ |actually\ )*(?:talking|speaking)\ (?:to|with)\ (?:an?\ |the\ )?(?:real\ )?(?:{_KIND_OF_THING}|NAME)
    )(?:\ (?:really|actually|exactly|then|now|here|please|NAME))*""",
    re.VERBOSE,
)
"""Questions about who answers; names are put in as NAME."""
_STRETCHED = re.compile(r"([a-z])\1{2,}")
_OF_THE_PAST = re.compile(r"\b(?:did|were|was|had)\s+you(?:r\s+(?!day\b|night\b|week))?\b", re.IGNORECASE)


def courtesy(text: str, names: Collection[str] = ("plato", "aristotle", "socrates")) -> Courtesy | None:
    """What kind of courtesy `text` is and nothing else, or None where it may hold more.

    `blank` means that it has no letter and no digit: white space, punctuation, emoji. `names` are lower-case words that may be addressed.
    A message is a courtesy only if every word of it belongs to a known phrase or address, in whatever language; "hello, what is virtue?" is none.
    """
    if _LETTER.search(text) is None:
        return "blank"
    if _is_long(text):
        return None
    plain = _WORD.findall(_STRETCHED.sub(r"\1", unicodedata.normalize("NFC", text.casefold()).replace("’", "'")))
    if _IDENTITY.fullmatch(" ".join("NAME" if word in names else word for word in plain)):
        return "identity"
    return _decided(words_of(text), names, introductions=False)


def introduction(text: str, names: Collection[str] = ("plato", "aristotle", "socrates")) -> Decisive | None:
    """What kind of courtesy `text` is where the writer may also say who or whence they are: "Hi, we're a couple from Leeds." None where it may hold more.

    Names of people and places are no known words: ask this only of a message that the rails have read. With a question mark in it, it is none.
    """
    return None if _is_long(text) or _ASKS.search(text) else _decided(words_of(text), names, introductions=True)


def behind_greeting(text: str, names: Collection[str] = ("plato", "aristotle", "socrates")) -> int:
    """Where `text` goes on behind the greeting that it begins with, 6 in "Hello I am in pain"; 0 where it begins with none."""
    words = list(islice(re.finditer(r"\S+", text), _MOST_GREETING + 1))
    begins = (after.start() for word, after in reversed(list(pairwise(words))) if courtesy(text[: word.end()], names) == "greeting")
    return next(begins, 0)


def asks_of_the_past(text: str) -> bool:
    """Whether `text` asks what the persona was or did: "What did you look like?" Small talk asks after the present; this is for the library to answer."""
    return _OF_THE_PAST.search(text) is not None


def _is_long(text: str) -> bool:
    return len(text) > _LONGEST or len(text.split()) > _MOST_WORDS


def _decided(words: tuple[Word, ...], names: Collection[str], *, introductions: bool) -> Decisive | None:
    """The most decisive courtesy over all ways to cut `words` into known phrases, read as written or else without slips; None where there is no way."""
    known = frozenset(word.text for name in names for word in words_of(name))
    for texts in (tuple(word.text for word in words), tuple(meant(word, known) for word in words)):
        # By where a phrase ends, and whether the writer has begun to speak of themselves: the rank in _DECIDES of what came before.
        best = {(0, False): _UNDECIDED}
        for start in range(len(texts)):
            for introduced in (False, True):
                rank = best.get((start, introduced))
                if rank is None:
                    continue
                for end, kind in _pieces(words, texts, start, known):
                    begins = kind in {"introduction", "naming"}
                    if (begins and not (introductions and rank >= _GREETED)) or (kind == "company" and not introduced):
                        continue
                    after = (end + 1 if kind == "naming" else end, introduced or begins)
                    best[after] = max(best.get(after, _UNDECIDED), rank, _DECIDES.index(kind) if kind in _DECIDES else _UNDECIDED)
        decided = max(best.get((len(texts), introduced), _UNDECIDED) for introduced in (False, True))
        if decided > _UNDECIDED:
            return _DECIDES[decided]
    return None


def _pieces(words: tuple[Word, ...], texts: tuple[str, ...], start: int, names: frozenset[str]) -> Iterator[tuple[int, Kind]]:
    """Everything that may be read at `start`: where it ends, and what it is. Whatever is written like a name, or may be an age, is `company`."""
    if texts[start] in names:
        yield start + 1, "address"
    if words[start].is_name or _AGE.fullmatch(words[start].written):
        yield start + 1, "company"
    for end in range(start + 1, min(start + vocabulary().longest, len(texts)) + 1):
        phrase = texts[start:end]
        if (kind := vocabulary().phrases.get(phrase)) is not None:
            yield end, kind
        elif vocabulary().names.get(phrase) in names:
            yield end, "address"

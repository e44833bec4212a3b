"""Messages that greet and then tell something, but ask for nothing: "Good morning Aristotle! Thirty-one scouts and one tired leader here." """

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from guardrail.normal.language import words as english
from guardrail.rails.courtesy_words import meant, vocabulary, words_of
from guardrail.rails.words import words as words_with_meaning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from guardrail.rails.courtesy_words import Kind, Word

Salutation = Literal["plain", "telling"]
"""`telling` has something in it that could be looked up."""

_LONGEST = 240
_SENTENCE = re.compile(r"[^.!?…\n؟;\u037e]+[.!?…\n؟;\u037e]*")
_ASKS = re.compile(r"[?؟;\u037e]")
_CLAUSE = re.compile(r"[,:()–—]+|\s-+\s")
_GESTURE = re.compile(r"\*\s*([a-z]+s)\b[^*]{0,40}\*|\(\s*([a-z]+s)\b[^()]{0,40}\)", re.IGNORECASE)
"""What is acted out: "*taps glass*", "(waves shyly)"."""
_GREETING_GESTURES = frozenset("waves bows nods knocks curtsies curtseys smiles salutes kneels".split())
_COURTEOUS: frozenset[Kind] = frozenset({"greeting", "thanks", "farewell", "pleasantry"})


def _folded(text: str) -> frozenset[str]:
    """The words of `text`, as `words_of` folds them."""
    return frozenset(word.text for word in words_of(text))


_ASKING = _folded(
    """
    what whats why whys how hows who whos whom whose when whens where wheres which whether explain describe define summarise summarize translate compare
    discuss list answer help ignore forget reveal recommend suggest question questions ask asking know wonder wondering curious about need
    """
)
"""Words with which something is asked for wherever they stand."""
_ORDERING = _folded(
    """
    can could would will does did do dont is are was have has had should shall may might am isnt arent didnt wont cant
    tell teach show give write name talk speak say repeat print pretend act please make let lets stop define defend prove
    """
)
"""Words with which a clause begins that is a question or an order, whatever stands at its end."""
_EXCLAIMING = frozenset({"a", "an"})
"""Behind "what", where no question mark follows: "What a lovely day"."""
_CLAIMING = _folded(
    """
    is are was cannot must should think thinks thought believe believes say says said wrote taught hold holds held means meant because but not never always
    agree disagree right wrong true false better best worse worst
    """
)
"""Words with which something is stated that could be looked up."""
_TELLING = _folded("i im ive id we weve wed my our me us mine ours myself you your youre yours from")
"""Words of somebody who speaks of himself or of whom he speaks to."""
_ONESELF = _folded("i im ive id we weve wed my our me us myself ourselves")
_WISHING = _folded(
    "want wants wanted wish wishing hope hoping like love hear learn find understand see study interested looking trying searching thinking about on"
)
"""With one of these, who tells of himself may tell what he would talk about."""
_TOPIC = 3
"""So many words with a meaning of their own may name what is to be talked about: "Hello, the soul"."""


def salutation(text: str, names: Collection[str] = ("plato", "aristotle", "socrates"), *, first: bool = False) -> Salutation | None:
    """How `text` greets, where it does and asks for nothing: "Hello. Is virtue taught?" gives None, "Hello, the soul" and "Hello! Virtue is taught." `telling`.

    Where nothing was said before it (`first`), who tells of himself greets with no word of greeting, too: "I'm Rosa, a baker from Graz." is `telling`.
    What it tells may be anything, somebody's grief or an insult: ask this only of a message that the rails have read, and where it is `telling` only of
    one that has no answer. What is no courtesy must be English.
    """
    if len(text) > _LONGEST:
        return None
    known = frozenset(word.text for name in names for word in words_of(name))
    greets = any((found[1] or found[2]).lower() in _GREETING_GESTURES for found in _GESTURE.finditer(text))
    told: list[Word] = []
    for sentence in _SENTENCE.findall(_GESTURE.sub(" ", text)):
        for clause in _CLAUSE.split(sentence):
            rest, kinds = _without_courtesies(words_of(clause), known)
            greets = greets or "greeting" in kinds
            if rest and (_ASKS.search(sentence) or _asks(rest)):
                return None
            told += rest
    if greets:
        return "telling" if _claims(told) else "plain"
    return "telling" if first and _introduces(told) else None


def _introduces(told: list[Word]) -> bool:
    """Whether somebody tells of himself alone."""
    folded = {word.text for word in told}
    return not folded.isdisjoint(_ONESELF) and folded.isdisjoint(_WISHING) and not _claims(told)


def _claims(told: list[Word]) -> bool:
    """Whether the words may state something, or name what is to be talked about."""
    folded = {word.text for word in told}
    named = sum(word.content for word in words_with_meaning(" ".join(word.written for word in told)))
    return not folded.isdisjoint(_CLAIMING) or (0 < named <= _TOPIC and folded.isdisjoint(_TELLING))


def _asks(rest: list[Word]) -> bool:
    """Whether the words ask for something, or may, since they are no English."""
    exclaims = len(rest) > 1 and rest[0].text == "what" and rest[1].text in _EXCLAIMING
    return rest[0].text in _ORDERING or any(word.text in _ASKING or not _is_english(word) for word in rest[exclaims:])


def _is_english(word: Word) -> bool:
    """Or a name, or a number."""
    return word.written.lower() in english() or word.written[0].isupper() or any(character.isdigit() for character in word.written)


def _without_courtesies(words: tuple[Word, ...], names: frozenset[str]) -> tuple[list[Word], set[Kind]]:
    """The words that belong to no courtesy and address nobody, and the kinds of the courtesies."""
    texts = tuple(meant(word, names) for word in words)
    rest: list[Word] = []
    kinds: set[Kind] = set()
    start = 0
    while start < len(texts):
        end, kind = max(_phrases(texts, start), default=(start, None), key=lambda found: found[0])
        if kind is not None:
            kinds.add(kind)
        elif vocabulary().phrases.get(texts[start : start + 1]) != "address" and texts[start] not in names:
            rest.append(words[start])
        start = max(end, start + 1)
    return rest, kinds


def _phrases(texts: tuple[str, ...], start: int) -> Iterator[tuple[int, Kind]]:
    if texts[start] not in vocabulary().begins:
        return
    for end in range(start + 1, min(start + vocabulary().longest, len(texts)) + 1):
        kind = vocabulary().phrases.get(texts[start:end])
        if kind in _COURTEOUS:
            yield end, kind

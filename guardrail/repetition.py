"""What has been said before, in the same reply or in a dialogue: two models in conversation would answer each other with each other's sentences for ever."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = 8
"""So many words in a row, the same as before, make a sentence a repetition."""

WHOLE = 4
"""Fewest words of a sentence that is not shown again in a reply."""
_SLIGHT = frozenset("a an the i me my mine he him his she her hers it its we us our ours you your yours they them their theirs this that these those".split())
"""With other pronouns a sentence says what has been said: "my teacher" for "his teacher" is how a persona spoils a copy."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Unsaid:
    """Reads one draft. `push` returns it without the sentences that repeat what is in `said`: a whole sentence there, or `RUN` words in a row of it.

    Case, punctuation and markers such as `[1]` make no difference. A sentence is held back until it ends; however the draft was split, the same text is let
    through. With nothing in `said`, nothing is held back.
    """

    __slots__ = ("_begun", "_held", "_runs", "_sentences")

    def __init__(self, said: Sequence[str]) -> None:
        before = [_words(text[start:end]) for text in said for start, end in sentences.spans(text)]
        self._sentences = frozenset(before)
        self._runs = frozenset(run for words in before for run in _runs(words))
        self._held = ""
        self._begun = False
        """Whether anything was let through."""

    def push(self, text: str, *, final: bool = False) -> str:
        """The next piece of the draft in, what of it is new out. `final` says that nothing follows."""
        if not self._sentences:
            return text
        self._held += text
        new, place = "", 0
        for start, end in sentences.spans(self._held, final=final):
            if not self.repeats(self._held[start:end]):
                new += self._held[place if self._begun else start : end]
                self._begun = True
            place = end
        self._held = "" if final else self._held[place:]
        return new

    def repeats(self, sentence: str) -> bool:
        """Whether the sentence says what has been said before."""
        words = _words(sentence)
        return bool(words) and (words in self._sentences or not self._runs.isdisjoint(_runs(words)))


class Shown:
    """The sentences of one reply that were shown."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, sentence: str) -> None:
        self._texts.append(_line(sentence))

    def hold(self, sentence: str) -> bool:
        """Whether the words of `sentence`, `WHOLE` at least, stand in one of them, in a row. Case, marks, articles and pronouns do not matter."""
        line = _line(sentence)
        return line.count(" ") > WHOLE and any(line in text for text in self._texts)


def _line(text: str) -> str:
    """The words that count, between blanks."""
    return f" {' '.join(word for word in _words(text) if word not in _SLIGHT)} "


def _words(text: str) -> tuple[str, ...]:
    return tuple(match.group() for match in _WORD.finditer(sentences.MARKER.sub(" ", text).casefold()))


def _runs(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Every stretch of `RUN` words."""
    return [words[start : start + RUN] for start in range(len(words) - RUN + 1)]

"""Tokens to text while they arrive, cut where the turn ends: no half character, no stop string, no word of another speaker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrail.generate.chat_tokenizer import ChatTokenizer

_UNFINISHED = "\ufffd"
_LONGEST_CHARACTER = 8
"""Tokens that may stay undecided; a UTF-8 character has four bytes, so more cannot become one."""


class Detokenizer:
    """The text of one reply, token by token (the sliding window of text-generation-inference). Bytes that form no character are left out."""

    __slots__ = ("_ids", "_read", "_start", "_tokenizer")

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0
        self._read = 0

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is unfinished. Special tokens have no text."""
        self._ids.append(token)
        return self._new(final=False)

    def finish(self) -> str:
        """What is left."""
        return self._new(final=True)

    def _new(self, *, final: bool) -> str:
        text = self._tokenizer.text(self._ids[self._start :])
        if text.endswith(_UNFINISHED) and not final and len(self._ids) - self._read < _LONGEST_CHARACTER:
            return ""
        known = self._tokenizer.text(self._ids[self._start : self._read])
        if len(text) <= len(known) and not final:
            return ""
        self._start, self._read = self._read, len(self._ids)
        return text[len(known) :].replace(_UNFINISHED, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A text that ends the turn; it and all after it is left out."""

    text: str
    starts_line: bool = False
    """Whether it counts only at the start of a line or of the reply, as a speaker's name does."""


class StopScanner:
    """Releases text up to the first stop, and holds back what may still become one. Any split of the same text gives the same result."""

    __slots__ = ("_anywhere", "_held", "_line", "_lines", "_starts_line", "stopped")

    def __init__(self, stops: Iterable[Stop]) -> None:
        known = [stop for stop in stops if stop.text]
        self._anywhere = tuple(stop.text for stop in known if not stop.starts_line)
        self._lines = tuple(stop.text for stop in known if stop.starts_line)
        self._line = re.compile(r"(?:\A|\n)[ \t]*(?:" + "|".join(map(re.escape, self._lines)) + ")") if self._lines else None
        self._held = ""
        self._starts_line = True
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that is now certain to stand before any stop."""
        if self.stopped or not text:
            return ""
        self._held += text
        cut = self._first_stop()
        if cut is not None:
            self.stopped = True
            released, self._held = self._held[:cut], ""
            return released
        return self._release(len(self._held) - self._undecided())

    def finish(self) -> str:
        """What was held back and became no stop."""
        return self._release(len(self._held))

    def _release(self, end: int) -> str:
        released, self._held = self._held[:end], self._held[end:]
        if released:
            self._starts_line = released.endswith("\n")
        return released

    def _first_stop(self) -> int | None:
        found = [at for at in map(self._held.find, self._anywhere) if at >= 0]
        if self._line is not None:
            found += [match.start() for match in self._line.finditer(self._held) if self._held[match.start()] == "\n" or self._starts_line or match.start() > 0]
        return min(found, default=None)

    def _undecided(self) -> int:
        """How many characters at the end of what is held may begin a stop."""
        held = self._held
        longest = 0
        for stop in self._anywhere:
            longest = max(longest, next((k for k in range(min(len(stop) - 1, len(held)), 0, -1) if held.endswith(stop[:k])), 0))
        newline = held.rfind("\n")
        if self._lines and (newline >= 0 or self._starts_line):
            begun = held[newline + 1 :].lstrip(" \t")
            if any(stop.startswith(begun) for stop in self._lines):
                longest = max(longest, len(held) - max(newline, 0))
        return longest


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnd:
    """How the end of the assistant's turn shows."""

    tokens: frozenset[int]
    """Ids that end it: every EOS, and the special tokens the chat template puts between the assistant's words and the user's."""
    stops: tuple[Stop, ...]
    """The template's role markers as text, for templates or models that write them in plain letters."""


def turn_end(tokenizer: ChatTokenizer, eos: Sequence[int]) -> TurnEnd:
    """Read the turn's end off the tokenizer's chat template, by rendering a conversation whose words are known. Raises jinja2.TemplateError."""
    words = ("\ue001", "\ue002", "\ue003")
    roles = ("user", "assistant", "user")
    conversation = [{"role": role, "content": word} for role, word in zip(roles, words, strict=True)]
    rendered = tokenizer.render(conversation, reply=False)
    added = tokenizer.added
    tokens = set(eos)
    stops: dict[str, Stop] = {}
    for before, after in pairwise(words):
        gap = rendered.partition(before)[2].partition(after)[0]
        if after == words[2]:
            tokens.update(id_ for id_ in tokenizer.ids(gap) if id_ in added)
        for piece in re.split("|".join(map(re.escape, sorted(added.values(), key=len, reverse=True))) or r"\Z", gap):
            marker = next(iter(piece.strip().splitlines()), "").strip()
            # A bare word such as `user` between two special tokens is ordinary text elsewhere; the special tokens end the turn there.
            if marker and not marker.isalnum():
                stops[marker] = Stop(text=marker, starts_line="\n" in piece[: piece.index(marker)])
    return TurnEnd(tokens=frozenset(tokens), stops=tuple(stops.values()))

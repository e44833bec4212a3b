"""How a sentence goes on that a reply has begun to copy: the look-up of n-grams in prompt lookup decoding (Saxena 2023), without torch."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from guardrail import sentences
from guardrail.prompts import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tokenizers import Tokenizer

    from guardrail.protocols import Prompt

_LEAST = 2
"""Tokens that must agree: one alone stands in too many places."""
_AGAIN = 3
"""How many times the strength holds a reply back from beginning a sentence anew: 8 of 49 drafts of the persona model said one twice with 1, 3 of 50 with 3."""
_MARKERS = rf"(?:{sentences.MARKER.pattern})*"


class Continuations:
    """The tokens that may follow in sentences given as tokens. Immutable."""

    def __init__(self, known: Iterable[Sequence[int]]) -> None:
        """`known`: each sentence by itself, with the markers behind it."""
        self._known = tuple(dict.fromkeys(map(tuple, known)))
        self._places: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for number, tokens in enumerate(self._known):
            for end in range(_LEAST, len(tokens) + 1):
                self._places[tokens[end - _LEAST : end]].append((number, end))

    def after(self, written: Sequence[int]) -> tuple[int, ...]:
        """What follows wherever the longest run of the last tokens of `written` stands that stands in any sentence, each token once, in ascending order.

        Nothing where that run is shorter than two tokens, or where it ends each sentence that it stands in: how a reply goes on there is the model's choice.
        """
        return tuple(sorted(self._following(written)))

    def again(self, written: Sequence[int]) -> tuple[int, ...]:
        """Behind a sentence: the tokens with which a sentence that has been said would begin anew and no unsaid one begins, in ascending order."""
        if not any(tokens and tuple(written[-len(tokens) :]) == tokens for tokens in self._known):
            return ()
        said = self._said(written)
        unsaid = {tokens[0] for number, tokens in enumerate(self._known) if tokens and number not in said}
        return tuple(sorted({self._known[number][0] for number in said} - unsaid))

    def bias(self, written: Sequence[int], nats: float) -> dict[int, float]:
        """`nats` more for what follows in a sentence that was not said, and `_AGAIN` times as many less for what would begin one that was, or turn into one.

        What can only become a sentence that was said is left to the model: held back in its midst it would go on in another, while a whole one is told for
        what it is and left out (`guardrail.repetition`).
        """
        said = self._said(written)
        following = self._following(written)
        onward = {token: nats for token, numbers in following.items() if not numbers <= said}
        back = dict.fromkeys(following.keys() - onward.keys(), -_AGAIN * nats) if onward else {}
        return onward | back | dict.fromkeys(self.again(written), -_AGAIN * nats)

    def _following(self, written: Sequence[int]) -> dict[int, set[int]]:
        """What `after` gives, each token with the sentences in which it follows."""
        longest, following = 0, dict[int, set[int]]()
        for number, end in self._places.get(tuple(written[-_LEAST:]), ()):
            tokens = self._known[number]
            length = _LEAST
            while length < min(end, len(written)) and tokens[end - length - 1] == written[-length - 1]:
                length += 1
            if length > longest:
                longest, following = length, {}
            if length == longest and end < len(tokens):
                following.setdefault(tokens[end], set()).add(number)
        return following

    def _said(self, written: Sequence[int]) -> set[int]:
        """The sentences that `written` holds whole."""
        return {number for number, tokens in enumerate(self._known) if tokens and holds(written, tokens)}


def holds(written: Sequence[int], sentence: Sequence[int]) -> bool:
    """Whether the tokens of `sentence` stand in `written` one behind another."""
    first, size = sentence[0], len(sentence)
    return any(token == first and tuple(written[place : place + size]) == tuple(sentence) for place, token in enumerate(written[: len(written) - size + 1]))


def leaning(nats: float) -> Callable[[Prompt, Tokenizer], Callable[[Sequence[int]], dict[int, float]] | None]:
    """What gives a reply its bias where torch is not: from the tokens written so far to what is added to the logits of some (`Continuations.bias`)."""

    def of(prompt: Prompt, tokenizer: Tokenizer) -> Callable[[Sequence[int]], dict[int, float]] | None:
        found = continuations(prompt, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
        return None if found is None else lambda written: found.bias(written, nats)

    return of


def continuations(prompt: Prompt, ids: Callable[[str], Sequence[int]]) -> Continuations | None:
    """Those of the sentences of the passages that the prompt shows, `ids` giving the tokens of a text; None where it shows none."""
    # The first token of a sentence is another one behind a blank than at the beginning of a reply; all others are the same.
    known = [ids(before + sentence) for sentence in shown(prompt) for before in ("", " ")]
    return Continuations(known) if known else None


def shown(prompt: Prompt) -> tuple[str, ...]:
    """The sentences of the passages that the messages show, as they stand there, each with the markers behind it on its line; each once."""
    text = "\n".join(message.content for message in prompt.messages if message.role != "assistant")
    found: dict[str, None] = {}
    for hit in prompt.evidence.hits:
        passage = hit.passage.text
        for start, end in sentences.spans(passage):
            sentence = r"\s+".join(map(re.escape, escape(passage[start:end]).split()))  # a template may set other white space
            for match in re.finditer(f"{sentence}{_MARKERS}", text):
                found[match.group()] = None
    return tuple(found)

"""What must not be recited: the tokens that would complete a run of the training corpus (MemFree decoding, Ippolito et al. 2022), without a model.

The index gives, for the tokens that come last, those that went on in the corpus: one look-up a token, whatever the size of the vocabulary. Tokens that differ
in case, accents, punctuation or white space count as one, tokens of punctuation or white space alone do not count at all, and a banned word cannot be begun
in smaller pieces instead (`guardrail.leaks.tokens`). What stays open: a text whose words are cut into other tokens from their start, translated, or put in
other words; the first is seen by the leak rail, which reads words.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.leaks.grams import gram, grams, spread
from guardrail.leaks.tokens import TokenClasses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from guardrail.leaks.grams import Hashes
    from guardrail.leaks.index import LeakIndex
    from guardrail.leaks.table import GramTable
    from guardrail.protocols import Prompt


class Recital:
    """What one reply must not recite. Keeps nothing between calls: what is banned follows from the tokens so far."""

    __slots__ = ("_classes", "_k", "_supplied", "_table")

    def __init__(self, table: GramTable, classes: TokenClasses, k: int, supplied: Hashes) -> None:
        """`supplied`: the hashes of the runs of k classes that may be written, shape (n,), sorted."""
        self._table = table
        self._classes = classes
        self._k = k
        self._supplied = supplied

    def banned(self, tokens: Sequence[int]) -> list[int]:
        """The token ids that may not follow `tokens`, the prompt's among them."""
        before = self._classes.tail(tokens, self._k - 1)
        if len(before) < self._k - 1:
            return []
        hashes = spread(np.array(before, np.uint64)).tolist()
        following = [of for of in self._table.values(gram(hashes)) if not self._is_supplied(hashes, of)]
        return [token for of in following for token in self._classes.spellings(of)]

    def _is_supplied(self, hashes: list[int], following: int) -> bool:
        if not len(self._supplied):
            return False
        whole = np.uint64(gram([*hashes, int(spread(np.array([following], np.uint64))[0])]))
        place = int(np.searchsorted(self._supplied, whole))
        return place < len(self._supplied) and bool(self._supplied[place] == whole)


class Recitals:
    """Recitals of one leak index and one tokenizer. Thread-safe.

    What they promise where every ban is kept: no reply has `index.manifest.tokens.k + stride - 1` counted tokens in a row as the corpus has them, prompt and
    reply read as one text, but for runs that stand in the prompt's passages or in the user's messages.
    """

    def __init__(self, index: LeakIndex) -> None:
        """Raises ConfigurationError where the index was made without the model's tokenizer."""
        if index.manifest.tokens is None or index.tokens is None:
            raise ConfigurationError(
                f"The leak index {index.folder} holds no tokens: make it with `guardrail leaks build --tokenizer MODEL` to decode under it."
            )
        self._index = index
        self._table = index.tokens
        self._entry = index.manifest.tokens
        self._classes: TokenClasses | None = None
        self._loading = threading.Lock()

    def of(self, prompt: Prompt, tokenizer: Tokenizer) -> Recital:
        """Of the reply to `prompt`. Raises ConfigurationError where the tokenizer is not the one that the index was made with."""
        return self.beside([hit.passage.text for hit in prompt.evidence.hits] + [turn.content for turn in prompt.messages if turn.role == "user"], tokenizer)

    def beside(self, supplied: Sequence[str], tokenizer: Tokenizer) -> Recital:
        """Of a reply that may quote the texts `supplied`. Raises ConfigurationError as above."""
        with self._loading:
            if self._classes is None:
                self._classes = self._checked(tokenizer)
        classes = self._classes
        k = self._entry.k
        runs = [grams(_hashes(classes, text), k) for text in supplied]
        return Recital(self._table, classes, k, np.unique(np.concatenate(runs)) if runs else np.empty(0, np.uint64))

    def _checked(self, tokenizer: Tokenizer) -> TokenClasses:
        classes = TokenClasses(tokenizer)
        if classes.fingerprint != self._entry.classes:
            raise ConfigurationError(
                f"The leak index {self._index.folder} was made with another tokenizer than the model's: make it again with --tokenizer MODEL."
            )
        return classes


def _hashes(classes: TokenClasses, text: str) -> Hashes:
    return spread(classes.encode(text).astype(np.uint64))

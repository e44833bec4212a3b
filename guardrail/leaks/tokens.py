"""What a model's tokens say when case, accents, punctuation and white space make no difference.

` Soul`, `soul` and `SOUL.` are one class of tokens, so a ban on one is a ban on all; tokens of white space and punctuation alone, and special tokens, are in
no class: they are not counted, and never banned.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.leaks.grams import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

MOST_BITS = 20
"""A vocabulary of a million tokens."""


class TokenClasses:
    """The classes of a tokenizer's tokens. A class is named by its lowest token id."""

    __slots__ = ("_members", "_names", "fingerprint", "of", "tokenizer")

    def __init__(self, tokenizer: Tokenizer) -> None:
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        texts = tokenizer.decode_batch([[number] for number in range(size)], skip_special_tokens=False)
        of = np.full(size, -1, np.int64)
        self._names: dict[str, int] = {}
        self._members: dict[int, list[int]] = {}
        for number, text in enumerate(texts):
            # A token that is part of a character decodes to U+FFFD: it stands for itself.
            name = f"\ufffd{number}" if "\ufffd" in text else plain(text)
            if not name or number in special:
                continue
            of[number] = first = self._names.setdefault(name, number)
            self._members.setdefault(first, []).append(number)
        self.of = of
        """The class of each token id, shape (vocabulary,); -1 where it has none."""
        self.tokenizer = tokenizer
        self.fingerprint = sha256(of.astype("<i8").tobytes()).hexdigest()
        """The same for tokenizers that make the same classes of the same ids."""

    @classmethod
    def load(cls, path: Path) -> TokenClasses:
        """Of the tokenizer in a model folder, or in a `tokenizer.json`. Raises ConfigurationError where there is none."""
        from tokenizers import Tokenizer  # noqa: PLC0415 - only what reads tokens needs it

        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception as error:  # the library raises bare Exception for every damage
            raise ConfigurationError(f"No tokenizer can be read from {file}: give the folder of a model that has a tokenizer.json.") from error

    @property
    def bits(self) -> int:
        """Bits that a token id takes."""
        return max(1, (len(self.of) - 1).bit_length())

    def encode(self, text: str) -> NDArray[np.int64]:
        """The classes of the tokens of `text` in order, without those that have none."""
        found = self.of[np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)]
        counted: NDArray[np.int64] = found[found >= 0]
        return counted

    def tail(self, tokens: Sequence[int], count: int) -> list[int]:
        """The classes of the last `count` of `tokens` that have one, in order; fewer where there are not so many."""
        found: list[int] = []
        for token in reversed(tokens):
            if 0 <= token < len(self.of) and (of := int(self.of[token])) >= 0:
                found.append(of)
                if len(found) == count:
                    break
        return found[::-1]

    def spellings(self, of: int) -> list[int]:
        """Every token that says the class, or begins to: a class `another` is also begun by `an`, `a` and `ano`, so that it cannot be spelt in pieces."""
        name = plain(self.tokenizer.decode([of], skip_special_tokens=False))
        found = list(self._members.get(of, ()))
        for length in range(1, len(name)):
            begun = self._names.get(name[:length])
            if begun is not None:
                found += self._members[begun]
        return found

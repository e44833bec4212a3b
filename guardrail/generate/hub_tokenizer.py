"""A tokenizer of transformers, as `guardrail.generate.chat_tokenizer` wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase


class HubTokenizer:
    """Fast and slow ones alike. Raises what transformers raises."""

    __slots__ = ("_tokenizer", "added", "special")

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.added = {number: str(token.content) for number, token in tokenizer.added_tokens_decoder.items()}
        self.special = frozenset(str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special)

    def render(self, messages: Sequence[Mapping[str, str]], *, reply: bool) -> str:
        return str(self._tokenizer.apply_chat_template([dict(message) for message in messages], tokenize=False, add_generation_prompt=reply))

    def ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)) if ids else ""

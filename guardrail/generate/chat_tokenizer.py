"""What reading and writing turns asks of a tokenizer, whichever library it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ChatTokenizer(Protocol):
    """A tokenizer with a chat template."""

    @property
    def added(self) -> Mapping[int, str]:
        """The tokens that stand beside the learned vocabulary, special ones among them, by id."""
        ...

    @property
    def special(self) -> frozenset[str]:
        """Those of `added` that are marks and no text."""
        ...

    def render(self, messages: Sequence[Mapping[str, str]], *, reply: bool) -> str:
        """The chat template's text for messages with `role` and `content`; with `reply` up to where the assistant's words begin.

        Raises jinja2.TemplateError.
        """
        ...

    def ids(self, text: str) -> list[int]:
        """The tokens of `text`; nothing is put before or behind it."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, without the special ones; bytes that form no character are U+FFFD."""
        ...

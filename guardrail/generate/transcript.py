"""Conversations as one model reads them: rendered by its chat template, as tokens, with nobody's text passing for the template's own marks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from guardrail.errors import ConfigurationError, InvalidRequest, PromptTooLong
from guardrail.generate.turn_text import TurnEnd, turn_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrail.generate.chat_tokenizer import ChatTokenizer
    from guardrail.types import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """How one model's conversations are written down."""

    tokenizer: ChatTokenizer
    context: int
    """Most tokens of prompt and reply together."""
    end: TurnEnd
    folds_system: bool
    """Whether the chat template has no system role; the system message then opens the first user message."""
    special: re.Pattern[str] | None
    """Special tokens written out; in a message they are broken up, so that no text can pass for the template's own marks."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The conversation as the chat template renders it, up to where the reply begins. Raises InvalidRequest, PromptTooLong among them."""
        try:
            text = _render(self.tokenizer, [{"role": m.role, "content": self._plain(m.content)} for m in messages], folds_system=self.folds_system)
        except TemplateError as error:
            raise InvalidRequest(f"The model's chat template refuses this conversation: {error}.", param="messages") from None
        ids = self.tokenizer.ids(text)
        if len(ids) >= self.context:
            raise PromptTooLong(f"The conversation with its passages has {len(ids)} tokens and the model reads {self.context}; shorten it.", param="messages")
        return ids

    def _plain(self, content: str) -> str:
        return self.special.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", content) if self.special else content


def transcript(tokenizer: ChatTokenizer, *, eos: Iterable[int], context: int, name: str) -> Transcript:
    """Of the model called `name`, which ends at any token of `eos` and reads `context` tokens.

    Raises ConfigurationError where its template renders no conversation, or nothing would end a reply.
    """
    folds_system = False
    try:
        _render(tokenizer, [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], folds_system=False)
    except TemplateError:
        folds_system = True
    try:
        end = turn_end(tokenizer, sorted(set(eos)))
    except TemplateError as error:
        raise ConfigurationError(f"generator.model: the chat template of {name} cannot render a conversation: {error}.") from None
    if not end.tokens and not end.stops:
        raise ConfigurationError(f"generator.model: {name} has no end-of-sequence token and its chat template marks no end of a turn, so it would never stop.")
    special = sorted((text for text in tokenizer.special if len(text) > 1), key=len, reverse=True)
    return Transcript(
        tokenizer=tokenizer,
        context=context,
        end=end,
        folds_system=folds_system,
        special=re.compile("|".join(map(re.escape, special))) if special else None,
    )


def _render(tokenizer: ChatTokenizer, messages: Sequence[Mapping[str, str]], *, folds_system: bool) -> str:
    if folds_system and len(messages) > 1 and messages[0]["role"] == "system":
        messages = [{"role": messages[1]["role"], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}, *messages[2:]]
    return tokenizer.render(messages, reply=True)

"""What travels between a LiteLLM proxy and this server, as types. Fields that are of no use here are accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from guardrail.server.wire import Body, Text


class LiteLLMMessage(Body):
    """A message of the conversation that LiteLLM was sent; its content may be anything that OpenAI's API allows."""

    role: str
    content: Any = None

    @property
    def texts(self) -> list[str]:
        """The texts in it, as LiteLLM takes them out."""
        if isinstance(self.content, str):
            return [self.content]
        parts = self.content if isinstance(self.content, list) else []
        return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


class LiteLLMParameters(Body):
    """`additional_provider_specific_params` of LiteLLM's configuration, or of a request."""

    passages: Annotated[list[Text], Meta(max_length=64)] = msgspec.field(default_factory=list)
    """What replies must rest on; without any, grounding is not asked."""
    question: Text = ""


class LiteLLMRequest(Body):
    input_type: Literal["request", "response"]
    texts: list[Text] | None = None
    structured_messages: list[LiteLLMMessage] | None = None
    tool_calls: list[Any] | None = None
    images: list[Any] | None = None
    """Taken, and not looked at: the rails read text."""
    additional_provider_specific_params: LiteLLMParameters | None = None


class LiteLLMReply(Body, omit_defaults=True):
    action: Literal["NONE", "BLOCKED", "GUARDRAIL_INTERVENED"]
    blocked_reason: str | None = None
    texts: list[str] | None = None
    """The texts as they may be shown; only where they were changed."""
    stream_holdback_chars: list[int] | None = None
    """For each text, how many characters at its end a stream that goes on must hold back."""

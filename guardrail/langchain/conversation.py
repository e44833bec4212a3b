"""LangChain's messages as the rails read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage

from guardrail.errors import InvalidRequest
from guardrail.types import Message, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant"}


def spoken(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """The messages that somebody spoke, in order; what tools gave is left out."""
    return tuple(Message(role=role, content=str(message.text)) for message in messages if (role := _role(message)) is not None)


def to_answer(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """A conversation that a persona can answer. Raises InvalidRequest where it holds anything but text, or what a tool gave."""
    for number, message in enumerate(messages, start=1):
        if _role(message) is None or getattr(message, "tool_calls", None):
            raise InvalidRequest(f"Message {number} has to do with tools, which a persona does not use: leave it out.", param="messages")
        if not isinstance(message.content, str) and any(isinstance(part, dict) and part.get("type") not in {"text", "text-plain"} for part in message.content):
            raise InvalidRequest(f"Message {number} holds something else than text: only text can be read.", param="messages")
    return spoken(messages)


def _role(message: BaseMessage) -> Role | None:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, SystemMessage):
        return "system"
    return _ROLES.get(message.role) if isinstance(message, ChatMessage) else None

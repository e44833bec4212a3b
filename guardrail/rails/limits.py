"""What a request may hold, checked before anything else looks at it; and the text as the rails see it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guardrail import normal
from guardrail.errors import InvalidRequest, MalformedText, RequestTooLarge

if TYPE_CHECKING:
    from guardrail.settings import LimitSettings
    from guardrail.types import Request

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def check_request(request: Request, limits: LimitSettings) -> None:
    """Return if `request` can be answered. No error repeats what the user wrote.

    Raises InvalidRequest (no message, or the last one is not the user's), RequestTooLarge (a limit of size or number) or
    MalformedText (lone surrogates, control characters other than tab, newline and carriage return).
    """
    messages = request.messages
    if not messages:
        raise InvalidRequest("messages is empty: send at least one user message.", param="messages")
    if len(messages) > limits.turns:
        raise RequestTooLarge(f"The conversation has {len(messages)} messages and the limit is {limits.turns}: send only the latest ones.", param="messages")
    if messages[-1].role != "user":
        raise InvalidRequest("The last message is not from the user: end the conversation with a user message.", param=f"messages[{len(messages) - 1}].role")
    total = 0
    for number, message in enumerate(messages):
        param = f"messages[{number}].content"
        size = len(message.content)
        if size > limits.message_chars:
            raise RequestTooLarge(f"Message {number + 1} has {size} characters and the limit is {limits.message_chars}: shorten it.", param=param)
        total += size
    if total > limits.conversation_chars:
        raise RequestTooLarge(
            f"The conversation has {total} characters and the limit is {limits.conversation_chars}: send only the latest messages.", param="messages"
        )
    for number, message in enumerate(messages):
        param = f"messages[{number}].content"
        flaw = malformation(message.content)
        if flaw is not None:
            raise MalformedText(f"Message {number + 1} holds {flaw}", param=param)


def malformation(text: str) -> str | None:
    """What `text` holds that no text may hold, as the end of a sentence; None where it is well formed."""
    if _SURROGATES.search(text):
        return "half a character (a lone surrogate): send valid Unicode."
    if _CONTROLS.search(text):
        return "a control character: only tab, newline and carriage return are allowed."
    return None


def plain(text: str) -> str:
    """`text` as the rails see it: without disguise, see `guardrail.normal.normalise`. Honest text of any script comes back as it is."""
    return normal.plain(text)

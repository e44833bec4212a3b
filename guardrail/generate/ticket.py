"""One request on its way from the event loop to the thread that decodes, and its text on the way back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail.errors import GuardrailError
    from guardrail.protocols import Chunk, Prompt
    from guardrail.types import Message, Sampling


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """One request on its way through the thread that decodes."""

    prompt: Prompt | None
    """None for the text that warms the model up."""
    messages: tuple[Message, ...]
    sampling: Sampling
    loop: asyncio.AbstractEventLoop
    out: asyncio.Queue[Chunk | GuardrailError] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    """Set when the caller has gone; read by the thread before each token."""

    def send(self, item: Chunk | GuardrailError) -> None:
        """Hand a piece of the reply to the caller's event loop; called from the thread."""
        try:
            self.loop.call_soon_threadsafe(self.out.put_nowait, item)
        except RuntimeError:  # the caller's event loop has ended
            self.cancelled = True

    def room(self, left: int) -> int:
        """How many tokens the reply may have where `left` fit behind the prompt."""
        return left if self.sampling.max_tokens is None else min(self.sampling.max_tokens, left)

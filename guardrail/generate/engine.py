"""What the writer asks of a model, whichever library computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.generate.ticket import Ticket
    from guardrail.generate.transcript import Transcript


class Decoding(Protocol):
    """One request while it decodes. Told apart by identity."""

    tokens: list[int]
    """Prompt and reply so far."""


R = TypeVar("R", bound=Decoding)


class Engine(Protocol[R]):
    """A model that decodes several requests at once. One thread owns it."""

    @property
    def transcript(self) -> Transcript: ...

    def begin(self, ticket: Ticket) -> R:
        """The request with its prompt as tokens; nothing is computed yet. Raises GuardrailError."""
        ...

    def add(self, row: R) -> int:
        """Read the row's prompt; returns its first token, which is also appended to `row.tokens`."""
        ...

    def step(self) -> list[tuple[R, int]]:
        """One more token for every row that was added, appended to its `tokens`."""
        ...

    def remove(self, gone: Sequence[R]) -> None:
        """Let rows leave; what they held is free at once."""
        ...

"""Personal data taken out of a request before a model reads it, and put back into the reply. Nothing of it outlives the turn."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from guardrail.protocols import Masker
from guardrail.rails.vault import Vault
from guardrail.types import Answer, Delta

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from guardrail.enforcement import EnforcedRail
    from guardrail.types import Event, Reply, Request


def mask(request: Request, rails: Iterable[EnforcedRail]) -> tuple[Request, Vault]:
    """The request with placeholders for what the masking ones among `rails` find in any of its messages, and the vault that has the values."""
    vault = Vault()
    texts = [message.content for message in request.messages]
    for enforced in rails:
        rail = enforced.rail
        if isinstance(rail, Masker) and enforced.enforced:
            masked, vault = vault.mask_all([(text, rail.masked(rail.find(text))) for text in texts])
            texts = list(masked)
    messages = tuple(replace(message, content=text) for message, text in zip(request.messages, texts, strict=True))
    return replace(request, messages=messages), vault


async def restored(events: AsyncGenerator[Event, None], vault: Vault) -> AsyncGenerator[Event, None]:
    """The events with the values back in place of their placeholders."""
    restorer = vault.restorer()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                text = restorer.push(event.text)
                if text:
                    yield Delta(text=text)
                continue
            rest = restorer.push("", final=True)
            if rest:
                yield Delta(text=rest)
            yield _restored_reply(event, vault)


def _restored_reply(reply: Reply, vault: Vault) -> Reply:
    text = vault.restore(reply.text)
    if not isinstance(reply, Answer) or text == reply.text:
        return replace(reply, text=text)

    def place(offset: int) -> int:
        return vault.restored(reply.text, offset)

    return replace(
        reply,
        text=text,
        sentences=tuple(replace(sentence, start=place(sentence.start), end=place(sentence.end)) for sentence in reply.sentences),
        citations=tuple(replace(citation, answer_start=place(citation.answer_start), answer_end=place(citation.answer_end)) for citation in reply.citations),
    )

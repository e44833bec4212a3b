"""`POST /beta/litellm_basic_guardrail_api`: a LiteLLM proxy asks, before its model and after it, whether texts may pass.

The shape is LiteLLM's "generic guardrail API" (`guardrail: generic_guardrail_api` in its configuration).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guardrail.errors import InvalidRequest
from guardrail.objections import explained, masked, objections, stopping
from guardrail.rails.limits import plain
from guardrail.server import litellm_wire
from guardrail.types import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.assemble import Guardrail
    from guardrail.server.metrics import Metrics
    from guardrail.types import Check

_SPOKEN = frozenset({"system", "user", "assistant"})
_OWN = frozenset({"system", "developer", "assistant"})
"""Who speaks for the deployment; what they say is not screened as input."""


class LiteLLM:
    """What the route does.

    A request: every text that a user or a tool wrote goes through the input rails, the last user message as part of its conversation too. A response: every
    text and the arguments of every tool call go through the output rails. What cannot be checked because it is malformed or too long is blocked with the
    reason; a rail that fails closed is a 503, which LiteLLM takes as it is configured to (`unreachable_fallback`, by default closed).
    """

    def __init__(self, guard: Guardrail, metrics: Metrics) -> None:
        self._guard = guard
        self._metrics = metrics

    async def __call__(self, asked: litellm_wire.LiteLLMRequest, request_id: str) -> litellm_wire.LiteLLMReply:  # noqa: ARG002 - the signature of every work
        try:
            return await (self._request(asked) if asked.input_type == "request" else self._response(asked))
        except InvalidRequest as error:
            return litellm_wire.LiteLLMReply(action="BLOCKED", blocked_reason=str(error))

    async def _request(self, asked: litellm_wire.LiteLLMRequest) -> litellm_wire.LiteLLMReply:
        texts, messages = asked.texts or [], asked.structured_messages or []
        roles = _roles(messages, len(texts))
        shown: dict[str, str] = {}
        for role, text in zip(roles, texts, strict=True):
            if role in _OWN or text in shown or not text.strip():
                continue
            check = await self._guard.acheck_input(text)
            stopped = stopping(self._objections(check))
            if stopped is not None:
                return litellm_wire.LiteLLMReply(action="BLOCKED", blocked_reason=explained(stopped))
            shown[text] = masked(plain(text), check.masks) if check.masks else text
        conversation = _conversation(messages)
        if len(conversation) > 1 or (conversation and conversation[-1].content not in shown):
            stopped = stopping(self._objections(await self._guard.acheck_input(conversation)))
            if stopped is not None:
                return litellm_wire.LiteLLMReply(action="BLOCKED", blocked_reason=explained(stopped))
        return _passed(texts, [text if role in _OWN else shown.get(text, text) for role, text in zip(roles, texts, strict=True)])

    async def _response(self, asked: litellm_wire.LiteLLMRequest) -> litellm_wire.LiteLLMReply:
        given = asked.additional_provider_specific_params or litellm_wire.LiteLLMParameters()
        texts = asked.texts or []
        shown = []
        for text in [*texts, *_arguments(asked.tool_calls or [])]:
            check = await self._guard.acheck_output(text, passages=given.passages, question=given.question)
            stopped = stopping(self._objections(check, grounded=bool(given.passages)))
            if stopped is not None:
                return litellm_wire.LiteLLMReply(action="BLOCKED", blocked_reason=explained(stopped))
            shown.append(masked(text, check.masks))
        held = [await self._held_back(text) for text in texts]
        return _passed(texts, shown[: len(texts)], held if any(held) else None)

    def _objections(self, check: Check, *, grounded: bool = False) -> Any:
        self._metrics.judge(check.verdicts)
        return objections(check, grounded=grounded)

    async def _held_back(self, text: str) -> int:
        """How many characters at the end of `text` may be the beginning of something forbidden: a stream that goes on must not show them yet."""
        return len(text) - await self._guard.aclear(text)


def _passed(texts: Sequence[str], shown: list[str], held: list[int] | None = None) -> litellm_wire.LiteLLMReply:
    changed = list(texts) != shown
    return litellm_wire.LiteLLMReply(action="GUARDRAIL_INTERVENED" if changed else "NONE", texts=shown if changed else None, stream_holdback_chars=held)


def _roles(messages: Sequence[litellm_wire.LiteLLMMessage], count: int) -> list[str]:
    """Who wrote each of the `count` texts that LiteLLM took out of `messages`, in their order; a user where that cannot be told."""
    roles = [message.role for message in messages for text in message.texts]
    return roles if len(roles) == count else ["user"] * count


def _conversation(messages: Sequence[litellm_wire.LiteLLMMessage]) -> tuple[Message, ...]:
    """The conversation up to the last user message, as the rails can read it."""
    spoken = [
        Message(role="system" if message.role == "developer" else message.role, content="\n".join(message.texts))  # type: ignore[arg-type] # one of _SPOKEN
        for message in messages
        if message.role in _SPOKEN or message.role == "developer"
    ]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    return tuple(spoken)


def _arguments(calls: Sequence[Any]) -> list[str]:
    """What a model wants to hand to tools, each call as one text."""
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    found = [function.get("arguments") for function in functions if isinstance(function, dict)]
    return [text for argument in found if argument for text in ([argument] if isinstance(argument, str) else [json.dumps(argument, ensure_ascii=False)])]

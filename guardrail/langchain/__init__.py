"""Guardrail in LangChain v1: agent middleware, a step that checks, and a chat model. Needs the extra `langchain`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail.langchain.chat_model import ChatGuardrail
    from guardrail.langchain.middleware import GuardrailMiddleware
    from guardrail.langchain.step import Blocked, GuardrailStep

_HOMES = {
    "Blocked": "guardrail.langchain.step",
    "ChatGuardrail": "guardrail.langchain.chat_model",
    "GuardrailMiddleware": "guardrail.langchain.middleware",
    "GuardrailStep": "guardrail.langchain.step",
}

__all__ = ["Blocked", "ChatGuardrail", "GuardrailMiddleware", "GuardrailStep"]


def __getattr__(name: str) -> object:
    # The chat model and the step need langchain-core only; the middleware needs all of langchain.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'guardrail.langchain' has no attribute '{name}'")

"""A chat in front of a persona model that answers from retrieved passages, or says that it does not know.

    from guardrail import Guardrail

    guard = Guardrail.default()
    reply = guard.ask("What is justice?", persona="plato")

Importing this package loads no model and no web framework; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail.assemble import Guardrail
    from guardrail.errors import ConfigurationError, GuardrailError, InvalidRequest
    from guardrail.server import create_app
    from guardrail.settings import Settings
    from guardrail.types import Abstention, Answer, Check, Citation, Delta, Message, Refusal, Reply, Request, Sampling, Smalltalk, Verdict

__version__ = "0.1.0"

_HOMES = {
    "Guardrail": "guardrail.assemble",
    "ConfigurationError": "guardrail.errors",
    "GuardrailError": "guardrail.errors",
    "InvalidRequest": "guardrail.errors",
    "create_app": "guardrail.server",
    "Settings": "guardrail.settings",
    "Abstention": "guardrail.types",
    "Answer": "guardrail.types",
    "Check": "guardrail.types",
    "Citation": "guardrail.types",
    "Delta": "guardrail.types",
    "Message": "guardrail.types",
    "Refusal": "guardrail.types",
    "Reply": "guardrail.types",
    "Request": "guardrail.types",
    "Sampling": "guardrail.types",
    "Smalltalk": "guardrail.types",
    "Verdict": "guardrail.types",
}

__all__ = [
    "Abstention",
    "Answer",
    "Check",
    "Citation",
    "ConfigurationError",
    "Delta",
    "Guardrail",
    "GuardrailError",
    "InvalidRequest",
    "Message",
    "Refusal",
    "Reply",
    "Request",
    "Sampling",
    "Settings",
    "Smalltalk",
    "Verdict",
    "__version__",
    "create_app",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'guardrail' has no attribute '{name}'")

"""One configuration and what was made for it. Turns keep to the one they began with, so a new one takes over without losing any."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from guardrail import catalogue, parts
from guardrail.errors import ConfigurationError
from guardrail.prompts import load_help_lines
from guardrail.verdict_log import VerdictLog

if TYPE_CHECKING:
    from guardrail.chat import Chat
    from guardrail.errors import GuardrailError
    from guardrail.prompts import Persona, Template
    from guardrail.settings import Settings
    from guardrail.types import Reply, Request


@dataclass(slots=True, eq=False)
class Deployment:
    """One configuration with everything that was made for it. A turn keeps to the one that it began with."""

    settings: Settings
    personas: dict[str, Persona]
    template: Template
    dialogue: Template
    """The template of turns that answer another persona."""
    config_hash: str
    verdict_log: VerdictLog | None
    chat: Chat | None = None
    """None until everything is loaded."""
    turns: int = 0
    """How many are being answered."""
    successor: Deployment | None = None
    """What took its place."""

    @classmethod
    def of(cls, settings: Settings, *, given: bool = False) -> Deployment:
        """`given` says that another generator takes the place of the configured one. Raises ConfigurationError for everything that can be told without
        loading a model.
        """
        catalogue.check(settings)
        load_help_lines().check(settings.help.country)
        personas = parts.choose_personas(settings)
        for name in settings.personas.unsupported:
            if name not in personas:
                raise ConfigurationError(f"personas.unsupported: there is no persona '{name}'; the personas are: {', '.join(sorted(personas))}.")
        template, dialogue = parts.choose_template(settings, given=given), parts.choose_dialogue_template(settings, given=given)
        identity = [_public(settings), *sorted(persona.hash for persona in personas.values()), template.reference, dialogue.reference]
        return cls(
            settings=settings,
            personas=personas,
            template=template,
            dialogue=dialogue,
            config_hash=hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:16],
            verdict_log=VerdictLog(settings.verdict_log) if settings.verdict_log.path else None,
        )

    @property
    def running(self) -> Chat:
        """The chat, once it is loaded."""
        assert self.chat is not None
        return self.chat

    def log(self, reply: Reply) -> None:
        if self.verdict_log is not None:
            self.verdict_log.reply(reply, self.config_hash)

    def log_failure(self, request: Request, error: GuardrailError) -> None:
        if self.verdict_log is not None:
            self.verdict_log.failure(request, error, self.config_hash)

    async def give_back_if_idle(self) -> None:
        """Close what no turn and no successor uses any more."""
        if self.turns or self.chat is None or self.successor is None:
            return
        chat, self.chat = self.chat, None
        latest = self.successor
        while latest.successor is not None:
            latest = latest.successor
        await parts.give_back(chat.parts, but=latest.chat.parts if latest.chat is not None else None)


def _public(settings: Settings) -> Any:
    """The settings as plain values, without what is secret."""
    values = msgspec.to_builtins(settings)
    values["generator"]["api_key"] = None
    for rail in values["rails"]:
        rail["options"].pop("api_key", None)
    values["server"]["api_keys"] = len(settings.server.api_keys)
    if values["library"]["vector_store"]:
        values["library"]["vector_store"]["arguments"] = sorted(values["library"]["vector_store"]["arguments"])
    return values

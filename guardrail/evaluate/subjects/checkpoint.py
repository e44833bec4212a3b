"""A model folder by itself: no library, no rails, nothing between what it writes and who reads it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.errors import ConfigurationError, GeneratorError, GuardrailError, PromptTooLong
from guardrail.evaluate.subject import Ask, Said
from guardrail.evaluate.subjects import fingerprint, passages
from guardrail.generate.transformers import TransformersGenerator
from guardrail.prompts import load_personas
from guardrail.protocols import Prompt
from guardrail.relevance import Relevance
from guardrail.settings import TEMPERATURE, GeneratorSettings, PersonaSettings
from guardrail.types import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.evaluate.subject import Continuation
    from guardrail.prompts import Persona

_OPEN, _GROUNDED = "open", "grounded"
_SILENCE = 600.0
"""Seconds that a request may wait for its next token: on a small machine many decode together."""
_SHARE = 0.5
"""Most of the model's context that the persona's system message may take."""


class CheckpointSubject:
    """The model in `folder` through `guardrail.generate.transformers`, asked with the messages that a deployment would ask it with.

    They are rendered by the template that `asked` names, in the persona's name; without passages `open` takes the place of `grounded`, as it does without a
    library. For a template with `excerpts` the sentences are chosen by their words alone, where a deployment has its encoder besides. A model whose context
    the system message would fill by more than half is asked without it, speaks as nobody and reads passages by the template `reading`; `persona` decides
    otherwise. What it says is given as it was decoded, reasoning and all; where the passages are too many for its context the last ones are left out, as in a
    turn.

    Requests decode together, each sampled with its own seed: the same seed gives the same reply, but for what another batch does to the last digits. It is a
    `Likelihood`.
    """

    def __init__(self, folder: Path, *, asked: GeneratorSettings | None = None, persona: bool | None = None) -> None:
        """`asked`: adapters, template, and what `Sampling` leaves open; as a deployment has them by default. Of its other settings none counts.

        Raises ConfigurationError for what is no folder, and for a template that there is not.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"There is no model folder {folder}.")
        self._asked = asked = asked or GeneratorSettings()
        self._template = passages.template(asked.template)
        self._without = passages.template(_OPEN) if asked.template == _GROUNDED else self._template
        self._folders = (folder, *(Path(adapter.path) for adapter in asked.adapters))
        self._wanted = persona
        self._cards = _cards()
        self._relevance = Relevance(None)
        self._generator = TransformersGenerator(
            model=str(folder),
            adapters=asked.adapters,
            quantize=asked.quantize,
            temperature=TEMPERATURE if asked.temperature is None else asked.temperature,
            top_p=asked.top_p,
            max_tokens=asked.max_tokens,
            batch=asked.batch,
            timeout_seconds=_SILENCE,
        )
        self._scoring = asyncio.Lock()
        self._fingerprint: str | None = None

    @property
    def name(self) -> str:
        return "+".join(folder.resolve().name for folder in self._folders) + " by itself"

    @property
    def fingerprint(self) -> str:
        """Over the program, the bytes of the model folder and its adapters, and how it is asked."""
        if self._fingerprint is None:
            told = f"{replace(self._asked, model=None, api_key=None)} {self._wanted}"
            self._fingerprint = fingerprint.of("checkpoint", fingerprint.of_program(), told, *map(fingerprint.of_folder, self._folders))
        return self._fingerprint

    @property
    def rails(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def personas(self) -> tuple[str, ...]:
        """Whose cards it is asked with; known once it was started."""
        return tuple(self._cards)

    @property
    def instructions(self) -> tuple[str, ...]:
        """What it is told before it is asked without passages; known once it was started."""
        return tuple(self._without.system_prompt(card) for card in self._cards.values())

    async def start(self) -> None:
        """Load the model and decode a token. Raises GuardrailError."""
        await self._generator.warm_up()
        if self._wanted is False or (self._wanted is None and not await self._fits()):
            self._cards = {}

    async def reply(self, ask: Ask) -> Said:
        began = time.perf_counter()
        try:
            said = await self._said(ask)
        except GuardrailError as error:
            said = Said(text="", error=str(error))
        return replace(said, seconds=time.perf_counter() - began)

    async def logprobs(self, continuations: Sequence[Continuation]) -> list[tuple[float, ...]]:
        """For each the natural log-probability of every token of its text.

        A conversation is rendered as for `reply`, by the chat template up to where the reply begins. Plain text is read as it stands, behind the token that
        begins a text; of what is too long for the context the oldest tokens are left out. Raises GeneratorError where a text is empty or too long.
        """
        from guardrail.evaluate.subjects import likelihood  # noqa: PLC0415 - loads torch

        checkpoint = await self._generator.checkpoint()
        before = [one.before if isinstance(one.before, str) else self._messages(Ask(messages=one.before)) for one in continuations]
        texts = [one.text for one in continuations]
        async with self._scoring:
            return await asyncio.to_thread(likelihood.logprobs, checkpoint, list(zip(before, texts, strict=True)))

    async def aclose(self) -> None:
        await self._generator.aclose()

    async def _said(self, ask: Ask) -> Said:
        while True:
            try:
                return await self._decoded(ask)
            except PromptTooLong:
                if len(ask.passages) < 2:
                    raise
                ask = replace(ask, passages=ask.passages[:-1])

    async def _decoded(self, ask: Ask) -> Said:
        prompt = Prompt(messages=self._messages(ask), evidence=passages.evidence(ask, ask.persona or "", ()), sampling=ask.sampling, template="", stream=False)
        pieces = [chunk async for chunk in self._generator.generate(prompt)]
        return Said(text="".join(piece.text for piece in pieces), finish=pieces[-1].finish_reason, generator=self._generator.name)

    def _messages(self, ask: Ask) -> tuple[Message, ...]:
        """What the chat template is given. Raises GeneratorError for a persona without a card."""
        if not self._cards:
            return passages.read(ask)
        name = ask.persona or next(iter(self._cards))
        if name not in self._cards:
            raise GeneratorError(f"There is no persona '{name}'; the personas are: {', '.join(self._cards)}.")
        template = self._template if ask.passages else self._without
        evidence = passages.evidence(ask, name, ask.passages)
        return template.render(persona=self._cards[name], evidence=self._relevance.narrowed(evidence) if template.excerpts else evidence)

    async def _fits(self) -> bool:
        """Whether the longest system message leaves the conversation its room."""
        checkpoint = await self._generator.checkpoint()
        longest = max((self._without.system_prompt(card) for card in self._cards.values()), key=len)
        try:
            taken = len(checkpoint.encode((Message(role="system", content=longest), Message(role="user", content="Hello"))))
        except PromptTooLong:
            return False
        return taken <= _SHARE * checkpoint.context


def _cards() -> dict[str, Persona]:
    """The persona cards, the one that deployments put first before the others."""
    first = PersonaSettings().first
    known = load_personas()
    return {name: known[name] for name in sorted(known, key=lambda name: (name != first, name))}

"""A deployment of ours in this process, behind its rails or without them, over its own library or over texts that a suite brings."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from guardrail import catalogue
from guardrail.assemble import Guardrail
from guardrail.chat import Chat
from guardrail.errors import GuardrailError, LibraryError
from guardrail.evaluate.subject import Said
from guardrail.evaluate.subjects import fingerprint, passages
from guardrail.evaluate.subjects.completion import stopped
from guardrail.evaluate.suite import NotMeasured
from guardrail.presentation import kind
from guardrail.types import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from guardrail.evaluate.subject import Ask
    from guardrail.evaluate.subjects.shelf import Shelves
    from guardrail.index.retriever import LibraryRetriever
    from guardrail.protocols import Encoder, Generator, Retriever
    from guardrail.settings import Settings
    from guardrail.types import Reply

_TRIES = 3
_PAUSE = 0.25
_PASSING = frozenset({429, 503, 504})
"""Statuses of errors that may be gone a moment later."""
_INDEX = "index"


class EmbeddedSubject:
    """A `Guardrail` that is asked as its users would ask it, and closed with the subject.

    Where an `Ask` brings passages, the whole turn runs over a library of these: retrieval, the abstention gate and every other rail, writing, grounding.
    It is made in memory; a paragraph costs some 0.1 s when it is first given and little from then on. Many texts that many questions are asked of are better
    built once, as a library on disk: `with_library`, whose subject is asked by `Bench.beside`.

    Both are real libraries and behave as such. The gate weighs the best passage against the others that were found, so a passage given alone is nearly always
    turned down (of 60 questions of XQuAD with their own paragraph alone 8 were answered, among four other paragraphs 53): give it among others.
    Nothing that is asked enters the deployment's verdict log.
    """

    def __init__(self, guard: Guardrail, *, library: LibraryRetriever | None = None, label: str = "") -> None:
        """`library` takes the place of the deployment's own and is closed in the place of `guard`; `label` tells the two apart."""
        self._guard = guard
        self._library = library
        self._label = label
        self._shelves: Shelves | None = None
        self._fingerprint: str | None = None

    @classmethod
    def of(cls, settings: Settings, *, rails: bool = True, generator: Generator | None = None) -> Self:
        """The deployment of `settings`, or with `rails` false the very same with `rails: []`. `generator` takes the place of the configured one.

        Raises ConfigurationError.
        """
        return cls(Guardrail(settings if rails else replace(settings, rails=()), generator=generator))

    @property
    def name(self) -> str:
        settings = self._guard.settings
        writer = settings.generator.kind if settings.generator.model is None else Path(settings.generator.model).name
        return f"{writer} {'behind rails' if settings.rails else 'without rails'}{self._label}"

    @property
    def fingerprint(self) -> str:
        """Over the program, the configuration, the persona cards, and the bytes of the library, of the model and of the leak index."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint.of(fingerprint.of_program(), self._guard.config_hash, self._label, *_holdings(self._guard.settings))
        return self._fingerprint

    @property
    def rails(self) -> tuple[str, ...]:
        """Ids of the rails that are enforced, and `memfree` where the generator decodes under a leak index."""
        settings = self._guard.settings
        library = settings.library.index is not None or settings.library.vector_store is not None
        found = [entry.id for entry in settings.rails if entry.mode == "enforce" and (library or not catalogue.kind_of(entry).encoded)]
        if settings.generator.kind in {"numpy", "transformers"} and settings.generator.leak_index is not None:
            found.append("memfree")
        return tuple(dict.fromkeys(found))

    @property
    def personas(self) -> tuple[str, ...]:
        return tuple(self._guard.personas)

    @property
    def instructions(self) -> tuple[str, ...]:
        """What a model is told before it is asked; a generator that only quotes is told nothing."""
        if self._guard.settings.generator.kind == "quotation":
            return ()
        return tuple(self._guard.template.system_prompt(persona) for persona in self._guard.personas.values())

    async def start(self) -> None:
        """Load library, rails and generator. Raises GuardrailError."""
        await self._guard.start()

    async def reply(self, ask: Ask) -> Said:
        """Raises NotMeasured where passages are given to a deployment without a library, which has nothing to search them with.

        Errors that may pass are tried three times in all; whatever error is left is in `error`.
        """
        began = time.perf_counter()
        said = Said(text="", error="It was not asked.")
        for number in range(_TRIES):
            try:
                said = _said(await self._answered(ask))
                break
            except NotMeasured:
                raise
            except GuardrailError as error:
                said = Said(text="", error=str(error))
                if error.status not in _PASSING:
                    break
            except Exception as error:  # noqa: BLE001 - a server would answer 500; here one broken turn must not end the run
                said = Said(text="", error=f"The deployment failed with {type(error).__name__}, which is a mistake in it.")
                break
            if number + 1 < _TRIES:
                await asyncio.sleep(_PAUSE * 2**number)
        return replace(said, seconds=time.perf_counter() - began)

    async def with_library(self, texts: Sequence[str], folder: Path) -> EmbeddedSubject:
        """The same deployment over a library of `texts`, which every persona may speak from; started, with a name and a fingerprint of its own.

        The library is built in `folder`, which is made where it is not there and is to hold nothing else, at about ten paragraphs a second; what an earlier
        run built of the same texts is used again. Models and rails are shared: close the new subject before this one.
        Raises NotMeasured where this deployment has no library, LibraryError where a text cannot be read or the folder cannot be written.
        """
        library = await asyncio.to_thread(_build, texts, folder, await self._encoder())
        return EmbeddedSubject(self._guard, library=library, label=f" over {len(texts)} texts ({fingerprint.of(*texts)[:12]})")

    async def aclose(self) -> None:
        """Give back what was loaded; a subject that `with_library` made gives back its library alone."""
        if self._library is None:
            await self._guard.aclose()
        else:
            await asyncio.to_thread(self._library.close)

    async def _answered(self, ask: Ask) -> Reply:
        request = Request(id=uuid4().hex, persona=ask.persona or self.personas[0], messages=ask.messages, sampling=ask.sampling)
        retriever: Retriever | None = self._library
        if ask.passages:
            retriever = await (await self._shelved()).of(ask.passages)
        chat = await self._guard.chat()
        if retriever is not None:
            chat = Chat(replace(chat.parts, retriever=retriever), chat.settings)
        return await chat.reply(request)

    async def _encoder(self) -> Encoder:
        """Raises NotMeasured."""
        encoder = (await self._guard.chat()).parts.encoder
        if encoder is None:
            raise NotMeasured("It needs a library to put passages into, and this deployment runs without one.")
        return encoder

    async def _shelved(self) -> Shelves:
        encoder = await self._encoder()
        if self._shelves is None:
            from guardrail.evaluate.subjects.shelf import Shelves  # noqa: PLC0415 - loads faiss

            self._shelves = Shelves(encoder)
        return self._shelves


def _build(texts: Sequence[str], folder: Path, encoder: Encoder) -> LibraryRetriever:
    """A library of `texts` and nothing else, opened. Raises LibraryError."""
    from guardrail.index.builder import sync  # noqa: PLC0415 - loads faiss
    from guardrail.index.retriever import LibraryRetriever  # noqa: PLC0415 - as above

    try:
        folder.mkdir(parents=True, exist_ok=True)
        source = passages.write(texts, folder)
    except (OSError, UnicodeEncodeError) as error:
        raise LibraryError(f"No library of {len(texts)} texts can be made in {folder}: {error}.") from None
    report = sync([source], folder / _INDEX, encoder)
    if report.failed:
        raise LibraryError(f"Text {report.failed[0].path.rpartition(':')[2]} of {len(texts)} cannot stand in a library: {report.failed[0].reason}")
    return LibraryRetriever(folder / _INDEX, encoder)


def _said(reply: Reply) -> Said:
    """`finish` is `stop`, as our server has it: whatever the model did behind it, the turn was brought to an end."""
    cited = tuple(dict.fromkeys(citation.text for citation in reply.citations)) if isinstance(reply, Answer) else ()
    verdicts = [(verdict.stage, verdict.decision) for verdict in reply.verdicts if verdict.mode == "enforce"]
    return Said(text=reply.text, kind=kind(reply), stage=stopped(kind(reply), verdicts), finish="stop", passages=cited, generator=reply.generator)


def _holdings(settings: Settings) -> tuple[str, ...]:
    """What stands for the contents of what the configuration names by its place only: library, model, leak index. Raises GuardrailError."""
    from guardrail.index.generation import current_name  # noqa: PLC0415 - loads the library's readers

    generator, index = settings.generator, settings.library.index
    places = (generator.model, generator.leak_index, *(adapter.path for adapter in generator.adapters))
    folders = [Path(place) for place in places if place is not None and Path(place).is_dir()]
    return (*([] if index in {None, "builtin"} else [current_name(Path(str(index)))]), *map(fingerprint.of_folder, folders))

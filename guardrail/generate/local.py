"""A model in this process: one thread of its own loads it and decodes, and the event loop only passes requests in and text out."""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from guardrail.errors import GeneratorError, GuardrailError
from guardrail.generate.ticket import Ticket
from guardrail.generate.writer import Writer
from guardrail.types import Message, Sampling

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from guardrail.generate.engine import Engine
    from guardrail.protocols import Chunk, Prompt

E = TypeVar("E", bound="Engine[Any]")


class LocalGenerator(ABC, Generic[E]):
    """A generator whose engine decodes up to `batch` requests at once; more wait their turn.

    A reply ends at any end-of-sequence token, at the chat template's end of turn, at its role markers written as text, at Sampling.stop, or after max_tokens.
    Closing an iterator frees its place before the next token. Usage counts the tokenizer's tokens: those of the rendered prompt, and all that the model
    produced, with the one that ended the turn.
    """

    def __init__(self, *, thread: str, defaults: Sampling, batch: int, timeout_seconds: float) -> None:
        """`thread` names the thread, which starts with `warm_up` or the first request; `defaults` stand in where a prompt's Sampling leaves the choice."""
        self._thread_name = thread
        self._defaults = defaults
        self._batch = batch
        self._timeout_seconds = timeout_seconds
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writer: Future[Writer[E]] = Future()
        self._closed = False

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def _load(self) -> E:
        """What decodes; called once, in the thread. Raises ConfigurationError or GeneratorError."""

    @property
    def in_flight(self) -> int:
        """How many requests decode now."""
        return self._writer.result().in_flight if self._writer.done() and self._writer.exception() is None else 0

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self._stream(prompt, prompt.messages, prompt.sampling)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def warm_up(self) -> None:
        """Load the model and decode one token."""
        async with aclosing(self._stream(None, (Message(role="user", content="Hello"),), Sampling(max_tokens=1))) as chunks:
            async for _ in chunks:
                pass

    async def aclose(self) -> None:
        """End the thread; requests in flight fail."""
        self._closed = True
        self._inbox.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _stream(self, prompt: Prompt | None, messages: tuple[Message, ...], sampling: Sampling) -> AsyncGenerator[Chunk, None]:
        await self._loaded()
        default = self._defaults
        chosen = Sampling(
            temperature=default.temperature if sampling.temperature is None else sampling.temperature,
            top_p=default.top_p if sampling.top_p is None else sampling.top_p,
            max_tokens=default.max_tokens if sampling.max_tokens is None else sampling.max_tokens,
            stop=sampling.stop,
            seed=sampling.seed,
        )
        ticket = Ticket(prompt=prompt, messages=messages, sampling=chosen, loop=asyncio.get_running_loop())
        self._inbox.put(ticket)
        try:
            while True:
                async with asyncio.timeout(self._timeout_seconds):
                    item = await ticket.out.get()
                if isinstance(item, GuardrailError):
                    raise item
                yield item
                if item.finish_reason is not None:
                    return
        except TimeoutError:
            raise GeneratorError(f"The model wrote nothing for {self._timeout_seconds:g} s; lower the load or raise generator.timeout_seconds.") from None
        finally:
            ticket.cancelled = True

    async def _loaded(self) -> E:
        """What decodes, once the model is there."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._work, name=self._thread_name, daemon=True)
            self._thread.start()
        if not self._writer.done() and not self._closed:
            await asyncio.shield(asyncio.wrap_future(self._writer))
        if self._closed:
            raise GeneratorError("The model is shutting down.")
        return self._writer.result().engine

    def _work(self) -> None:
        """The thread: load, then serve until closed."""
        try:
            serving = Writer(self._load(), self._inbox, batch=self._batch)
        except GuardrailError as error:
            self._writer.set_exception(error)
        except Exception as error:  # noqa: BLE001 - whatever a model file makes a library raise must reach the caller, not end in a silent thread
            self._writer.set_exception(GeneratorError(f"The model {self.name} could not be loaded ({type(error).__name__})."))
        else:
            self._writer.set_result(serving)
            serving.serve()

"""A persona as a LangChain chat model: guarded, grounded, with its citations in `response_metadata`."""

from __future__ import annotations

import asyncio
import queue
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from guardrail import presentation
from guardrail.assemble import Guardrail  # noqa: TC001 - pydantic resolves the annotations when it runs
from guardrail.langchain.conversation import to_answer
from guardrail.types import Answer, Delta, Refusal, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.messages.ai import UsageMetadata

    from guardrail.types import Event, Reply

_PROVIDER = "guardrail"


class ChatGuardrail(BaseChatModel):
    """The persona `model` of `guard`.

    A reply's `response_metadata` holds `finish_reason` (`content_filter` for a refusal, else `stop`), `model_name`, `reply` (answer, abstention, refusal or
    smalltalk), `decision`, `citations`, `sentences`, `verdicts` and `generator`; a refusal also stands in `additional_kwargs["refusal"]`. A stream gives text
    that every rail has cleared, and the metadata with its last chunk. Raises GuardrailError.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    guard: Guardrail = Field(exclude=True, repr=False)
    model_name: str = Field(default="plato", alias="model")
    """The persona."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    seed: int | None = None
    works: tuple[str, ...] = ()
    """Titles of the works to answer from; empty means all of the persona's."""

    @property
    def _llm_type(self) -> str:
        return _PROVIDER

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "config_hash": self.guard.config_hash}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = _PROVIDER
        params["ls_model_name"] = kwargs.get("model", self.model_name)
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        return _result(self.guard.ask(self._request(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain's signature
        **kwargs: Any,
    ) -> ChatResult:
        return _result(await self.guard.reply(self._request(messages, stop, kwargs)))

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async with aclosing(self.guard.stream(request)) as stream:
                    async for event in stream:
                        events.put(event)
            except BaseException as error:
                events.put(error)
                raise

        async def begin() -> tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]:
            loop = asyncio.get_running_loop()
            return loop, loop.create_task(pump())

        # One task on the loop that plain code shares reads the stream from beginning to end; this thread takes what it finds.
        loop, task = self.guard.run(begin())
        try:
            while True:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                chunk = _chunk(event)
                if run_manager is not None:
                    run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
                yield chunk
                if not isinstance(event, Delta):
                    return
        finally:
            loop.call_soon_threadsafe(_end, task)

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self.guard.stream(self._request(messages, stop, kwargs))) as events:
            async for event in events:
                chunk = _chunk(event)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
                yield chunk

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, asked: dict[str, Any]) -> Request:
        sampling = Sampling(
            temperature=asked.get("temperature", self.temperature),
            top_p=asked.get("top_p", self.top_p),
            max_tokens=asked.get("max_tokens", self.max_tokens),
            stop=tuple(stop or self.stop or ()),
            seed=asked.get("seed", self.seed),
        )
        persona = asked.get("model", self.model_name)
        return Request(id=uuid4().hex, persona=persona, messages=to_answer(messages), sampling=sampling, works=tuple(asked.get("works", self.works)))


def _end(task: asyncio.Task[None]) -> None:
    """Stop the task, and take its error, which the reader has seen already."""
    task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    task.cancel()


def _result(reply: Reply) -> ChatResult:
    message = AIMessage(content=reply.text, additional_kwargs=_refusal(reply), response_metadata=_metadata(reply), usage_metadata=_usage(reply))
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunk(event: Event) -> ChatGenerationChunk:
    if isinstance(event, Delta):
        return ChatGenerationChunk(message=AIMessageChunk(content=event.text))
    last = AIMessageChunk(
        content="", additional_kwargs=_refusal(event), response_metadata=_metadata(event), usage_metadata=_usage(event), chunk_position="last"
    )
    return ChatGenerationChunk(message=last)


def _refusal(reply: Reply) -> dict[str, Any]:
    return {"refusal": reply.text} if isinstance(reply, Refusal) else {}


def _metadata(reply: Reply) -> dict[str, Any]:
    shown = presentation.reply_object(reply)
    kept = {name: shown[name] for name in ("reply", "citations", "sentences", "verdicts", "generator")}
    return kept | {
        "model_name": reply.request.persona,
        "model_provider": _PROVIDER,
        "decision": presentation.decision(reply),
        "finish_reason": "content_filter" if isinstance(reply, Refusal) else "stop",
    }


def _usage(reply: Reply) -> UsageMetadata | None:
    """The generator's own count of tokens, None where it gave none."""
    usage = reply.draft.usage if isinstance(reply, Answer) else None
    if usage is None:
        return None
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens, "total_tokens": usage.prompt_tokens + usage.completion_tokens}

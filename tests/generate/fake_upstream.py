"""A real HTTP server that speaks OpenAI's chat completions as a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from guardrail.generate.openai import OpenAIGenerator
from guardrail.protocols import Prompt
from guardrail.types import Evidence, Message, Question, Request, Sampling

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def prompt(text: str = "What is justice?", sampling: Sampling | None = None) -> Prompt:
    messages = (Message(role="system", content="Answer from the passages."), Message(role="user", content=text))
    request = Request(id="1", persona="plato", messages=messages)
    evidence = Evidence(question=Question(request=request, text=text), hits=())
    return Prompt(messages=messages, evidence=evidence, sampling=sampling or Sampling(), template="test@1:0")


def event(content: str | None = None, finish_reason: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}\n\n'
DONE = b"data: [DONE]\n\n"


def stream(*parts: bytes, pause: float = 0.0) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(pause)
        return response

    return handler


@asynccontextmanager
async def upstream(handler: Handler, models: Handler | None = None) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """Base URL of a server that answers chat completions with `handler`, and the requests it saw."""
    seen: list[web.Request] = []

    async def record(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", record)
    if models is not None:
        app.router.add_get("/v1/models", models)
    async with TestServer(app) as server:  # cancels a handler whose client has gone
        yield str(server.make_url("/v1")), seen


@asynccontextmanager
async def generator(base_url: str, *, retries: int = 0, timeout_seconds: float = 5.0, api_key: str | None = None) -> AsyncIterator[OpenAIGenerator]:
    made = OpenAIGenerator(base_url=base_url, model="tiny", retries=retries, timeout_seconds=timeout_seconds, api_key=api_key, temperature=0.25, max_tokens=64)
    try:
        yield made
    finally:
        await made.aclose()

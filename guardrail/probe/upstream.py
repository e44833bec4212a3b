"""A model server that says what a script tells it to, in OpenAI's shape, whole and streamed."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from guardrail.errors import InvalidRequest
from guardrail.probe.script import INNOCENT, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_HEAD = {"id": "chatcmpl-probe", "created": 1}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 21, "total_tokens": 30}
_TOOL = "note"
_TEAR = 23
"""Bytes of one segment where events are torn apart: fewer than any event has."""


class Upstream:
    """Plays `script` to whoever asks."""

    def __init__(self, script: Script, *, pause: float) -> None:
        """`pause`: seconds between two pieces."""
        self.script = script
        self._pause = pause
        self.asked = 0
        """How often it was asked for a completion."""
        self.first_piece: float | None = None
        """When the first piece of the latest stream was written (`time.perf_counter`)."""

    async def models(self, request: web.Request) -> web.StreamResponse:  # noqa: ARG002 - aiohttp's signature
        return web.json_response({"object": "list", "data": []})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        script = self.script
        self.asked += 1
        asked = await request.json()
        model = asked.get("model", "probe")
        if not asked.get("stream"):
            return web.json_response(_whole(script, model))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        self.first_piece = None
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        with suppress(ConnectionResetError):  # a server that has seen enough hangs up
            for event in _events(script, model, usage=usage):
                for segment in _segments(event) if script.torn else (event,):
                    if self.first_piece is None:
                        self.first_piece = time.perf_counter()
                    await response.write(segment)
                    await asyncio.sleep(self._pause)
        if script.abrupt and request.transport is not None:
            request.transport.abort()
        return response


@asynccontextmanager
async def played(upstream: Upstream, *, host: str, port: int) -> AsyncIterator[str]:
    """The base URL of `upstream` while it runs. Raises InvalidRequest where it cannot listen there."""
    app = web.Application()
    app.router.add_get("/v1/models", upstream.models)
    app.router.add_post("/v1/chat/completions", upstream.complete)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
        assert site._server is not None
        bound = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined] # asyncio's servers have sockets, its abstract class does not say so
        yield f"http://{host}:{bound}/v1"
    except OSError as error:
        raise InvalidRequest(f"The fake model cannot listen at {host}:{port} ({error.strerror}): choose another place with --listen.") from None
    finally:
        await runner.cleanup()


def _whole(script: Script, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": INNOCENT}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
    choices = [choice]
    extra: dict[str, Any] = {}
    match script.place:
        case "content" | "logprobs":
            message["content"] = script.text
            if script.place == "logprobs":
                choice["logprobs"] = _logprobs(script.pieces)
        case "think":
            message["content"] = f"<think>{script.text}</think>{INNOCENT}"
        case "tool_calls":
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": {"name": _TOOL, "arguments": "".join(_arguments(script.pieces))}}]
            choice["finish_reason"] = "tool_calls"
        case "function_call":
            message["function_call"] = {"name": _TOOL, "arguments": "".join(_arguments(script.pieces))}
            choice["finish_reason"] = "function_call"
        case "second_choice":
            choices.append({"index": 1, "message": {"role": "assistant", "content": script.text}, "finish_reason": "stop"})
        case "token":
            extra = {"generated_text": script.text}
        case _:
            message[script.place] = script.text
    return {**_HEAD, "object": "chat.completion", "model": model, "choices": choices, "usage": _USAGE, **extra}


def _events(script: Script, model: str, *, usage: bool) -> Iterator[bytes]:
    head = {**_HEAD, "object": "chat.completion.chunk", "model": model}
    yield _event({**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for choices, extra in _pieces(script):
        yield _event({**head, "choices": choices, **extra})
    if script.abrupt:
        return
    reason = script.place if script.place in {"tool_calls", "function_call"} else "stop"
    for index in (0, 1) if script.place == "second_choice" else (0,):
        yield _event({**head, "choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
    if usage:
        yield _event({**head, "choices": [], "usage": _USAGE})
    yield b"data: [DONE]\n\n"


def _pieces(script: Script) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """The choices of each event, and what stands beside them."""
    innocent = _choice({"content": INNOCENT})
    match script.place:
        case "content":
            yield from (([_choice({"content": piece})], {}) for piece in script.pieces)
        case "think":
            yield from (([_choice({"content": piece})], {}) for piece in ("<think>", *script.pieces, "</think>", INNOCENT))
        case "logprobs":
            yield from (([_choice({"content": piece}) | {"logprobs": _logprobs((piece,))}], {}) for piece in script.pieces)
        case "tool_calls":
            yield [innocent], {}
            for number, arguments in enumerate(_arguments(script.pieces)):
                call: dict[str, Any] = {"index": 0, "function": {"arguments": arguments}}
                if number == 0:
                    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": _TOOL, "arguments": arguments}}
                yield [_choice({"tool_calls": [call]})], {}
        case "function_call":
            yield [innocent], {}
            yield from (([_choice({"function_call": {"name": _TOOL, "arguments": piece}})], {}) for piece in _arguments(script.pieces))
        case "second_choice":
            yield [innocent], {}
            yield from (([_choice({"content": piece}, index=1)], {}) for piece in script.pieces)
        case "token":
            yield [innocent], {}
            yield from (([_choice({})], {"token": {"id": 1, "text": piece, "logprob": -0.1, "special": False}}) for piece in script.pieces)
        case field:
            yield from (([_choice({field: piece})], {}) for piece in script.pieces)
            yield [innocent], {}


def _choice(delta: dict[str, Any], *, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None}


def _arguments(pieces: tuple[str, ...]) -> list[str]:
    """A JSON object in pieces."""
    return ['{"text": "', *(json.dumps(piece)[1:-1] for piece in pieces), '"}']


def _logprobs(pieces: tuple[str, ...]) -> dict[str, Any]:
    tokens = [{"token": piece, "logprob": -0.1, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces]
    return {"content": tokens, "refusal": None}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _segments(event: bytes) -> Iterator[bytes]:
    yield from (event[start : start + _TEAR] for start in range(0, len(event), _TEAR))

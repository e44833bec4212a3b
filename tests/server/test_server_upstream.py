"""The server in front of a model server that misbehaves: one clear sentence, a 503 before the first words and an error event after them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web

from guardrail import Guardrail
from guardrail.server import create_app
from guardrail.settings import GeneratorSettings, LibrarySettings, Settings
from tests.generate.fake_upstream import DONE, USAGE, event, stream, upstream
from tests.server.served import PATIENCE, chat, content, events, problem, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.generate.fake_upstream import Handler

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


async def models(request: web.Request) -> web.StreamResponse:
    return web.json_response({"data": [{"id": "tiny"}]})


@contextmanager
def before(base_url: str, timeout_seconds: float) -> Iterator[str]:
    """A server whose answers come from `base_url`."""
    generator = GeneratorSettings(kind="openai", model="tiny", base_url=base_url, retries=0, timeout_seconds=timeout_seconds)
    with served(create_app(Guardrail(Settings(library=LibrarySettings(index=None), rails=(), generator=generator)))) as address:
        yield address


@asynccontextmanager
async def behind(handler: Handler, *, timeout_seconds: float = PATIENCE) -> AsyncIterator[tuple[httpx.AsyncClient, list[web.Request]]]:
    """A client of a server whose upstream answers with `handler`, and what that upstream saw."""
    async with upstream(handler, models) as (base_url, seen):
        with before(base_url, timeout_seconds) as address:
            async with httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client:
                yield client, seen
        await asyncio.sleep(0)


async def ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=chat(**fields))


async def test_a_sound_upstream_is_passed_on_with_its_own_usage() -> None:
    async with behind(stream(event("Virtue is"), event(" knowledge."), event(finish_reason="stop"), USAGE, DONE)) as (client, _):
        whole = await ask(client)
        streamed = events((await ask(client, stream=True)).text)
    assert content(whole) == streamed.text == "Virtue is knowledge."
    assert whole.json()["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert streamed.done


async def test_the_callers_sampling_reaches_the_upstream() -> None:
    async with behind(stream(event("a"), event(finish_reason="stop"), DONE)) as (client, seen):
        await ask(client, temperature=0.5, max_tokens=5, seed=3, stop="x")
        body = await seen[0].json()
    assert {name: body[name] for name in ("temperature", "max_tokens", "seed", "stop")} == {"temperature": 0.5, "max_tokens": 5, "seed": 3, "stop": ["x"]}


@STREAMED
def test_an_upstream_that_is_down_is_503_and_named(streamed: bool) -> None:
    with before("http://127.0.0.1:9/v1", 5) as address:
        error = problem(httpx.post(f"{address}/v1/chat/completions", json=chat(stream=streamed), timeout=PATIENCE), 503)
    assert error["code"] == "generator_unavailable"
    assert "is down" in error["message"]


def test_a_server_whose_upstream_is_down_is_not_ready_and_says_why() -> None:
    with before("http://127.0.0.1:9/v1", 5) as address:
        httpx.post(f"{address}/v1/chat/completions", json=chat(), timeout=PATIENCE)
        assert "is down" in problem(httpx.get(f"{address}/readyz", timeout=PATIENCE), 503)["message"]


@STREAMED
async def test_an_upstream_that_never_answers_is_503(streamed: bool) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(PATIENCE)
        return web.Response()

    async with behind(silent, timeout_seconds=0.2) as (client, _):
        assert "did not answer within 0.2 s" in problem(await ask(client, stream=streamed), 503)["message"]


async def test_an_upstream_that_falls_silent_midway_ends_the_stream_with_an_error_event() -> None:
    async with behind(stream(event("Virtue is "), event("knowledge."), pause=1), timeout_seconds=0.3) as (client, _):
        found = events((await ask(client, stream=True)).text)
    assert found.text == "Virtue is "
    assert found.error
    assert "silent" in found.error["message"]


@pytest.mark.parametrize(
    "parts",
    [
        (event("Virtue is ")[:-12],),
        (event("Virtue is "),),
        (event("Virtue is "), b'data: {"choi'),
        (event("Virtue is "), b"data: <html>\n\n"),
        (event("Virtue is "), b'data: {"error": {"message": "out of memory"}}\n\n'),
    ],
    ids=["half-an-event", "no-done", "cut-in-an-event", "garbage", "error-event"],
)
@STREAMED
async def test_an_upstream_that_ends_badly_is_an_error_and_never_half_an_answer(parts: tuple[bytes, ...], streamed: bool) -> None:
    async with behind(stream(*parts)) as (client, _):
        response = await ask(client, stream=streamed)
    if streamed and response.status_code == 200:
        found = events(response.text)
        assert found.error
        assert found.error["code"] == "generator_unavailable"
        assert not found.done
    else:
        assert problem(response, 503)["code"] == "generator_unavailable"


async def test_an_upstream_that_was_told_to_stop_without_done_is_taken_at_its_word() -> None:
    async with behind(stream(event("Virtue is knowledge."), event(finish_reason="stop"))) as (client, _):
        assert content(await ask(client)) == "Virtue is knowledge."


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_an_upstreams_own_error_is_503_and_never_passed_on(status: int) -> None:
    async def failing(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "What is virtue?"}}, status=status)

    async with behind(failing) as (client, _):
        response = await ask(client)
    assert f"HTTP {status}" in problem(response, 503)["message"]
    assert "What is virtue?" not in response.text


async def test_a_caller_who_leaves_stops_the_upstream() -> None:
    stopped = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(event("Virtue. "))
                await asyncio.sleep(0.01)
        except (asyncio.CancelledError, ConnectionError):
            stopped.set()
            raise

    async with behind(endless) as (client, _):
        async with client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as response:
            assert await anext(response.aiter_raw())
        async with asyncio.timeout(PATIENCE):
            await stopped.wait()

"""The OpenAI-compatible backend against a real HTTP server that misbehaves in every way seen in the wild."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web

from guardrail.errors import ConfigurationError, GeneratorError
from guardrail.generate.openai import OpenAIGenerator
from guardrail.protocols import Chunk, Prompt
from guardrail.types import Sampling, Usage
from tests.generate.fake_upstream import DONE, USAGE, Handler, event, generator, prompt, stream, upstream


async def collect(made: OpenAIGenerator, asked: Prompt | None = None) -> list[Chunk]:
    return [chunk async for chunk in made.generate(asked or prompt())]


async def failure(handler: Handler, *, retries: int = 0, timeout_seconds: float = 5.0, asked: Prompt | None = None, api_key: str | None = None) -> str:
    """The one sentence that a request to `handler` fails with."""
    async with upstream(handler) as (url, _), generator(url, retries=retries, timeout_seconds=timeout_seconds, api_key=api_key) as made:
        with pytest.raises(GeneratorError) as caught:
            await collect(made, asked)
    return str(caught.value)


async def test_a_stream_is_joined_with_its_finish_reason_and_usage() -> None:
    async with upstream(stream(event("Justice "), event("is harmony."), event(finish_reason="stop"), USAGE, DONE)) as (url, _), generator(url) as made:
        chunks = await collect(made)
    assert "".join(chunk.text for chunk in chunks) == "Justice is harmony."
    assert chunks[-1].finish_reason == "stop"
    assert chunks[-1].usage == Usage(prompt_tokens=7, completion_tokens=3)
    assert all(chunk.finish_reason is None for chunk in chunks[:-1])


async def test_a_second_choice_that_nobody_asked_for_is_left_out() -> None:
    other = b"data: " + json.dumps({"choices": [{"index": 1, "delta": {"content": "Something else."}}]}).encode() + b"\n\n"
    async with upstream(stream(event("Justice "), other, event("is harmony.", "stop"), DONE)) as (url, _), generator(url) as made:
        assert "".join(chunk.text for chunk in await collect(made)) == "Justice is harmony."


async def test_a_character_split_over_two_packets_comes_out_whole() -> None:
    raw = b"data: " + json.dumps({"choices": [{"delta": {"content": "ψυχή 😀"}}]}, ensure_ascii=False).encode() + b"\n\n"
    parts = [raw[i : i + 1] for i in range(len(raw))]
    async with upstream(stream(*parts, event(finish_reason="stop"), DONE, pause=0.0005)) as (url, _), generator(url) as made:
        assert "".join(chunk.text for chunk in await collect(made)) == "ψυχή 😀"


async def test_text_is_yielded_before_the_stream_ends() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("first"))
        await released.wait()
        await response.write(event(" second", "stop") + DONE)
        return response

    async with upstream(handler) as (url, _), generator(url) as made:
        chunks = made.generate(prompt())
        assert (await anext(chunks)).text == "first"
        released.set()
        assert [chunk.text async for chunk in chunks] == [" second"]


async def test_what_is_sent_is_the_prompt_with_its_sampling_over_the_defaults() -> None:
    async with upstream(stream(event("x", "length"), DONE)) as (url, seen), generator(url, api_key="sk-test") as made:
        chunks = await collect(made, prompt(sampling=Sampling(top_p=0.5, seed=3, stop=("\nUser:",))))
        body = json.loads(await seen[0].read())
    assert chunks[-1].finish_reason == "length"
    assert seen[0].headers["Authorization"] == "Bearer sk-test"
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Answer from the passages."}, {"role": "user", "content": "What is justice?"}],
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tokens": 64,
        "seed": 3,
        "stop": ["\nUser:"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_connections_are_kept_alive() -> None:
    async with upstream(stream(event("x", "stop"), DONE)) as (url, seen), generator(url) as made:
        for _ in range(3):
            await collect(made)
        assert len({request.transport.get_extra_info("peername") for request in seen if request.transport}) == 1


async def test_a_server_that_answers_unstreamed_is_understood() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        )

    async with upstream(handler) as (url, _), generator(url) as made:
        chunks = await collect(made)
    assert chunks == [Chunk(text="Whole.", finish_reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=2))]


async def test_a_server_that_is_down_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with generator(f"http://127.0.0.1:{port}/v1", retries=1) as made:
        with pytest.raises(GeneratorError, match=f"127.0.0.1:{port}/v1 is down"):
            await collect(made)
        with pytest.raises(GeneratorError, match="is down"):
            await made.warm_up()


async def test_a_slow_first_token_is_a_timeout() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        return web.Response()

    assert "did not answer within 0.1 s" in await failure(handler, timeout_seconds=0.1)


async def test_silence_within_a_stream_is_a_timeout() -> None:
    assert "was silent for 0.1 s" in await failure(stream(event("x"), event("y"), pause=1), timeout_seconds=0.1)


async def test_a_stream_that_ends_without_saying_so_is_an_error() -> None:
    assert "without saying that it was complete" in await failure(stream(event("Justice is")))
    assert "without saying that it was complete" in await failure(stream())


async def test_half_an_event_is_an_error_and_no_text() -> None:
    async with upstream(stream(event("whole"), event("half")[:-9], pause=0.01)) as (url, _), generator(url) as made:
        chunks = made.generate(prompt())
        assert (await anext(chunks)).text == "whole"
        with pytest.raises(GeneratorError, match="without saying"):
            await anext(chunks)


async def test_a_finish_reason_without_done_is_complete() -> None:
    async with upstream(stream(event("x"), event(finish_reason="stop"))) as (url, _), generator(url) as made:
        assert (await collect(made))[-1].finish_reason == "stop"


async def test_a_connection_cut_in_the_middle_is_an_error() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("x"))
        assert request.transport is not None
        request.transport.abort()
        return response

    assert "broke off in the middle" in await failure(handler, retries=2)


async def test_garbage_is_an_error() -> None:
    assert "not an OpenAI chat completion" in await failure(stream(b"data: {nonsense\n\n"))
    assert "not an OpenAI chat completion" in await failure(stream(b'data: {"choices": 3}\n\n'))
    assert "not an OpenAI chat completion" in await failure(stream(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'))
    assert "without saying" in await failure(stream(b"<html>hello</html>"))
    assert "more than" in await failure(stream(b"data: " + b"x" * 3_000_000))


async def test_an_error_inside_the_stream_is_an_error() -> None:
    assert "(out of memory)" in await failure(stream(event("x"), b'data: {"error": {"message": "out of memory"}}\n\n', DONE))
    assert "(worker died)" in await failure(stream(b'data: {"error": "worker died"}\n\n'))


def flaky(failures: list[web.Response], then: Handler) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return failures.pop(0) if failures else await then(request)

    return handler


async def test_429_waits_as_long_as_retry_after_says() -> None:
    started = asyncio.get_running_loop().time()
    handler = flaky([web.Response(status=429, headers={"Retry-After": "0.4"})], stream(event("x", "stop"), DONE))
    async with upstream(handler) as (url, seen), generator(url, retries=1) as made:
        await collect(made)
    assert len(seen) == 2
    assert asyncio.get_running_loop().time() - started >= 0.4


async def test_a_retry_after_beyond_the_timeout_is_not_waited_for() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"})

    assert "HTTP 429" in await failure(handler, retries=5)


async def test_5xx_is_tried_again_and_then_given_up() -> None:
    handler = flaky([web.Response(status=500), web.Response(status=503)], stream(event("x", "stop"), DONE))
    async with upstream(handler) as (url, seen), generator(url, retries=2) as made:
        assert (await collect(made))[-1].text == "x"
        assert len(seen) == 3
    handler = flaky([web.Response(status=500) for _ in range(9)], stream())
    async with upstream(handler) as (url, seen), generator(url, retries=1) as made:
        with pytest.raises(GeneratorError, match="HTTP 500"):
            await collect(made)
        assert len(seen) == 2


async def test_a_connection_closed_before_the_answer_is_tried_again() -> None:
    dropped: list[int] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if not dropped:
            dropped.append(1)
            assert request.transport is not None
            request.transport.abort()
        return await stream(event("x", "stop"), DONE)(request)

    async with upstream(handler) as (url, _), generator(url, retries=1) as made:
        assert (await collect(made))[-1].text == "x"


async def test_a_kept_connection_that_the_server_closes_costs_no_retry() -> None:
    calls: list[int] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        calls.append(1)
        if len(calls) == 2:
            assert request.transport is not None
            request.transport.close()
        return await stream(event("x", "stop"), DONE)(request)

    async with upstream(handler) as (url, _), generator(url, retries=0) as made:
        await collect(made)
        assert (await collect(made))[-1].text == "x"
    assert len(calls) == 3


async def test_nothing_is_tried_again_after_the_first_text() -> None:
    async with upstream(stream(event("x"))) as (url, seen), generator(url, retries=3) as made:
        with pytest.raises(GeneratorError):
            await collect(made)
        assert len(seen) == 1


async def test_4xx_is_not_tried_again_and_gives_the_servers_reason_shortened() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "max_tokens is too large. " * 40}}, status=400)

    sentence = await failure(handler, retries=3)
    assert "HTTP 400 (max_tokens is too large." in sentence
    assert len(sentence) < 300


async def test_a_reason_that_repeats_the_user_or_the_key_is_kept_back() -> None:
    secret = "My name is Theodora Palaiologina and my number is 4711."

    async def echo(request: web.Request) -> web.StreamResponse:
        text = json.loads(await request.read())["messages"][1]["content"]
        return web.json_response({"error": {"message": f"bad input: {text}"}}, status=400)

    async def echo_key(request: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": f"wrong key {request.headers['Authorization']}"}, status=401)

    assert "Theodora" not in await failure(echo, asked=prompt(secret))
    assert "HTTP 400" in await failure(echo, asked=prompt(secret))
    assert "sk-abcdefghij0123456789" not in await failure(echo_key, api_key="sk-abcdefghij0123456789")


async def test_closing_the_iterator_cuts_the_upstream_connection() -> None:
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(event("word "))
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise

    async with upstream(handler) as (url, _), generator(url) as made:
        chunks = made.generate(prompt())
        assert (await anext(chunks)).text
        await chunks.aclose()
        await asyncio.wait_for(gone.wait(), 5)


async def test_cancelling_before_the_first_token_cuts_the_upstream_connection() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        arrived.set()
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()
        return web.Response()

    async with upstream(handler) as (url, _), generator(url) as made:
        task = asyncio.ensure_future(collect(made))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)


async def listing(request: web.Request) -> web.StreamResponse:
    return web.json_response({"data": [{"id": "tiny"}, {"id": "large"}]})


async def listing_others(request: web.Request) -> web.StreamResponse:
    return web.json_response({"object": "list", "data": [{"id": "large"}]})


async def refuse_model(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "no model of that name"}}, status=404)


async def test_warm_up_is_content_with_a_server_that_lists_the_model() -> None:
    async with upstream(refuse_model, listing) as (url, seen), generator(url) as made:
        await made.warm_up()
        assert not seen


async def test_warm_up_asks_for_a_token_where_the_list_lacks_the_model() -> None:
    async with upstream(stream(event("x", "stop"), DONE), listing_others) as (url, seen), generator(url) as made:
        await made.warm_up()
        assert json.loads(await seen[0].read())["max_tokens"] == 1


async def test_warm_up_says_what_the_server_offers_instead() -> None:
    async with upstream(refuse_model, listing_others) as (url, _), generator(url) as made:
        with pytest.raises(GeneratorError, match=r"'tiny' does not answer. It offers large. .* HTTP 404 \(no model of that name\)"):
            await made.warm_up()


async def test_warm_up_names_a_wrong_key_and_a_wrong_path() -> None:
    async def unauthorized(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=401)

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    async with upstream(refuse_model, unauthorized) as (url, _), generator(url) as made:
        with pytest.raises(GeneratorError, match="refuses the key"):
            await made.warm_up()
    async with upstream(refuse_model, page) as (url, _), generator(url) as made:
        with pytest.raises(GeneratorError, match="not OpenAI-compatible"):
            await made.warm_up()
    async with upstream(refuse_model) as (url, _), generator(url.removesuffix("/v1")) as made:
        with pytest.raises(GeneratorError, match="usually ends in /v1"):
            await made.warm_up()


def test_a_base_url_that_is_none_is_refused() -> None:
    for wrong in ("localhost:8000", "", "ftp://x/v1", "http://"):
        with pytest.raises(ConfigurationError, match="base_url"):
            OpenAIGenerator(base_url=wrong, model="tiny")

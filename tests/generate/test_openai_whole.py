"""A draft that nobody reads before it is complete is asked for in one piece."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from aiohttp import web

from guardrail.assemble import Guardrail
from guardrail.settings import GeneratorSettings, LibrarySettings, Settings
from guardrail.types import Answer, Usage
from tests.generate.fake_upstream import DONE, event, generator, prompt, upstream

WHOLE = {"choices": [{"message": {"role": "assistant", "content": "Harmony."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


async def answer(request: web.Request) -> web.StreamResponse:
    if "stream" in await request.json():
        return web.Response(body=event("Harmony.", "stop") + DONE, content_type="text/event-stream")
    return web.json_response(WHOLE)


async def test_a_prompt_without_use_for_pieces_is_not_streamed() -> None:
    async with upstream(answer) as (url, seen), generator(url) as made:
        chunks = [chunk async for chunk in made.generate(replace(prompt(), stream=False))]
        assert not {"stream", "stream_options"} & set(msgspec.json.decode(await seen[0].read()))
    assert [(chunk.text, chunk.finish_reason, chunk.usage) for chunk in chunks] == [("Harmony.", "stop", Usage(prompt_tokens=7, completion_tokens=3))]


@pytest.mark.parametrize("streamed", [False, True])
async def test_without_a_judge_only_a_stream_is_asked_for_as_one(streamed: bool) -> None:
    async with upstream(answer) as (url, seen):
        settings = Settings(library=LibrarySettings(index=None), generator=GeneratorSettings(kind="openai", model="tiny", base_url=url), rails=())
        guard = Guardrail(settings)
        try:
            reply = [item async for item in guard.stream("What is justice?")][-1] if streamed else await guard.reply("What is justice?")
        finally:
            await guard.aclose()
        assert isinstance(reply, Answer)
        assert reply.text == "Harmony."
        assert ("stream" in msgspec.json.decode(await seen[-1].read())) is streamed

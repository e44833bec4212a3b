"""The OpenAI-compatible backend against the real `transformers serve`."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from guardrail.errors import GeneratorError
from guardrail.generate.openai import OpenAIGenerator
from guardrail.generate.transformers import TransformersGenerator
from guardrail.protocols import Chunk, Prompt
from guardrail.types import Evidence, Message, Question, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server that serves the tiny Llama."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from transformers.cli.transformers import main; main()"
    log = tmp_path_factory.mktemp("serve") / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-c", command, "serve", str(tiny_llama), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(log.parent)},  # it lists the models of that folder
            stdout=out,
            stderr=out,
        ) as process,
    ):
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


def prompt(text: str) -> Prompt:
    messages = (Message(role="user", content=text),)
    evidence = Evidence(question=Question(request=Request(id="1", persona="plato", messages=messages), text=text), hits=())
    return Prompt(messages=messages, evidence=evidence, sampling=Sampling(temperature=0.0, max_tokens=16), template="test@1:0")


async def collect(generator: OpenAIGenerator | TransformersGenerator, asked: Prompt) -> list[Chunk]:
    return [chunk async for chunk in generator.generate(asked)]


@asynccontextmanager
async def remote(server: str, model: str) -> AsyncIterator[OpenAIGenerator]:
    generator = OpenAIGenerator(base_url=server, model=model, retries=0)
    try:
        yield generator
    finally:
        await generator.aclose()


async def ready(generator: OpenAIGenerator) -> None:
    """Wait until the server has loaded its model."""
    for _ in range(360):
        try:
            return await generator.warm_up()
        except GeneratorError as error:
            if "is down" not in str(error):
                raise
            await asyncio.sleep(0.25)
    raise TimeoutError


async def test_transformers_serve_streams_the_reply_that_the_local_backend_writes(server: str, tiny_llama: Path) -> None:
    async with remote(server, str(tiny_llama)) as generator:
        await ready(generator)
        chunks = await collect(generator, prompt("What is justice?"))
    local = TransformersGenerator(model=str(tiny_llama))
    expected = await collect(local, prompt("What is justice?"))
    await local.aclose()
    shown = "".join(chunk.text for chunk in chunks).replace("\ufffd", "")  # for bytes that form no character, which the local backend leaves out
    assert shown == "".join(chunk.text for chunk in expected)
    assert chunks[-1].finish_reason == expected[-1].finish_reason
    assert chunks[-1].usage == expected[-1].usage


async def test_a_model_that_transformers_serve_does_not_serve_is_named(server: str, tiny_llama: Path) -> None:
    async with remote(server, str(tiny_llama)) as generator:
        await ready(generator)
    async with remote(server, "other") as generator:
        with pytest.raises(GeneratorError, match=r"The model 'other' does not answer.*HTTP 400"):
            await generator.warm_up()

"""`guardrail serve` in a process of its own: how it starts, how it ends, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from tests.generate.fake_upstream import DONE, event, upstream
from tests.server.served import PATIENCE, chat, events, problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
CONFIG = """
library: {{index: null}}
rails: []
generator: {{kind: openai, model: tiny, base_url: "{base_url}", retries: 0}}
server: {{shutdown_seconds: {seconds}}}
"""


@dataclass
class Process:
    """A server and what it says on standard error."""

    process: asyncio.subprocess.Process
    address: str
    said: list[str]

    async def ended(self) -> int:
        """Its exit code, once it has ended; what it said until then is in `said`."""
        assert self.process.stderr
        async with asyncio.timeout(PATIENCE):
            self.said += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()


async def spawned(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "guardrail", "serve", *map(str, arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def failed(*arguments: object) -> tuple[int, str]:
    """Exit code and standard error of a server that cannot start."""
    process = await spawned(*arguments)
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert out == b""
    assert process.returncode is not None
    return process.returncode, err.decode()


@dataclass
class Slow:
    """An upstream that says two words and then waits to be let go."""

    go_on: asyncio.Event

    async def models(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": [{"id": "tiny"}]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(event("Virtue is "))
        await self.go_on.wait()
        for part in (event("knowledge."), event(finish_reason="stop"), DONE):
            await response.write(part)
        return response


@asynccontextmanager
async def running(folder: Path, slow: Slow, *, seconds: float) -> AsyncIterator[Process]:
    """A server in front of `slow`, ready."""
    async with upstream(slow.answer, slow.models) as (base_url, _):
        config = folder / "guardrail.yaml"
        config.write_text("version: 1\n" + CONFIG.format(base_url=base_url, seconds=seconds))
        process = await spawned("--port", 0, "--config", config)
        try:
            assert process.stderr
            async with asyncio.timeout(PATIENCE):
                said = (await process.stderr.readline()).decode().strip()
            assert said.startswith("guardrail is ready at http://127.0.0.1:"), said
            yield Process(process=process, address=said.rpartition(" ")[2], said=[said])
        finally:
            slow.go_on.set()
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_a_server_told_to_stop_finishes_the_streams_that_run(tmp_path: Path) -> None:
    slow = Slow(asyncio.Event())
    async with running(tmp_path, slow, seconds=PATIENCE) as server, httpx.AsyncClient(timeout=PATIENCE) as client:
        async with client.stream("POST", f"{server.address}/v1/chat/completions", json=chat(stream=True)) as response:
            pieces = response.aiter_text()
            body = await anext(pieces)
            server.process.send_signal(signal.SIGTERM)
            await until_it_takes_no_more(server.address)
            slow.go_on.set()
            async for piece in pieces:
                body += piece
        code = await server.ended()
    found = events(body)
    assert (found.text, found.done) == ("Virtue is knowledge.", True)
    assert code == 0
    assert "Traceback" not in "".join(server.said)


async def until_it_takes_no_more(address: str) -> None:
    """Wait until new callers are turned away."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            except ConnectionRefusedError:
                return
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.02)


async def test_what_takes_longer_than_the_time_to_shut_down_is_told_so(tmp_path: Path) -> None:
    async with running(tmp_path, Slow(asyncio.Event()), seconds=0.1) as server, httpx.AsyncClient(timeout=PATIENCE) as client:
        whole = asyncio.create_task(client.post(f"{server.address}/v1/chat/completions", json=chat()))
        async with client.stream("POST", f"{server.address}/v1/chat/completions", json=chat(stream=True)) as response:
            pieces = response.aiter_text()
            body = await anext(pieces)
            server.process.send_signal(signal.SIGTERM)
            async for piece in pieces:
                body += piece
        assert problem(await whole, 503)["code"] == "shutting_down"
        await server.ended()
    assert "Traceback" not in "".join(server.said)
    found = events(body)
    assert found.text == "Virtue is "
    assert found.error
    assert found.error["code"] == "shutting_down"


async def test_ctrl_c_ends_an_idle_server_without_a_traceback(tmp_path: Path) -> None:
    async with running(tmp_path, Slow(asyncio.Event()), seconds=5) as server:
        server.process.send_signal(signal.SIGINT)
        assert await server.ended() == 0
    assert server.said == server.said[:1]


async def test_every_line_of_the_log_is_json(tmp_path: Path) -> None:
    slow = Slow(asyncio.Event())
    slow.go_on.set()
    async with running(tmp_path, slow, seconds=5) as server:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            assert (await client.post(f"{server.address}/v1/chat/completions", json=chat())).status_code == 200
            assert (await client.get(f"{server.address}/nothing")).status_code == 404
        server.process.send_signal(signal.SIGTERM)
        await server.ended()
    lines = [json.loads(line) for line in server.said[1:]]
    assert [(line["event"], line["status"]) for line in lines if line["logger"] == "guardrail.access"] == [("request", 200), ("request", 404)]


async def test_a_port_in_use_is_one_sentence_and_exit_code_2() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        code, said = await failed("--port", port)
    assert code == 2
    assert said.startswith(f"guardrail: Port {port} on 127.0.0.1 cannot be opened")
    assert "--port" in said
    assert said.count("\n") == 1


async def test_a_host_that_is_not_here_is_one_sentence_and_exit_code_2() -> None:
    code, said = await failed("--host", "192.0.2.1", "--port", 0)
    assert (code, said.count("\n")) == (2, 1)


@pytest.mark.parametrize("made", [False, True], ids=["missing", "empty"])
async def test_an_index_that_is_not_there_is_one_sentence_and_exit_code_1(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "index"
    if made:
        folder.mkdir()
    config = tmp_path / "guardrail.yaml"
    config.write_text(f"version: 1\nlibrary: {{index: '{folder}'}}\n")
    code, said = await failed("--port", 0, "--config", config)
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith("guardrail: ")
    assert str(folder) in said

"""The stream probe against a server that holds, one that looks at each piece alone, and one that does not look at all."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import httpx
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from guardrail import Guardrail
from guardrail.cli.main import cli
from guardrail.errors import GeneratorError, InvalidRequest
from guardrail.probe import Report, Target, probe_stream
from guardrail.server import create_app
from guardrail.settings import GeneratorSettings, LibrarySettings, RailSettings, ServerSettings, Settings
from tests.server.served import PATIENCE, served, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SECRET = "the vault code is nine four two"
KEY = "a caller's key"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def guarded(port: int, *more: str) -> Iterator[str]:
    """Our own server, with a model at `port` and a rule against the secret and `more`."""
    generator = GeneratorSettings(kind="openai", model="probe", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
    rails = (RailSettings(id="keywords", stage="output", options={"phrases": [SECRET, *more]}),)
    settings = Settings(library=LibrarySettings(index=None), rails=rails, generator=generator, server=ServerSettings(api_keys=(KEY,)))
    with served(create_app(Guardrail(settings))) as address:
        yield f"{address}/v1"


@contextmanager
def unguarded(port: int) -> Iterator[str]:
    """The bare proxy of the benchmarks, which checks nothing."""
    own = free_port()
    command = [sys.executable, "-m", "benchmarks.bare_proxy", "--port", str(own), "--upstream", f"http://127.0.0.1:{port}/v1"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=10)) as client:
                client.get(f"http://127.0.0.1:{own}/", timeout=PATIENCE)
            yield f"http://127.0.0.1:{own}/v1"
        finally:
            process.terminate()


@contextmanager
def short_sighted(port: int) -> Iterator[str]:
    """A proxy that drops every line of a stream that holds the whole secret, and nothing else."""
    address: list[str] = []
    up, down = threading.Event(), threading.Event()

    async def complete(request: web.Request) -> web.StreamResponse:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{port}/v1/chat/completions", data=await request.read(), headers={"content-type": "application/json"}) as answer,
        ):
            if answer.content_type == "application/json":
                text = await answer.text()
                return web.Response(text=text.replace(SECRET, "***"), content_type="application/json")
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            try:
                async for line in answer.content:
                    if SECRET.encode() not in line:
                        await response.write(line)
            except aiohttp.ClientPayloadError:
                assert request.transport is not None
                request.transport.abort()
            return response

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        up.set()
        await wait_for(down)
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert up.wait(PATIENCE)
    try:
        yield address[0]
    finally:
        down.set()
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def held() -> Report:
    """Every script, played behind our own server."""
    port = free_port()
    with guarded(port) as url:
        return asyncio.run(probe_stream(Target(url=url, model="plato", secret=SECRET, api_key=KEY, pause=0.0005), port=port))


def test_our_own_server_lets_no_character_through_at_any_split(held: Report) -> None:
    assert len([exposure for exposure in held.exposures if exposure.stream]) > 80
    assert held.leaks == ()


def test_our_own_server_is_asked_at_every_split_position(held: Report) -> None:
    played = {exposure.script for exposure in held.exposures}
    assert played.issuperset(f"middle, cut at {cut}" for cut in range(len(SECRET) + 1))


def test_a_benign_text_comes_through_our_own_server(held: Report) -> None:
    assert held.benign_stream
    assert held.benign_whole


def test_our_own_stream_and_whole_reply_agree(held: Report) -> None:
    assert not held.disagreements


def test_our_own_answers_are_complete(held: Report) -> None:
    assert held.incomplete == ()
    assert held.broken == ()


def test_our_own_server_says_so_when_its_model_breaks_off(held: Report) -> None:
    abrupt = [exposure for exposure in held.exposures if exposure.abrupt]
    assert abrupt
    assert all(exposure.broken == "an error event" or exposure.status == 503 for exposure in abrupt)


@pytest.fixture(scope="module")
def leaking() -> Result:
    """The command, pointed at a proxy without rails."""
    port = free_port()
    with unguarded(port) as url:
        return command(url, port, "--json", "--quick")


def test_a_proxy_without_rails_is_found_leaking_everywhere(leaking: Result) -> None:
    exposures = json.loads(leaking.stdout)["exposures"]
    assert all(exposure["leaked"] == len(SECRET) for exposure in exposures if not exposure["abrupt"])
    assert all(exposure["leaked"] >= len(SECRET) - 1 for exposure in exposures)


def test_a_proxy_that_looks_at_each_piece_alone_is_found_leaking_at_the_splits_only() -> None:
    port = free_port()
    with short_sighted(port) as url:
        report = asyncio.run(probe_stream(Target(url=url, model="any", secret=SECRET, quick=True), port=port))
    by_script = {exposure.script: exposure.leaked for exposure in report.exposures if exposure.stream}
    assert by_script["middle, in one piece"] == 0
    assert by_script[f"middle, cut at {len(SECRET) // 2}"] == len(SECRET)
    assert any(item.what == "text" for item in report.disagreements)


def test_the_command_ends_with_0_where_nothing_leaks() -> None:
    port = free_port()
    with guarded(port) as url:
        result = command(url, port, "--api-key", KEY, "--quick")
    assert result.exit_code == 0, result.stderr
    assert "leaked: nothing" in result.stdout
    assert "texts played" in result.stderr


def test_the_command_ends_with_1_and_names_the_field_where_something_leaks(leaking: Result) -> None:
    assert leaking.exit_code == 1
    report = json.loads(leaking.stdout)
    assert report["worst"] == len(SECRET)
    fields = {field for exposure in report["exposures"] for field in exposure["fields"]}
    assert {"choices[0].content", "choices[1].content", "choices[0].reasoning_content", "choices[0].refusal", "token.text"} <= fields
    assert {"choices[0].tool_calls[].function.arguments", "choices[0].logprobs.content[].token", "choices[0].logprobs.content[].bytes"} <= fields


def test_the_command_warns_where_nothing_passes_at_all() -> None:
    port = free_port()
    with guarded(port, "keep") as url:
        result = command(url, port, "--api-key", KEY, "--quick")
    assert result.exit_code == 0
    assert "did not come through unchanged" in result.stderr


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", ":80"])
def test_an_address_that_is_none_is_bad_usage(listen: str) -> None:
    result = CliRunner().invoke(cli, ["probe", "stream", "--url", "http://127.0.0.1:1/v1", "--model", "m", "--secret", "s", "--listen", listen])
    assert result.exit_code == 2
    assert "--listen" in result.stderr


def test_a_server_that_asks_another_model_is_bad_usage() -> None:
    port, other = free_port(), free_port()
    with guarded(other) as url, pytest.raises(InvalidRequest, match="did not ask the model"):
        asyncio.run(probe_stream(Target(url=url, model="plato", secret=SECRET, api_key=KEY, patience=0.1), port=port))


async def test_a_place_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidRequest, match="cannot listen"):
        await probe_stream(Target(url="http://127.0.0.1:1/v1", model="m", secret=SECRET), port=taken.getsockname()[1])


async def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(GeneratorError, match="No server answers"):
        await probe_stream(Target(url=f"http://127.0.0.1:{free_port()}/v1", model="m", secret=SECRET), port=free_port())


async def test_an_address_that_is_no_url_is_said() -> None:
    with pytest.raises(GeneratorError, match="--url"):
        await probe_stream(Target(url="nonsense", model="m", secret=SECRET), port=free_port())


async def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        await probe_stream(Target(url="http://127.0.0.1:1/v1", model="m", secret="  "), port=free_port())


def command(url: str, port: int, *more: str) -> Result:
    return CliRunner().invoke(cli, ["probe", "stream", "--url", url, "--model", "plato", "--secret", SECRET, "--listen", f"127.0.0.1:{port}", *more])

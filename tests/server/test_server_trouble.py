"""Things go wrong under way: callers who leave, too many of them, too little time, a model or a rail that fails. Never a refusal, never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from guardrail import Guardrail
from guardrail.chat import Chat
from guardrail.deployment import Deployment
from guardrail.enforcement import EnforcedRail
from guardrail.errors import BudgetExceeded, GeneratorError, Overloaded
from guardrail.server import create_app
from guardrail.server.admission import Admission
from guardrail.server.client import Turn
from guardrail.settings import RailSettings
from tests.server.served import PATIENCE, TEXT, Words, ask, chat, content, events, problem, served, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.protocols import Need
    from guardrail.types import Stage, Verdict

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@contextmanager
def serving(generator: Words, **server: Any) -> Iterator[str]:
    """The address of a server that has loaded everything."""
    keywords = RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]})
    with served(create_app(Guardrail(settings(keywords, **server), generator=generator))) as address:
        until(lambda: httpx.get(f"{address}/readyz", timeout=PATIENCE).status_code == 200, "it was never ready")
        yield address


LONG = " ".join("".join(hashlib.sha256(f"{number} {part}".encode()).hexdigest() for part in range(256)) for number in range(64))
"""A megabyte without a repetition: more than the buffers between two sockets take here."""


@contextmanager
def connection(address: str, body: bytes, *, length: int | None = None) -> Iterator[socket.socket]:
    """A caller that sent its request and has read nothing yet."""
    url = urlsplit(address)
    with closing(socket.create_connection((str(url.hostname), int(url.port or 0)), timeout=PATIENCE)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length or len(body)}\r\n\r\n"
        caller.sendall(head.encode() + body)
        yield caller


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def figure(address: str, name: str) -> float:
    (line,) = [line for line in httpx.get(f"{address}/metrics", timeout=PATIENCE).text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


# -- callers who leave ----------------------------------------------------------------------------------------------


def test_a_caller_who_hangs_up_mid_stream_stops_the_generator() -> None:
    generator = Words(stop_at=3)
    with serving(generator) as address:
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=chat(stream=True), timeout=PATIENCE) as response:
            assert b"Virtue" in next(response.iter_raw())
        assert generator.left.wait(PATIENCE)


@STREAMED
def test_a_caller_who_hangs_up_while_waiting_stops_the_generator(stream: bool) -> None:
    generator = Words(stop_at=0)
    with serving(generator) as address:
        with connection(address, json.dumps(chat(stream=stream)).encode()):
            assert generator.begun.wait(PATIENCE)
        assert generator.left.wait(PATIENCE)


def test_a_caller_who_hangs_up_in_the_queue_gives_up_the_place() -> None:
    generator = Words(stop_at=0)
    with serving(generator, concurrency=1, queue=1) as address, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, address)
        assert generator.begun.wait(PATIENCE)
        with connection(address, json.dumps(chat()).encode()):
            until(lambda: figure(address, "guardrail_turns_waiting") == 1, "the second caller never waited")
        until(lambda: figure(address, "guardrail_turns_waiting") == 0, "the place in the queue was kept for nobody")
        generator.go_on.set()
        assert content(first.result()) == TEXT
        assert generator.calls == 1


def test_a_caller_who_has_left_is_counted_as_499_and_holds_no_place() -> None:
    generator = Words(stop_at=0)
    with serving(generator) as address:
        with connection(address, json.dumps(chat()).encode()):
            assert generator.begun.wait(PATIENCE)
        until(lambda: 'status="499"' in httpx.get(f"{address}/metrics", timeout=PATIENCE).text, "it was never counted")
        assert figure(address, "guardrail_turns_running") == 0


def test_a_caller_who_never_reads_is_dropped() -> None:
    generator = Words(text=LONG)
    with serving(generator, send_seconds=0.2) as address, connection(address, json.dumps(chat(stream=True)).encode()):
        assert generator.left.wait(PATIENCE)


def test_the_connection_of_a_caller_who_never_reads_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    generator = Words(text=LONG)
    with serving(generator, send_seconds=0.2) as address, connection(address, json.dumps(chat(stream=True)).encode()) as caller:
        assert generator.left.wait(PATIENCE)
        tail = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := caller.recv(1 << 20):
                tail = (tail + piece)[-16:]
    # What was on its way may still be read, but it is cut off: the server keeps no connection open for the rest.
    assert not tail.endswith(b"0\r\n\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    with serving(Words(), budget_seconds=0.2) as address, connection(address, b'{"model"', length=1000) as caller:
        answer = caller.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer


def test_a_silent_stream_is_kept_alive_with_comments() -> None:
    generator = Words(stop_at=2)
    with (
        serving(generator, keep_alive_seconds=0.1) as address,
        httpx.stream("POST", f"{address}/v1/chat/completions", json=chat(stream=True), timeout=PATIENCE) as response,
    ):
        body = ""
        for piece in response.iter_text():
            body += piece
            if ": still working\n\n" in body:
                generator.go_on.set()
    assert ": still working\n\n" in body
    assert events(body).text == TEXT
    assert events(body).done


# -- too many, too slow ---------------------------------------------------------------------------------------------


@STREAMED
def test_a_turn_over_the_queue_limit_is_429_with_retry_after(stream: bool) -> None:
    generator = Words(stop_at=0)
    with serving(generator, concurrency=1, queue=0) as address, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, address)
        assert generator.begun.wait(PATIENCE)
        second = ask(address, stream=stream)
        generator.go_on.set()
        assert content(first.result()) == TEXT
    assert problem(second, 429)["code"] == "overloaded"
    assert int(second.headers["retry-after"]) >= 1


def test_a_turn_within_the_queue_limit_waits_and_is_answered() -> None:
    generator = Words(stop_at=0)
    with serving(generator, concurrency=1, queue=1) as address, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, address)
        assert generator.begun.wait(PATIENCE)
        second = pool.submit(ask, address)
        until(lambda: figure(address, "guardrail_turns_waiting") == 1, "the second caller never waited")
        generator.go_on.set()
        assert content(first.result()) == content(second.result()) == TEXT


def test_health_is_told_while_every_place_is_taken() -> None:
    generator = Words(stop_at=0)
    with serving(generator, concurrency=1, queue=0) as address, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, address)
        assert generator.begun.wait(PATIENCE)
        assert [httpx.get(f"{address}{path}", timeout=PATIENCE).status_code for path in ("/livez", "/readyz", "/metrics", "/v1/models", "/")] == [200] * 5
        generator.go_on.set()
        first.result()


async def test_a_place_given_back_while_a_waiting_turn_is_cancelled_is_not_lost() -> None:
    admission = Admission(concurrency=1, queue=1)
    await admission.take()
    waiting = asyncio.create_task(admission.take())
    await asyncio.sleep(0)
    waiting.cancel()
    admission.give_back(0.1)  # before the cancelled one has run
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_turn_cancelled_after_it_was_handed_a_place_hands_it_on() -> None:
    admission = Admission(concurrency=1, queue=2)
    await admission.take()
    second, third = (asyncio.create_task(admission.take()) for _ in range(2))
    await asyncio.sleep(0)
    admission.give_back(0.1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await third
    with pytest.raises(Overloaded):
        await asyncio.gather(admission.take(), admission.take(), admission.take())


async def test_a_caller_who_leaves_while_a_turn_over_its_budget_is_ending_changes_nothing() -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()

    async def work() -> None:
        async with Turn(receive, 0.01) as turn:
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                turn.client_left()

    with pytest.raises(BudgetExceeded):
        await work()


@STREAMED
def test_a_turn_over_its_budget_is_504_and_stops_the_generator(stream: bool) -> None:
    generator = Words(stop_at=0)
    with serving(generator, budget_seconds=0.2) as address:
        assert problem(ask(address, stream=stream), 504)["code"] == "budget_exceeded"
        assert generator.left.wait(PATIENCE)


def test_a_stream_over_its_budget_ends_with_an_error_event() -> None:
    generator = Words(stop_at=3)
    with serving(generator, budget_seconds=0.6) as address:
        found = events(ask(address, stream=True).text)
    assert found.text == "Virtue is "
    assert found.error
    assert found.error["code"] == "budget_exceeded"
    assert not found.done
    assert generator.left.is_set()


# -- the model fails ------------------------------------------------------------------------------------------------


@STREAMED
def test_a_generator_that_fails_before_the_first_word_is_503(stream: bool) -> None:
    with serving(Words(error=GeneratorError("The model is down."))) as address:
        error = problem(ask(address, stream=stream), 503)
    assert (error["message"], error["code"], error["type"]) == ("The model is down.", "generator_unavailable", "server_error")


def test_a_generator_that_fails_mid_stream_ends_it_with_an_error_event() -> None:
    with serving(Words(error=GeneratorError("The model broke off."), error_at=4)) as address:
        response = ask(address, stream=True)
    found = events(response.text)
    assert response.status_code == 200
    assert found.text == " ".join(TEXT.split()[:3]) + " "
    assert found.error == {"message": "The model broke off.", "type": "server_error", "code": "generator_unavailable", "param": None}
    assert not found.done


def test_a_whole_reply_whose_generator_fails_midway_is_503() -> None:
    with serving(Words(error=GeneratorError("The model broke off."), error_at=4)) as address:
        problem(ask(address), 503)


@STREAMED
def test_a_bug_is_500_in_the_envelope_and_tells_nothing(stream: bool) -> None:
    with serving(Words(echo_error=True)) as address:
        response = ask(address, "xylophone", stream=stream)
    error = problem(response, 500)
    assert (error["code"], error["type"]) == ("internal_error", "server_error")
    assert "xylophone" not in response.text
    assert "Traceback" not in response.text


def test_a_bug_mid_stream_ends_it_with_an_error_event_that_tells_nothing() -> None:
    with serving(Words(error=RuntimeError("xylophone"), error_at=4)) as address:
        response = ask(address, stream=True)
    assert "xylophone" not in response.text
    found = events(response.text)
    assert found.error
    assert found.error["code"] == "internal_error"


def test_the_server_goes_on_after_all_that() -> None:
    generator = Words(error=RuntimeError("once"))
    with serving(generator) as address:
        problem(ask(address), 500)
        generator.error = None
        assert content(ask(address)) == TEXT
        assert figure(address, "guardrail_turns_running") == 0


# -- a rail fails ---------------------------------------------------------------------------------------------------


class Crashing:
    """A rail with a bug."""

    id = "crashing"
    version = "1"
    reach = 4
    needs: frozenset[Need] = frozenset()

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def check(self, subject: object) -> Verdict:
        raise ZeroDivisionError("xylophone")

    async def warm_up(self) -> None:
        return


class Railed(Guardrail):
    """A guardrail with a crashing rail beside its own."""

    def __init__(self, crashing: RailSettings, generator: Words) -> None:
        super().__init__(settings(), generator=generator)
        self.crashing = crashing

    async def _started_chat(self, deployed: Deployment | None = None, before: Deployment | None = None) -> Chat:
        parts = (await super()._started_chat(deployed, before)).parts
        if self.crashing.stage == "input":
            parts = replace(parts, input_rails=(*parts.input_rails, EnforcedRail(Crashing("input"), self.crashing)))
        else:
            parts = replace(parts, output_rails=(*parts.output_rails, EnforcedRail(Crashing("output"), self.crashing)))
        return Chat(parts, self.settings)


@STREAMED
@pytest.mark.parametrize("stage", ["input", "output"])
def test_a_rail_that_crashes_and_fails_closed_is_503_and_no_refusal(stage: Stage, stream: bool) -> None:
    with served(create_app(Railed(RailSettings(id="crashing", stage=stage), Words()))) as address:
        response = ask(address, stream=stream)
    assert problem(response, 503)["code"] == "rail_unavailable"
    assert "x-guardrail-decision" not in response.headers
    assert not {"xylophone", "content_filter", "Virtue"} & set(response.text.replace('"', " ").split())


@pytest.mark.parametrize("stage", ["input", "output"])
def test_a_rail_that_crashes_and_fails_open_is_passed_over_and_says_so(stage: Stage) -> None:
    with served(create_app(Railed(RailSettings(id="crashing", stage=stage, on_error="open"), Words()))) as address:
        response = ask(address)
    assert content(response) == TEXT
    (verdict,) = [verdict for verdict in response.json()["guardrail"]["verdicts"] if verdict["rail"] == "crashing"]
    assert (verdict["decision"], verdict["outcome"]) == ("pass", "bypassed")
    assert "xylophone" not in response.text


@pytest.mark.parametrize("path", ["/v1/checks", "/v1/moderations"])
def test_a_rail_that_crashes_is_503_for_the_checks_too(path: str) -> None:
    with served(create_app(Railed(RailSettings(id="crashing", stage="input"), Words()))) as address:
        response = httpx.post(f"{address}{path}", json={"stage": "input", "text": "What is virtue?", "input": "What is virtue?"}, timeout=PATIENCE)
    assert problem(response, 503)["code"] == "rail_unavailable"


def test_many_callers_at_once_get_each_their_own_answer(plain_server: str) -> None:
    texts = [f"hemlock recipe {number}" if number % 3 == 0 else f"What is virtue number {number}?" for number in range(48)]
    barrier = threading.Barrier(16)

    def one(number: int) -> tuple[str, str]:
        if number < 16:
            barrier.wait(PATIENCE)
        body = ask(plain_server, texts[number], headers={"x-request-id": f"n{number}"}).json()
        return body["id"], body["guardrail"]["decision"]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, range(48)))
    assert found == [(f"chatcmpl-n{number}", "block" if number % 3 == 0 else "pass") for number in range(48)]


def test_a_caller_who_hangs_up_in_the_middle_of_the_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Words()) as address:
        with connection(address, b'{"model"', length=1000):
            pass
        until(lambda: 'status="499"' in httpx.get(f"{address}/metrics", timeout=PATIENCE).text, "it was never counted")
        assert content(ask(address)) == TEXT
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []

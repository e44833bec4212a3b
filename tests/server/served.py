"""Real servers on loopback, and a generator that writes what a test wants it to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from guardrail.protocols import Chunk
from guardrail.server.connection import Connection
from guardrail.settings import LibrarySettings, RailSettings, ServerSettings, Settings
from guardrail.types import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.types import ASGIApp

    from guardrail.errors import GeneratorError
    from guardrail.protocols import Prompt

TEXT = "Virtue is knowledge, and nobody errs willingly. So says Socrates in the Protagoras."
PATIENCE = 30.0
"""Seconds after which a wait has failed; only a test that fails waits as long."""


@dataclass
class Words:
    """Writes `text` word by word."""

    text: str = TEXT
    stop_at: int | None = None
    """Before this word it waits for `go_on`, which a test may never set."""
    error: Exception | None = None
    """Raised before the word `error_at`."""
    error_at: int = 0
    echo_error: bool = False
    """Raise an error whose message repeats the question."""
    unready: GeneratorError | None = None
    """Raised by `warm_up`."""
    loading: threading.Event | None = None
    """`warm_up` waits for it."""
    name: str = "words"
    calls: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when it was cancelled or closed before its end."""

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.calls += 1
        self.begun.set()
        words = self.text.split()
        question = prompt.messages[-1].content
        try:
            for number, word in enumerate(words):
                if number == self.stop_at:
                    await wait_for(self.go_on)
                if self.echo_error:
                    raise RuntimeError(f"cannot write about {question}")
                if self.error is not None and number == self.error_at:
                    raise self.error
                yield Chunk(text=word if number == 0 else f" {word}")
        except (asyncio.CancelledError, GeneratorExit):
            self.left.set()
            raise
        yield Chunk(text="", finish_reason="stop", usage=Usage(prompt_tokens=len(question.split()), completion_tokens=len(words)))

    async def warm_up(self) -> None:
        if self.loading is not None:
            await wait_for(self.loading)
        if self.unready is not None:
            raise self.unready

    async def aclose(self) -> None:
        return


async def wait_for(event: threading.Event) -> None:
    """Wait on the event loop for what another thread does."""
    while not event.is_set():  # noqa: ASYNC110 - an event of threads, which the loop cannot wait for
        await asyncio.sleep(0.005)


def settings(*rails: RailSettings, **server: Any) -> Settings:
    """No library, so no encoder; keyword rails unless others are given."""
    keywords = (
        RailSettings(id="keywords", stage="input", options={"phrases": ["hemlock recipe"]}),
        RailSettings(id="keywords", stage="output", options={"phrases": ["top secret"]}),
    )
    return Settings(library=LibrarySettings(index=None), rails=rails or keywords, server=ServerSettings(**server))


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The address of a server that runs `app` in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)  # so that a caller who takes nothing is noticed after little text
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", http=Connection, loop="uvloop", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="served")
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended before it had started"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def chat(text: str = "What is virtue?", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "plato", "messages": [{"role": "user", "content": text}], **fields}


def ask(address: str, text: str = "What is virtue?", *, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    """One turn."""
    return httpx.post(f"{address}/v1/chat/completions", json=chat(text, **fields), headers=headers, timeout=PATIENCE)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response that must have this status and OpenAI's envelope, and nothing else."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert list(response.json()) == ["error"]
    assert set(error) == {"message", "type", "code", "param"}
    assert error["message"]
    found: dict[str, Any] = error
    return found


def content(response: httpx.Response) -> str:
    """What was said in a whole reply."""
    assert response.status_code == 200, response.text
    said: str = response.json()["choices"][0]["message"]["content"]
    return said


@dataclass(frozen=True)
class Events:
    """A stream as it arrived."""

    chunks: list[dict[str, Any]]
    error: dict[str, Any] | None
    done: bool

    @property
    def text(self) -> str:
        return "".join(choice["delta"].get("content", "") for chunk in self.chunks for choice in chunk["choices"])

    @property
    def last(self) -> dict[str, Any]:
        """The chunk that says why the reply ended."""
        (found,) = [chunk for chunk in self.chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"]]
        return found


def events(body: str) -> Events:
    """Parse server-sent events strictly: every block is a comment, a chunk, an error or the end."""
    chunks: list[dict[str, Any]] = []
    error = None
    done = False
    *blocks, rest = body.split("\n\n")
    assert rest == "", "the last event is cut"
    for block in blocks:
        assert not done, "something follows [DONE]"
        assert error is None, "something follows the error"
        if block.startswith(":"):
            continue
        if block.startswith("event: error\n"):
            error = json.loads(block.removeprefix("event: error\ndata: "))["error"]
        elif block == "data: [DONE]":
            done = True
        else:
            chunks.append(json.loads(block.removeprefix("data: ")))
    return Events(chunks=chunks, error=error, done=done)

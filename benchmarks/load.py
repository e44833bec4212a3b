"""Puts load on a chat completions server: so many clients, each with one connection, each sending its next request when the last was answered.

Run: python -m benchmarks.load --port 9001 --clients 32 [--seconds 3] [--stream] [--model fake]

A bare asyncio protocol on uvloop, which keeps up with some ten thousand answers a second on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTENT = re.compile(rb'"content": ?"[^"]')
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"
_DELTA = re.compile(rb'"content": ?("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients of one run saw. Times are seconds, in ascending order."""

    seconds: float
    answers: int
    failures: int
    latencies: list[float]
    first_tokens: list[float]
    """From request to the first text of the answer."""
    text: str = ""
    """The streamed text of the first answer, where it was asked for."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    @staticmethod
    def joined(runs: Sequence[Load]) -> Load:
        """Several runs as one."""
        return Load(
            seconds=sum(run.seconds for run in runs),
            answers=sum(run.answers for run in runs),
            failures=sum(run.failures for run in runs),
            latencies=sorted(itertools.chain.from_iterable(run.latencies for run in runs)),
            first_tokens=sorted(itertools.chain.from_iterable(run.first_tokens for run in runs)),
        )


def quantile(times: Sequence[float], share: float) -> float:
    """Of times in ascending order; not a number where there are none."""
    return times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")


def chat_request(port: int, text: str, *, model: str = "plato", stream: bool = False) -> bytes:
    """The bytes of one request."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}], **({"stream": True} if stream else {})}).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )


class _Tally:
    """What all clients of a run have counted so far."""

    def __init__(self, begins: float, ends: float, *, keep_text: bool) -> None:
        self.begins = begins
        self.ends = ends
        self.text: bytes | None = b"" if keep_text else None
        self.failures = 0
        self.latencies: list[float] = []
        self.first_tokens: list[float] = []


class _ClientConnection(asyncio.Protocol):
    """One client."""

    def __init__(self, requests: Sequence[bytes], offset: int, tally: _Tally) -> None:
        self._requests = itertools.cycle([*requests[offset:], *requests[:offset]])
        self._tally = tally
        self._pieces: list[bytes] = []
        self._left: int | None = None
        self._sent = 0.0
        self._first: float | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is not one by name
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of a protocol
        if not self.done.done():
            self._tally.failures += 1
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._tally.text is not None and not self._tally.latencies:
            self._tally.text += data
        if self._first is None:
            head = b"".join([*self._pieces, data])
            if _CONTENT.search(head):
                self._first = time.perf_counter()
            self._pieces.append(data)
            if self._left is None:
                end = head.find(b"\r\n\r\n")
                length = _LENGTH.search(head, 0, end) if end >= 0 else None
                if length is not None:
                    self._left = int(length.group(1)) + end + 4
            whole = len(head) >= self._left if self._left is not None else head.endswith(_LAST_CHUNK)
        else:
            # All that a stream still has to tell is its end.
            whole = data.endswith(_LAST_CHUNK)
        if whole:
            self._answered(time.perf_counter())

    def _send(self) -> None:
        self._pieces.clear()
        self._left = None
        self._first = None
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def _answered(self, now: float) -> None:
        tally = self._tally
        if tally.begins <= now < tally.ends:
            if self._first is None or not self._pieces[0].startswith(b"HTTP/1.1 200"):
                tally.failures += 1
            else:
                tally.latencies.append(now - self._sent)
                tally.first_tokens.append(self._first - self._sent)
        if now < tally.ends:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()


async def _load(port: int, requests: Sequence[bytes], clients: int, seconds: float, settle: float, *, keep_text: bool) -> Load:
    loop = asyncio.get_running_loop()
    began = time.perf_counter() + settle
    tally = _Tally(began, began + seconds, keep_text=keep_text)
    connections = []
    for number in range(clients):
        _, connection = await loop.create_connection(partial(_ClientConnection, requests, number % len(requests), tally), "127.0.0.1", port)
        connections.append(connection)
    await asyncio.wait([connection.done for connection in connections], timeout=seconds + 10)
    return Load(
        seconds=seconds,
        answers=len(tally.latencies),
        failures=tally.failures,
        latencies=sorted(tally.latencies),
        first_tokens=sorted(tally.first_tokens),
        text="".join(json.loads(part) for part in _DELTA.findall(tally.text or b"")),
    )


def load(port: int, requests: Sequence[bytes], *, clients: int, seconds: float, settle: float = 0.3, keep_text: bool = False) -> Load:
    """Send `requests` round and round for `seconds`; what is answered in the `settle` seconds before is not counted. Each client begins at another one."""
    return uvloop.run(_load(port, requests, clients, seconds, settle, keep_text=keep_text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--model", default="plato")
    arguments = parser.parse_args()
    request = chat_request(arguments.port, "What is a good life?", model=arguments.model, stream=arguments.stream)
    found = load(arguments.port, [request], clients=arguments.clients, seconds=arguments.seconds)
    p50, p95 = (quantile(found.latencies, share) * 1000 for share in (0.5, 0.95))
    print(f"{found.rate:.0f} answers a second, p50 {p50:.2f} ms, p95 {p95:.2f} ms, {found.failures} failures")


if __name__ == "__main__":
    main()

"""The least a server in front of a model can do: pass the body on, pass the answer back. Nothing is checked.

Run: python -m benchmarks.bare_proxy --port 9002 --upstream http://127.0.0.1:9001/v1

uvicorn on uvloop and httptools, a plain ASGI function, one shared aiohttp session: the fastest parts that the real server has too.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import aiohttp
import uvicorn

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_JSON = [(b"content-type", b"application/json")]
_EVENTS = [(b"content-type", b"text/event-stream")]


class Proxy:
    """`POST /v1/chat/completions`, streamed and not; every other path says that it is up."""

    def __init__(self, upstream: str) -> None:
        self._url = f"{upstream}/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256), cookie_jar=aiohttp.DummyCookieJar())
        async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as response:
            if response.content_type == "application/json":
                answer = await response.read()
                await send({"type": "http.response.start", "status": response.status, "headers": [*_JSON, (b"content-length", b"%d" % len(answer))]})
                await send({"type": "http.response.body", "body": answer})
                return
            await send({"type": "http.response.start", "status": response.status, "headers": _EVENTS})
            async for data in response.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="base URL of the model server")
    arguments = parser.parse_args()
    uvicorn.run(Proxy(arguments.upstream), port=arguments.port, loop="uvloop", http="httptools", ws="none", lifespan="off", access_log=False, log_level="error")


if __name__ == "__main__":
    main()

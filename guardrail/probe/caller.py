"""Asks a server for a chat completion as any client would, and keeps all that comes back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from guardrail.errors import GeneratorError
from guardrail.probe.heard import CONTENT, RAW, EventReader, Heard

if TYPE_CHECKING:
    from types import TracebackType


class Caller:
    """An async context manager: one caller of the server at `url`, with its key."""

    def __init__(self, *, url: str, model: str, question: str, api_key: str | None, timeout: float) -> None:
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._body = {"model": model, "messages": [{"role": "user", "content": question}]}
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout), cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._session.close()

    async def whole(self, **wishes: Any) -> Heard:
        """The reply in one piece. Raises GeneratorError where the server cannot be reached."""
        return await self._ask(self._body | wishes)

    async def stream(self, **wishes: Any) -> Heard:
        """The reply as it comes, with usage asked for. Raises GeneratorError where the server cannot be reached."""
        return await self._ask(self._body | {"stream": True, "stream_options": {"include_usage": True}} | wishes)

    async def _ask(self, body: dict[str, Any]) -> Heard:
        heard = Heard()
        try:
            async with self._session.post(self._url, json=body, headers=self._headers) as response:
                heard.status = response.status
                for name, value in response.headers.items():
                    heard.texts[f"header {name.lower()}"] += value
                await _read(response, heard)
        except aiohttp.InvalidURL:
            raise GeneratorError(f"{self._url} is no address: give --url a base URL such as http://127.0.0.1:8000/v1.") from None
        except aiohttp.ClientConnectorError:
            raise GeneratorError(f"No server answers at {self._url}: start it, or correct --url.") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            heard.broken = "it took too long" if isinstance(error, TimeoutError) else f"the connection broke ({type(error).__name__})"
        return heard


async def _read(response: aiohttp.ClientResponse, heard: Heard) -> None:
    """Take the body as it arrives; what arrived before it broke stays taken."""
    reader = EventReader(heard) if response.content_type == "text/event-stream" else None
    body = b""
    try:
        async for data in response.content.iter_any():
            heard.first_byte = heard.first_byte or time.perf_counter()
            if reader is None:
                body += data
                continue
            reader.push(data)
            if heard.first_text is None and heard.texts.get(CONTENT):
                heard.first_text = time.perf_counter()
    finally:
        if reader is not None:
            reader.end()
        else:
            try:
                heard.take(json.loads(body))
            except ValueError:
                heard.texts[RAW] += body.decode(errors="replace")

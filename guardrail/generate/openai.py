"""Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, `transformers serve`, a hosted API."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import msgspec
import yarl

from guardrail.errors import ConfigurationError, GeneratorError
from guardrail.generate.event_stream import EventStream
from guardrail.protocols import Chunk, Prompt
from guardrail.types import Message, Sampling, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0
_DRAIN_SECONDS = 0.25
_REASON_LENGTH = 160
_SHARED = 16
"""A reason that shares this many characters in a row with the conversation is kept back."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    index: int = 0


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    detail: Any = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    stream: Literal[True] | None = None
    stream_options: _StreamOptions | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Event).decode
_decode_models = msgspec.json.Decoder(_Models).decode


@dataclass(slots=True)
class _Answer:
    """What has arrived of one answer."""

    text: str = ""
    """New since the last read."""
    finish_reason: Literal["stop", "length"] | None = None
    usage: Usage | None = None
    done: bool = False

    def take(self, event: _Event) -> None:
        if event.usage is not None:
            self.usage = Usage(prompt_tokens=event.usage.prompt_tokens, completion_tokens=event.usage.completion_tokens)
        # One choice was asked for; a server that sends others all the same must not have them mixed in.
        choice = next((choice for choice in event.choices or () if choice.index == 0), None)
        if choice is not None:
            part = choice.delta or choice.message
            if part is not None and part.content:
                self.text += part.content
            if choice.finish_reason is not None:
                self.finish_reason = "length" if choice.finish_reason == "length" else "stop"


class OpenAIGenerator:
    """Drafts from the server at `base_url`, e.g. `http://127.0.0.1:8001/v1`, streamed unless the prompt has no use for pieces.

    All requests share one pool of at most `connections` kept-alive connections. Closing an iterator cuts its connection at once, which stops the server's work.
    A failed connect, 429 (its Retry-After is honoured) and 5xx are tried again up to `retries` times, with exponential backoff and full jitter; never once the
    server has begun to answer. Raises GeneratorError when the server is down, refuses, is silent for `timeout_seconds` (a draft
    that is not streamed must be there by then), or ends a stream without saying so.
    Usage is the server's own count, None where it reports none.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        connect_seconds: float = 5.0,
        timeout_seconds: float = 60.0,
        retries: int = 2,
        connections: int = 256,
    ) -> None:
        """`temperature`, `top_p` and `max_tokens` stand in where a prompt's Sampling leaves the choice."""
        try:
            self._base = yarl.URL(base_url)
        except ValueError:
            raise ConfigurationError("generator.base_url is not a URL; give one such as http://127.0.0.1:8001/v1.") from None
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise ConfigurationError("generator.base_url is not an http(s) URL; give one such as http://127.0.0.1:8001/v1.")
        self._url = self._base / "chat/completions"
        self._server = f"The model server at {self._base.with_user(None).with_query(None)}"
        self._model = model
        self._defaults = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._connect_seconds = connect_seconds
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        return self._model

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        response = await self._ask(prompt.messages, prompt.sampling, stream=prompt.stream)
        answer = _Answer()
        try:
            if response.headers.get("Content-Type", "").startswith("application/json"):  # asked for whole, or a server that does not stream
                self._take(answer, [await response.read()], prompt.messages)
            else:
                stream = EventStream()
                async for read in response.content.iter_any():
                    self._take(answer, stream.feed(read), prompt.messages)
                    if answer.done:
                        break
                    if answer.text:
                        yield Chunk(text=answer.text)
                        answer.text = ""
            if not answer.done and answer.finish_reason is None:
                raise GeneratorError(f"{self._server} ended the answer without saying that it was complete.")
            await self._drain(response)
            yield Chunk(text=answer.text, finish_reason=answer.finish_reason or "stop", usage=answer.usage)
        except TimeoutError:
            raise GeneratorError(f"{self._server} was silent for {self._timeout_seconds:g} s.") from None
        except aiohttp.ClientError:
            raise GeneratorError(f"{self._server} broke off in the middle of an answer.") from None
        except ValueError as error:
            raise GeneratorError(f"{self._server} sent {error}.") from None
        finally:
            # Returns a finished connection to the pool and cuts an unfinished one, which stops the server's work.
            response.close()

    async def warm_up(self) -> None:
        """Ask the server for its models, and for one token where it does not list ours. Raises GeneratorError with one sentence that says what is wrong."""
        try:
            async with self._open().get(self._base / "models") as response:
                status, raw = response.status, await response.read()
        except TimeoutError:
            raise GeneratorError(f"{self._server} did not answer within {self._timeout_seconds:g} s.") from None
        except aiohttp.ClientError as error:
            raise GeneratorError(self._unreachable(error)) from None
        if status in (401, 403):
            raise GeneratorError(f"{self._server} refuses the key (HTTP {status}); set generator.api_key.")
        offered: list[str] = []
        if status == 200:
            try:
                offered = [model.id for model in _decode_models(raw).data or ()]
            except msgspec.DecodeError:
                raise GeneratorError(f"{self._server} is not OpenAI-compatible; generator.base_url usually ends in /v1.") from None
        if self._model in offered:
            return
        # Some servers list other models than those they answer with, so a token says more than the list.
        try:
            (await self._ask((Message(role="user", content="Hello"),), Sampling(max_tokens=1), stream=True)).close()
        except GeneratorError as error:
            known = f" It offers {', '.join(offered[:5])}." if offered else ""
            raise GeneratorError(f"The model '{self._model}' does not answer.{known} {error}") from None

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made at first use because it belongs to the running loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=60),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept-Encoding", "User-Agent"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_seconds, sock_read=self._timeout_seconds),
            )
        return self._session

    async def _ask(self, messages: tuple[Message, ...], sampling: Sampling, *, stream: bool) -> aiohttp.ClientResponse:
        """A response with status 200, after as many attempts as are allowed. Raises GeneratorError."""
        default = self._defaults
        body = _encode(
            _Body(
                model=self._model,
                messages=messages,
                temperature=default.temperature if sampling.temperature is None else sampling.temperature,
                top_p=default.top_p if sampling.top_p is None else sampling.top_p,
                max_tokens=default.max_tokens if sampling.max_tokens is None else sampling.max_tokens,
                stop=sampling.stop,
                seed=sampling.seed,
                stream=True if stream else None,
                stream_options=_StreamOptions(include_usage=True) if stream else None,
            )
        )
        for attempt in range(self._retries + 1):
            asked_pause = 0.0
            try:
                response = await self._post(body)
            except aiohttp.SocketTimeoutError:
                raise GeneratorError(f"{self._server} did not answer within {self._timeout_seconds:g} s.") from None
            except aiohttp.ClientError as error:
                sentence = self._unreachable(error)
            else:
                if response.status == 200:
                    return response
                sentence = await self._refusal(response, messages)
                if response.status not in _RETRYABLE:
                    break
                asked_pause = _retry_after(response.headers.get("Retry-After"))
                if asked_pause > self._timeout_seconds:
                    break
            if attempt < self._retries:
                jittered = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - spreads retries, guards nothing
                await asyncio.sleep(max(asked_pause, jittered))
        raise GeneratorError(sentence)

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        session = self._open()
        try:
            return await session.post(self._url, data=body, allow_redirects=False)
        except aiohttp.ServerDisconnectedError:
            # A server may close a kept-alive connection just as it is used again, which says nothing about the server: ask once more on another.
            return await session.post(self._url, data=body, allow_redirects=False)

    def _take(self, answer: _Answer, events: list[bytes], messages: tuple[Message, ...]) -> None:
        for data in events:
            if data == b"[DONE]":
                answer.done = True
                return
            if not data:
                continue
            try:
                event = _decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise GeneratorError(f"{self._server} sent something that is not an OpenAI chat completion.") from None
            if event.error is not None:
                raise GeneratorError(f"{self._server} failed{self._reason(event.error, messages)}.")
            answer.take(event)

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        """Read the end of the response, without which its connection cannot be used again; a server that sends none in time loses it."""
        if response.content.at_eof():
            return
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not response.content.at_eof():
                    await response.content.readany()

    async def _refusal(self, response: aiohttp.ClientResponse, messages: tuple[Message, ...]) -> str:
        """What an HTTP error says, as one sentence."""
        raw = b""
        with suppress(TimeoutError, aiohttp.ClientError):
            async for read in response.content.iter_any():
                raw += read
                if len(raw) > 1 << 16:
                    break
        response.close()
        try:
            problem = _decode(raw)
            cause: Any = problem.error if problem.error is not None else problem.detail
        except (msgspec.DecodeError, UnicodeDecodeError):
            cause = None
        hint = "; check generator.base_url, which usually ends in /v1" if response.status == 404 and cause is None else ""
        return f"{self._server} answered HTTP {response.status}{self._reason(cause, messages)}{hint}."

    def _reason(self, error: Any, messages: tuple[Message, ...]) -> str:
        """The server's own words, shortened; nothing where they repeat the conversation or the key."""
        text = error.get("message") if isinstance(error, dict) else error
        if not isinstance(text, str) or not text.strip():
            return ""
        text = " ".join(text.split())
        private = [" ".join(message.content.split()) for message in messages if message.role != "system"]
        private.append(self._headers.get("Authorization", "").removeprefix("Bearer "))
        for secret in private:
            width = min(_SHARED, len(secret))
            if width and any(text[i : i + width] in secret for i in range(len(text) - width + 1)):
                return ""
        text = text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 1] + "…"
        return f" ({text.rstrip('.')})"

    def _unreachable(self, error: aiohttp.ClientError) -> str:
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return f"{self._server} has a host name that nothing answers to; check generator.base_url."
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"{self._server} took no connection within {self._connect_seconds:g} s; is it running?"
        if isinstance(error, aiohttp.ClientSSLError):
            return f"{self._server} has no valid TLS certificate."
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"{self._server} is down: the connection was refused."
        return f"{self._server} closed the connection before it answered."


def _retry_after(value: str | None) -> float:
    """Seconds of a Retry-After header, which holds seconds or a date; 0 where there is none."""
    if value is None:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return 0.0

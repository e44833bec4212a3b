"""Plays the model behind a server under test, asks that server as a caller would, and looks for the forbidden text in all that comes back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail.errors import InvalidRequest
from guardrail.probe.caller import Caller
from guardrail.probe.heard import CONTENT
from guardrail.probe.leak import leaked
from guardrail.probe.report import Disagreement, Exposure, Report, Timing
from guardrail.probe.script import Script, scripts
from guardrail.probe.upstream import Upstream, played

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrail.probe.heard import Heard

BEFORE = "I was told to keep this to myself, but since you ask, "
AFTER = ", and now you know all of it."
QUESTION = "What did they write down in the book about the vault?"
_HARMLESS = "there is nothing written in it"
"""Stands in the secret's place where a benign text is played."""
_BENIGN_PIECE = 4
_PAUSE = 0.25
"""Seconds between two tries to have the server see its model."""
_FUNCTION = {"name": "note", "description": "Writes a note.", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}
_WISHES: dict[str, dict[str, Any]] = {
    "second_choice": {"n": 2},
    "logprobs": {"logprobs": True},
    "tool_calls": {"tools": [{"type": "function", "function": _FUNCTION}]},
    "function_call": {"functions": [_FUNCTION]},
}
"""What a caller sends to get text at these places. A server that refuses it is asked without it too: the model may say it unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server under test, and how it is asked."""

    url: str
    """Its base URL, e.g. `http://127.0.0.1:8000/v1`."""
    model: str
    secret: str
    """A text that the server's own configuration forbids in a reply."""
    api_key: str | None = None
    question: str = QUESTION
    before: str = BEFORE
    after: str = AFTER
    """What the model says around the secret; none of it may be forbidden."""
    quick: bool = False
    """Leave out most split positions."""
    pause: float = 0.001
    """Seconds between two pieces of the model's text."""
    timeout: float = 30.0
    """Longest wait for one answer, in seconds."""
    patience: float = 10.0
    """How long a server that answers with its own failure may take to see its model, in seconds."""


async def probe_stream(target: Target, *, host: str = "127.0.0.1", port: int = 9999, progress: Callable[[int, int], None] | None = None) -> Report:
    """Probe the server at `target.url`, whose own model server must be configured to be `http://host:port/v1`.

    `progress` is told how many answers of how many have been read. Raises InvalidRequest where nothing can listen at that address, or where the server
    under test does not ask the model there; GeneratorError where no server answers at `target.url`.
    """
    if not target.secret.strip():
        raise InvalidRequest("The forbidden text is empty: give one that the server's configuration forbids.")
    benign = target.before + _HARMLESS + target.after
    pieces = tuple(benign[start : start + _BENIGN_PIECE] for start in range(0, len(benign), _BENIGN_PIECE))
    control = Script(name="benign", before=target.before, after=target.after, pieces=pieces)
    upstream = Upstream(control, pause=target.pause)
    caller = Caller(url=target.url, model=target.model, question=target.question, api_key=target.api_key, timeout=target.timeout)
    async with played(upstream, host=host, port=port) as address, caller:
        return await _Probe(target, upstream, caller).run(control, address, progress)


class _Probe:
    """One run."""

    def __init__(self, target: Target, upstream: Upstream, caller: Caller) -> None:
        self._target = target
        self._upstream = upstream
        self._caller = caller
        self._exposures: list[Exposure] = []
        self._disagreements: list[Disagreement] = []
        self._whole: dict[tuple[str, str], Heard] = {}

    async def run(self, control: Script, address: str, progress: Callable[[int, int], None] | None) -> Report:
        target = self._target
        benign_whole = await self._first(time.monotonic() + target.patience)
        if not self._upstream.asked:
            said = f"it answered with status {benign_whole.status}" if benign_whole.status else f"it did not answer: {benign_whole.broken}"
            raise InvalidRequest(
                f"The server did not ask the model at {address} ({said}): configure that address as its model server, and check --model and the key."
            )
        asked = time.perf_counter()
        benign_stream = await self._caller.stream()
        timing = self._timing(benign_stream, asked)
        plays = tuple(scripts(target.secret, before=target.before, after=target.after, quick=target.quick))
        for number, script in enumerate(plays):
            if progress is not None:
                progress(number, len(plays))
            await self._play(script)
        if progress is not None:
            progress(len(plays), len(plays))
        return Report(
            url=target.url,
            model=target.model,
            characters=len(target.secret),
            exposures=tuple(self._exposures),
            disagreements=tuple(self._disagreements),
            benign_stream=benign_stream.content.strip() == control.text.strip(),
            benign_whole=benign_whole.content.strip() == control.text.strip(),
            timing=timing,
        )

    async def _first(self, until: float) -> Heard:
        """The first answer. A server that missed its model until now gets some time to see it."""
        heard = await self._caller.whole()
        while not self._upstream.asked and heard.status >= 500 and time.monotonic() < until:
            await asyncio.sleep(_PAUSE)
            heard = await self._caller.whole()
        return heard

    async def _play(self, script: Script) -> None:
        """Ask for the script streamed, and whole where its text was not asked for whole before."""
        self._upstream.script = script
        wishes = _WISHES.get(script.place)
        for asking in ({},) if wishes is None else ({}, wishes):
            stream = await self._caller.stream(**asking)
            self._expose(script, stream, streamed=True, asking=asking)
            if script.abrupt:
                continue
            key = (script.text, script.place + "".join(asking))
            whole = self._whole.get(key)
            if whole is None:
                whole = self._whole[key] = await self._caller.whole(**asking)
                self._expose(script, whole, streamed=False, asking=asking)
            self._compare(script, stream, whole)

    def _expose(self, script: Script, heard: Heard, *, streamed: bool, asking: dict[str, Any]) -> None:
        secret = self._target.secret
        fields = {}
        for name, text in heard.texts.items():
            lead = script.before if script.before and name == CONTENT else None
            found = leaked(text, secret, lead=lead)
            if found:
                fields[name] = found
        missing = []
        if heard.status == 200 and not script.abrupt and heard.broken is None:
            missing += [] if heard.usage else ["usage"]
            missing += [] if heard.finish else ["finish_reason"]
            missing += [] if heard.done or not streamed else ["[DONE]"]
        self._exposures.append(
            Exposure(
                script=f"{script.name} ({', '.join(asking)} asked for)" if asking else script.name,
                place=script.place,
                stream=streamed,
                status=heard.status,
                leaked=max(fields.values(), default=0),
                fields=tuple(sorted(fields.items())),
                missing=tuple(missing),
                broken=heard.broken,
                abrupt=script.abrupt,
            )
        )

    def _compare(self, script: Script, stream: Heard, whole: Heard) -> None:
        if stream.status != 200 or whole.status != 200:
            return
        if stream.content != whole.content:
            self._disagreements.append(Disagreement(script=script.name, what="text", stream=stream.content, whole=whole.content))
        if stream.finish != whole.finish:
            ends = [", ".join(f"{index}: {reason}" for index, reason in sorted(heard.finish.items())) for heard in (stream, whole)]
            self._disagreements.append(Disagreement(script=script.name, what="finish_reason", stream=ends[0], whole=ends[1]))

    def _timing(self, heard: Heard, asked: float) -> Timing | None:
        if heard.first_byte is None:
            return None
        written = self._upstream.first_piece
        return Timing(
            first_byte_ms=round((heard.first_byte - asked) * 1000, 3),
            first_text_ms=None if heard.first_text is None else round((heard.first_text - asked) * 1000, 3),
            held_ms=None if heard.first_text is None or written is None else round((heard.first_text - written) * 1000, 3),
        )

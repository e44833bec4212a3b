"""Somebody else's detector as a rail, by the detector API of the FMS guardrails orchestrator, which TrustyAI's detectors speak too."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Literal

import aiohttp
import msgspec
import yarl

from guardrail import sentences
from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Claim
from guardrail.types import Evidence, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrail.protocols import Need, Screening
    from guardrail.types import Stage

Unit = Literal["text", "sentence"]

_PATH = "api/v1/text/contents"
_RETRYABLE = frozenset({408, 429, 502, 503, 504})
_FIRST_PAUSE = 0.05
_UNBOUNDED = 2**40
"""More characters than any reply has."""
_HARMLESS = "What is virtue?"


class _Detection(msgspec.Struct):
    """One detection. Some detectors leave out its place, some its name."""

    score: float
    start: int = 0
    end: int | None = None
    detection: str | None = None
    detection_type: str | None = None


_decode = msgspec.json.Decoder(list[list[_Detection]]).decode
_encode = msgspec.json.Encoder().encode


class RemoteRail:
    """Asks the detector `detector` of the server at `url`, e.g. `http://127.0.0.1:8080`, what it finds.

    A detection with a score of at least `threshold` (0 to 1) becomes a finding: at the input and output stages it blocks the text, at the retrieval stage its
    passage is to be left out (`modify`, the finding names it). `detector_params` go to the detector as they are.

    At the output stage a stream is held back until the whole reply was judged, since a detector may need all of it; with `unit="sentence"` each sentence is
    judged alone and shown once it passed. A request that fails to connect, takes longer than `timeout_seconds`, or is answered with 408, 429, 502, 503 or 504
    is tried again up to `retries` times. Raises RailError where no usable answer comes, so the rail fails as it is configured to: closed by default.
    """

    id = "remote"
    needs: frozenset[Need] = frozenset()

    def __init__(
        self,
        stage: Stage,
        url: str,
        detector: str,
        *,
        threshold: float = 0.5,
        unit: Unit = "text",
        api_key: str | None = None,
        detector_params: Mapping[str, object] | None = None,
        timeout_seconds: float = 1.0,
        retries: int = 1,
        known_bad: str | None = None,
    ) -> None:
        """`known_bad`: a text that the detector must object to when the rail warms up. Raises ConfigurationError."""
        base = yarl.URL(url)
        if base.scheme not in {"http", "https"} or not base.host:
            raise ConfigurationError("remote.url is no address of a server: give one such as http://127.0.0.1:8080.")
        if not detector.strip() or not detector.isascii() or not detector.isprintable():
            raise ConfigurationError("remote.detector is no detector id: give the id that the server knows its detector by.")
        self.stage = stage
        self.version = detector
        self.threshold = threshold
        self.reach = 0 if stage != "output" else _UNBOUNDED
        self._unit = unit
        self._url = base / _PATH
        self._server = f"the detector '{detector}' at {base.origin()}"
        self._headers = {"content-type": "application/json", "detector-id": detector} | ({"authorization": f"Bearer {api_key}"} if api_key else {})
        self._params = dict(detector_params or {})
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._retries = retries
        self._known_bad = known_bad
        self._session: aiohttp.ClientSession | None = None

    def clear(self, subject: Claim) -> int:
        """Up to where everything is judged whatever follows: the end of the last whole sentence, or nothing where the text is judged as one."""
        ended = sentences.spans(subject.text[subject.start :], final=False) if self._unit == "sentence" else []
        return subject.start + (ended[-1][1] if ended else 0)

    async def check(self, subject: Screening | Claim | Evidence) -> Verdict:
        """`block` (at the retrieval stage `modify`) with a finding for every detection, `pass` where there is none. Raises RailError."""
        began = time.perf_counter()
        parts = [part for part in self._parts(subject) if part[1].strip()]
        found = await self._ask([text for _, text, _ in parts]) if parts else []
        findings: list[Finding] = []
        highest = 0.0
        for (offset, text, passage), detections in zip(parts, found, strict=True):
            for detection in detections:
                score = min(1.0, max(0.0, detection.score))
                highest = max(highest, score)
                if score >= self.threshold:
                    findings.append(_finding(detection, text, offset, passage, score))
        findings.sort(key=lambda finding: (finding.start, finding.end))
        objects: Literal["modify", "block"] = "modify" if self.stage == "retrieval" else "block"
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision=objects if findings else "pass",
            score=highest,
            threshold=self.threshold,
            findings=tuple(findings),
            reason="a remote detector objects" if findings else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """Ask the detector once. Raises RailError where it gives no usable answer, or passes the known-bad text."""
        bad = [self._known_bad] if self._known_bad is not None else []
        harmless, *objections = await self._ask([_HARMLESS, *bad])
        if any(detection.score >= self.threshold for detection in harmless):
            raise RailError(f"The remote rail is of no use: {self._server} objects to a harmless question. Raise its threshold.")
        for detections in objections:
            if not any(detection.score >= self.threshold for detection in detections):
                raise RailError(f"The remote rail misses its known-bad text: {self._server} lets it pass. Lower its threshold.")

    async def aclose(self) -> None:
        """Give back the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _parts(self, subject: Screening | Claim | Evidence) -> list[tuple[int, str, str | None]]:
        """What is judged: where it begins in the subject's text, the text, and the id of its passage."""
        if isinstance(subject, Evidence):
            return [(0, hit.passage.text, hit.passage.id) for hit in subject.hits]
        if self._unit == "sentence" and isinstance(subject, Claim):
            begin = subject.start  # what stands before was judged
            return [(begin + start, subject.text[begin + start : begin + end], None) for start, end in sentences.spans(subject.text[begin:])]
        return [(0, subject.text, None)]

    async def _ask(self, texts: Sequence[str]) -> list[list[_Detection]]:
        """The detections of each text, in order."""
        body = _encode({"contents": texts, "detector_params": self._params})
        problem = ""
        for attempt in range(self._retries + 1):
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (attempt - 1) * (1 + random.random()))  # noqa: S311 - jitter
            try:
                async with self._open().post(self._url, data=body, headers=self._headers) as response:
                    status, raw = response.status, await response.read()
            except TimeoutError:
                problem = f"did not answer within {self._timeout.total:g} s"
                continue
            except aiohttp.ClientError as error:
                problem = f"cannot be reached ({type(error).__name__})"
                continue
            if status == 200:
                return self._read(raw, len(texts))
            problem = f"answered with status {status}"
            if status not in _RETRYABLE:
                break
        raise RailError(f"The remote rail failed: {self._server} {problem}.")

    def _read(self, raw: bytes, count: int) -> list[list[_Detection]]:
        try:
            found = _decode(raw)
        except msgspec.DecodeError:
            raise RailError(f"The remote rail failed: {self._server} did not answer as a detector does.") from None
        if len(found) != count:
            raise RailError(f"The remote rail failed: {self._server} answered for {len(found)} texts and was asked for {count}.")
        return found

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made at first use because it belongs to the running loop."""
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def _finding(detection: _Detection, text: str, offset: int, passage: str | None, score: float) -> Finding:
    """The detection as a finding. A place that is none in this text becomes all of it: an objection must not get lost."""
    start, end = detection.start, len(text) if detection.end is None else detection.end
    if not 0 <= start < end <= len(text):
        start, end = 0, len(text)
    kind = detection.detection or detection.detection_type or "detection"
    return Finding(type=kind, start=offset + start, end=offset + end, score=score, passage=passage)

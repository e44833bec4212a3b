"""`POST /api/v1/text/...`: this server's rails as detectors of the FMS guardrails orchestrator, which TrustyAI's operator runs too.

The shapes are those of its detector API: `contents` gives a list of detections for each text, the other routes one list. The header `detector-id` chooses:
`guardrail` (or no header) is every rail of the stage, the id of a configured rail is that rail alone, and `-input` or `-output` behind either says the stage.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import msgspec
from starlette.exceptions import HTTPException

from guardrail import catalogue
from guardrail.errors import GuardrailError, InvalidRequest, MalformedText, RequestTooLarge
from guardrail.objections import GROUNDING, objections
from guardrail.rails.limits import malformation
from guardrail.server import detector_wire, envelope
from guardrail.server.access import ENTRY
from guardrail.server.client import Client
from guardrail.server.reading import Reader
from guardrail.types import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from guardrail.assemble import Guardrail
    from guardrail.server.gate import Gate
    from guardrail.server.metrics import Metrics
    from guardrail.types import Check, Sentence, Verdict

_encode = msgspec.json.Encoder().encode
_ALL = "guardrail"
_HEADER = b"detector-id"

Asked = TypeVar("Asked")
Asked_contra = TypeVar("Asked_contra", contravariant=True)
DetectorStage = Literal["input", "output"]


class Detector(msgspec.Struct, frozen=True):
    """What a `detector-id` stands for."""

    rail: str | None = None
    """None: every rail."""
    stage: DetectorStage | None = None
    """None: the parameters say, or the rail itself."""


class Work(Protocol[Asked_contra]):
    async def __call__(self, asked: Asked_contra, detector: Detector) -> Any: ...


class DetectorEndpoint(Generic[Asked]):
    """An ASGI endpoint like the others, except that an error is `{"code", "message"}` as the orchestrator reads it."""

    def __init__(self, detectors: Detectors, gate: Gate, type_: Any, work: Work[Asked]) -> None:
        self._detectors = detectors
        self._gate = gate
        self._reader: Reader[Asked] = Reader(type_)
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = Client(scope, receive, send, self._detectors.guard.settings.server)
        entry = scope[ENTRY]
        try:
            body = await client.body()
            detector = self._detectors.named(next((value.decode("latin-1") for name, value in scope["headers"] if name == _HEADER), _ALL))
            asked = self._reader.read(body)
            async with client.turn(), self._gate.place(entry):
                found = await self._work(asked, detector)
        except GuardrailError as error:
            entry.error = error.code
            await client.respond(error.status, _encode(detector_wire.DetectorProblem(code=error.status, message=str(error))), envelope.headers(error))
        except HTTPException as error:
            entry.error = HTTPStatus(error.status_code).name.lower()
            await client.respond(error.status_code, _encode(detector_wire.DetectorProblem(code=error.status_code, message=str(error.detail))), [])
        else:
            await client.respond(200, _encode(found), [])


class Detectors:
    """What the routes do."""

    def __init__(self, guard: Guardrail, metrics: Metrics) -> None:
        self.guard = guard
        self._metrics = metrics

    @property
    def _stages(self) -> dict[str, set[str]]:
        """Where each configured rail runs."""
        stages: dict[str, set[str]] = {}
        for entry in self.guard.settings.rails:
            stages.setdefault(entry.id, set()).add(catalogue.kind_of(entry).stage(entry))
        return stages

    def named(self, name: str) -> Detector:
        """The detector of that id. Raises HTTPException 404 where there is none."""
        stages = self._stages
        known = {rail for rail, where in stages.items() if where & {"input", "output"}}
        rail, _, suffix = name.rpartition("-")
        if rail in known | {_ALL} and suffix in {"input", "output"}:
            stage: DetectorStage = "input" if suffix == "input" else "output"
            if rail == _ALL or stage in stages[rail]:
                return Detector(rail=None if rail == _ALL else rail, stage=stage)
        if name == _ALL:
            return Detector()
        if name in known:
            return Detector(rail=name, stage="output" if "input" not in stages[name] else None)
        raise HTTPException(404, f"There is no detector of that id; the detectors are: {', '.join(sorted({_ALL, *known}))}, each also with -input or -output.")

    async def contents(self, asked: detector_wire.ContentsRequest, detector: Detector) -> list[list[detector_wire.ContentDetection]]:
        """Each text alone."""
        given = asked.detector_params
        self._bound(*asked.contents, *given.passages)
        found = []
        for text in asked.contents:
            if (detector.stage or given.stage) == "output":
                check = await self.guard.acheck_output(text, passages=given.passages, question=given.question)
            else:
                check = await self._input(text)
            found.append([detection for verdict in self._detected(check, detector, given) for detection in _spans(verdict, text)])
        return found

    async def chat(self, asked: detector_wire.ChatDetectionRequest, detector: Detector) -> list[detector_wire.Detection]:
        """A conversation: what its last message asks for, or, where a model spoke last, what it answered."""
        given = asked.detector_params
        *before, last = asked.messages
        self._bound(*(message.text for message in asked.messages), *given.passages)
        if last.role == "assistant" or detector.stage == "output":
            question = next((message.text for message in reversed(before) if message.role == "user"), "")
            check = await self.guard.acheck_output(last.text, passages=given.passages, question=question)
        elif last.role == "user":
            spoken = [message for message in asked.messages if message.role in {"system", "user", "assistant"}]
            check = await self.guard.acheck_input(tuple(Message(role=message.role, content=message.text) for message in spoken))  # type: ignore[arg-type] # as filtered
        else:
            check = await self._input(last.text)
        return [_whole(verdict) for verdict in self._detected(check, detector, given)]

    async def generation(self, asked: detector_wire.GenerationRequest, detector: Detector) -> list[detector_wire.Detection]:
        """A prompt and what a model made of it."""
        given = asked.detector_params
        self._bound(asked.prompt, asked.generated_text, *given.passages)
        check = await self.guard.acheck_output(asked.generated_text, passages=given.passages, question=asked.prompt)
        return [_whole(verdict) for verdict in self._detected(check, detector, given)]

    async def context(self, asked: detector_wire.ContextRequest, detector: Detector) -> list[detector_wire.Detection]:
        """A text against documents: one detection for every sentence that none of them supports."""
        if asked.context_type == "url":
            raise InvalidRequest("This server fetches no addresses: send the documents themselves, with context_type docs.", param="context_type")
        if GROUNDING not in self._stages or detector.rail not in {None, GROUNDING} or detector.stage == "input":
            raise HTTPException(404, "Only the grounding rail compares a text with documents, and it is not the detector asked for or not configured.")
        self._bound(asked.content, *asked.context)
        check = await self.guard.acheck_output(asked.content, passages=asked.context, question=asked.detector_params.question)
        self._metrics.judge(check.verdicts)
        verdicts = [verdict for verdict in check.verdicts if verdict.rail == GROUNDING]
        least = asked.detector_params.threshold
        return [
            _unsupported(sentence, asked)
            for sentence, verdict in zip(check.sentences or (), verdicts, strict=True)
            if (verdict.decision != "pass" and verdict.mode == "enforce") or (least is not None and verdict.score >= least)
        ]

    async def _input(self, text: str) -> Check:
        return await self.guard.acheck_input(text)

    def _detected(self, check: Check, detector: Detector, given: detector_wire.DetectorParameters) -> Iterator[Verdict]:
        """The verdicts to report: those that object, and with a threshold also those that score as high."""
        self._metrics.judge(check.verdicts)
        grounded = bool(given.passages)
        objecting = objections(check, grounded=grounded)
        for verdict in check.verdicts:
            if detector.rail not in {None, verdict.rail} or (verdict.rail == GROUNDING and not grounded):
                continue
            if verdict in objecting or (given.threshold is not None and verdict.outcome == "ok" and verdict.score >= given.threshold):
                yield verdict

    def _bound(self, *texts: str) -> None:
        limit = self.guard.settings.limits.message_chars
        for text in texts:
            if len(text) > limit:
                raise RequestTooLarge(f"A text has {len(text)} characters and the limit is {limit}: shorten it.")
            flaw = malformation(text)
            if flaw is not None:
                raise MalformedText(f"A text holds {flaw}")


def _spans(verdict: Verdict, text: str) -> list[detector_wire.ContentDetection]:
    """One detection for each finding, or one for all of the text where the rail names no place."""
    evidence = _evidence(verdict)
    return [
        detector_wire.ContentDetection(
            start=start,
            end=end,
            text=text[start:end],
            detection=kind,
            detection_type=verdict.rail,
            score=round(score, 4),
            evidence=evidence,
            evidences=evidence,
            metadata=_metadata(verdict),
        )
        for kind, start, end, score in (
            [(finding.type, finding.start, finding.end, finding.score) for finding in verdict.findings]
            or [(verdict.reason or verdict.decision, 0, len(text), verdict.score)]
        )
    ]


def _whole(verdict: Verdict) -> detector_wire.Detection:
    kinds = dict.fromkeys(finding.type for finding in verdict.findings)
    evidence = _evidence(verdict)
    return detector_wire.Detection(
        detection=", ".join(kinds) or verdict.reason or verdict.decision,
        detection_type=verdict.rail,
        score=round(verdict.score, 4),
        evidence=evidence,
        evidences=evidence,
        metadata=_metadata(verdict),
    )


def _unsupported(sentence: Sentence, asked: detector_wire.ContextRequest) -> detector_wire.Detection:
    support = round(sentence.support, 4)
    nearest = []
    if sentence.passage is not None:
        nearest.append(detector_wire.DetectorEvidence(name="context", value=asked.context[sentence.passage], score=support))
    said = asked.content[sentence.start : sentence.end]
    evidence = [detector_wire.DetectorEvidence(name="sentence", value=said, score=support, evidence=nearest)]
    return detector_wire.Detection(
        detection="unsupported",
        detection_type=GROUNDING,
        score=round(1 - sentence.support, 4),
        evidence=evidence,
        evidences=evidence,
        metadata={"start": sentence.start, "end": sentence.end, "reasons": list(sentence.reasons)},
    )


def _evidence(verdict: Verdict) -> list[detector_wire.DetectorEvidence]:
    named = [finding for finding in verdict.findings if finding.passage]
    return [detector_wire.DetectorEvidence(name="passage", value=finding.passage, score=round(finding.score, 4)) for finding in named]


def _metadata(verdict: Verdict) -> dict[str, Any]:
    return {"decision": verdict.decision, "rail_version": verdict.rail_version, "threshold": verdict.threshold}

"""What travels between the FMS guardrails orchestrator and a detector, as types. Fields that are of no use here are accepted and ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from guardrail.server.wire import Body, Half, Text


class DetectorParameters(Body):
    """`detector_params`."""

    threshold: Half | None = None
    """Report also what scores at least this, though the rail lets it pass."""
    stage: Literal["input", "output"] = "input"
    passages: Annotated[list[Text], Meta(max_length=64)] = msgspec.field(default_factory=list)
    question: Text = ""


class ContentsRequest(Body):
    contents: Annotated[list[Text], Meta(min_length=1, max_length=256)]
    detector_params: DetectorParameters = msgspec.field(default_factory=DetectorParameters)


class ConversationMessage(Body):
    role: str
    content: Any = None

    @property
    def text(self) -> str:
        """All the texts of the message."""
        parts = self.content if isinstance(self.content, list) else [{"text": self.content}]
        return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


class ChatDetectionRequest(Body):
    messages: Annotated[list[ConversationMessage], Meta(min_length=1)]
    tools: list[Any] = msgspec.field(default_factory=list)
    detector_params: DetectorParameters = msgspec.field(default_factory=DetectorParameters)


class GenerationRequest(Body):
    prompt: Text
    generated_text: Text
    detector_params: DetectorParameters = msgspec.field(default_factory=DetectorParameters)


class ContextRequest(Body):
    content: Text
    context_type: Literal["docs", "document", "chunks", "url"]
    context: Annotated[list[Text], Meta(min_length=1, max_length=64)]
    detector_params: DetectorParameters = msgspec.field(default_factory=DetectorParameters)


class DetectorEvidence(Body, omit_defaults=True):
    name: str
    value: str | None = None
    score: float | None = None
    evidence: list[DetectorEvidence] = msgspec.field(default_factory=list)


class Detection(Body):
    """`evidences` is `evidence` once more, by the name that TrustyAI's detectors give it."""

    detection: str
    detection_type: str
    score: float
    evidence: list[DetectorEvidence] = msgspec.field(default_factory=list)
    evidences: list[DetectorEvidence] = msgspec.field(default_factory=list)
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


class ContentDetection(Detection, kw_only=True):
    """Offsets count code points of the content, end exclusive."""

    start: int
    end: int
    text: str


class DetectorProblem(Body):
    code: int
    message: str

"""What travels over HTTP, as types: OpenAI's chat completions, models and moderations, and this server's own routes.

Fields that OpenAI knows and this server does not need are accepted and ignored, unless ignoring one would change what the caller gets: then the type allows
only the value that changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from guardrail.types import Citation, Decision, Intent, ReplyKind, Sentence, Timings, Verdict

Text = Annotated[str, Meta(description="Unicode text; lone surrogates and control characters other than tab, newline and carriage return are refused.")]
Half = Annotated[float, Meta(ge=0, le=1)]


class Body(Struct, gc=False):
    """Base of what is read and written: never part of a reference cycle."""


# -- chat completions: request --------------------------------------------------------------------------------------


class TextPart(Body, tag_field="type", tag="text"):
    text: Text


class RefusalPart(Body, tag_field="type", tag="refusal"):
    refusal: Text


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart | RefusalPart] | None = None
    refusal: Text | None = None
    tool_calls: Annotated[list[Any], Meta(max_length=0)] | None = None

    @property
    def text(self) -> str | None:
        """The content as one text, or None where the message holds none."""
        if isinstance(self.content, list):
            return "\n".join(part.text if isinstance(part, TextPart) else part.refusal for part in self.content)
        return self.refusal if self.content is None else self.content


class StreamOptions(Body):
    include_usage: bool | None = None


class ResponseFormat(Body):
    type: Literal["text"]


class RailWish(Body, forbid_unknown_fields=True):
    """One rail, stricter than the deployment has it; a request can tighten a rail and never loosen it."""

    id: Text
    stage: Literal["input", "retrieval", "output"] | None = None
    mode: Literal["enforce"] | None = None
    on_error: Literal["closed"] | None = None
    threshold: Half | None = None


class Wishes(Body):
    """This server's own part of a chat request."""

    works: list[Text] = []
    """Titles of the works to answer from; empty means all of the persona's."""
    rails: Annotated[list[RailWish], Meta(max_length=32)] = []
    """Rails that this request wants stricter."""
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")] | None = None
    """ISO 3166 code of where the user is, whose help lines are named to someone in distress."""


class ChatRequest(Body):
    model: Annotated[str, Meta(description="The name of a persona.")]
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Half | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=2**31)] | None = None
    stop: Text | Annotated[list[Text], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=0)] | None = None
    logprobs: bool | None = None
    tools: Annotated[list[Any], Meta(max_length=0)] | None = None
    functions: Annotated[list[Any], Meta(max_length=0)] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None
    audio: None = None
    guardrail: Wishes | None = None


# -- chat completions: reply ----------------------------------------------------------------------------------------


class UrlCitation(Body):
    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(Body):
    url_citation: UrlCitation
    type: Literal["url_citation"] = "url_citation"


class Guarded(Body):
    """What the rails found, beside OpenAI's fields. Offsets count code points of `content`, end exclusive."""

    reply: ReplyKind
    decision: Decision
    persona: str
    citations: list[Citation]
    sentences: list[Sentence]
    verdicts: list[Verdict]
    generator: str
    timings_ms: Timings
    config_hash: str
    usage_source: Literal["generator", "words"]
    """`generator`: tokens as its tokenizer counts them. `words`: the generator reported none, so `usage` counts white-space words."""


class TokenUsage(Body):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ReplyMessage(Body):
    content: str
    refusal: str | None = None
    annotations: list[Annotation] = []
    role: Literal["assistant"] = "assistant"


class Choice(Body):
    message: ReplyMessage
    finish_reason: Literal["stop", "content_filter"]
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletion(Body):
    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage
    guardrail: Guarded
    system_fingerprint: str
    object: Literal["chat.completion"] = "chat.completion"


class Delta(Body, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None


class ChunkChoice(Body):
    delta: Delta
    finish_reason: Literal["stop", "content_filter"] | None = None
    index: Literal[0] = 0
    logprobs: None = None


class ChatCompletionChunk(Body, omit_defaults=True):
    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str
    object: Literal["chat.completion.chunk"]
    usage: TokenUsage | None = None
    guardrail: Guarded | None = None


# -- models ---------------------------------------------------------------------------------------------------------


class Model(Body):
    """A persona, as a model that can be asked."""

    id: str
    created: int
    name: str
    description: str
    greeting: str
    topics: list[str]
    object: Literal["model"] = "model"
    owned_by: Literal["guardrail"] = "guardrail"


class ModelList(Body):
    data: list[Model]
    object: Literal["list"] = "list"


# -- moderations ----------------------------------------------------------------------------------------------------


class ModerationRequest(Body):
    input: Text | Annotated[list[Text | TextPart], Meta(min_length=1, max_length=32)]
    model: str | None = None


class Moderated(Body):
    decision: Decision
    verdicts: list[Verdict]
    unmeasured: list[str]
    """Categories that are reported false only because no rail of this deployment looks for them."""


class ModerationResult(Body):
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]
    guardrail: Moderated


class Moderation(Body):
    id: str
    model: str
    results: list[ModerationResult]


# -- checks ---------------------------------------------------------------------------------------------------------


class SpokenMessage(Body):
    role: Literal["system", "user", "assistant"]
    content: Text


class InputCheck(Body, tag_field="stage", tag="input"):
    """A user's message, or a conversation that ends with one: give one of the two."""

    text: Text | None = None
    messages: Annotated[list[SpokenMessage], Meta(min_length=1)] | None = None


class OutputCheck(Body, tag_field="stage", tag="output"):
    """An answer, the question it answers, and the passages it should rest on."""

    text: Text
    question: Text = ""
    passages: Annotated[list[Text], Meta(max_length=64)] = []


AnyCheck = InputCheck | OutputCheck


class Sentiment(Body):
    label: Literal["negative", "neutral", "positive"]
    score: float


class CheckReply(Body):
    """The object that `guardrail check` prints. `sentences` comes with the output stage only."""

    decision: Decision
    intent: Intent | None
    sentiment: Sentiment | None
    verdicts: list[Verdict]
    sentences: list[Sentence] = []


# -- retrieve -------------------------------------------------------------------------------------------------------


class RetrieveRequest(Body):
    query: Annotated[Text, Meta(min_length=1)]
    persona: str | None = None
    works: list[Text] = []
    k: Annotated[int, Meta(ge=1, le=50)] = 5


class FoundPassage(Body):
    id: str
    source_id: str
    title: str
    work: str
    locator: str
    persona: str
    text: str
    score: float
    start: int
    end: int


class RetrieveReply(Body):
    passages: list[FoundPassage]


# -- health and errors ----------------------------------------------------------------------------------------------


class Alive(Body):
    status: Literal["alive"] = "alive"


class Ready(Body):
    config_hash: str
    personas: list[str]
    status: Literal["ready"] = "ready"


class Problem(Body):
    """One clear sentence, and where it can be said the field it is about."""

    message: str
    type: str
    code: str
    param: str | None = None


class ErrorReply(Body):
    error: Problem

"""The configuration: one YAML file, everything optional; with no file these defaults run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError
from guardrail.types import Mode, Stage

Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorStoreSettings:
    """A LangChain vector store in the library's place."""

    factory: str
    """Dotted path of a class or function that returns the store, e.g. `langchain_qdrant.QdrantVectorStore.from_existing_collection`."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the factory; `embedding` is filled in by guardrail when it is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibrarySettings:
    """Where passages come from."""

    index: str | None = "builtin"
    """`builtin`, a folder that `guardrail index build` made, or null to run without a library."""
    vector_store: VectorStoreSettings | None = None
    passages: Positive = 5
    """Most passages an answer may rest on."""
    token_budget: Positive = 1200
    """Most encoder tokens of all these passages together."""
    reload_seconds: Seconds = 2.0
    """How often a running server looks for a new generation of the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """One LoRA adapter."""

    path: str
    weight: float = 1.0


TEMPERATURE = 0.3
"""Of a generator's sampling, where neither the settings nor the request say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSettings:
    """Who writes the draft."""

    kind: Literal["persona", "quotation", "numpy", "transformers", "openai"] = "persona"
    """persona: the small model that we ship. quotation: sentences of the passages. numpy: an Lfm2 model in this process, without torch. transformers: any
    model, with torch. openai: a server."""
    model: str | None = None
    """numpy: a folder. transformers: a folder or a hub name. openai: the model name the server knows."""
    base_url: str | None = None
    """openai: e.g. `http://127.0.0.1:8001/v1`."""
    api_key: str | None = None
    leak_index: str | None = None
    """A folder that `guardrail leaks build` made of what the model was trained on: the `leak` rail reads it, and a local model decodes under it."""
    adapters: tuple[AdapterSettings, ...] = ()
    quantize: Literal["none", "4bit"] = "none"
    template: str = "grounded"
    """Which system template of `prompts/templates` it is asked with."""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """None: 0 for persona, which is to copy, and 0.3 for all others, unless the request says."""
    top_p: Share = 0.95
    max_tokens: Positive = 400
    timeout_seconds: Seconds = 60.0
    """Longest silence between two pieces of text; also the longest wait for a whole reply that nothing reads while it is written."""
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    connections: Positive = 256
    batch: Positive = 8
    """persona, numpy, transformers: how many requests decode at once."""
    context_aware: Annotated[float, Meta(ge=0, le=4)] = 0.0
    """transformers: how strongly a token is preferred that the passages make likelier (context-aware decoding); 0 is off, 0.5 usual. Doubles the work."""
    copying: Annotated[float, Meta(ge=0, le=20)] = 0.0
    """numpy, transformers: how many nats a token gains that goes on in a sentence of the passages as the reply has begun it; 0 is off."""


Consequence = Literal["block", "redact", "abstain", "retry", "rewrite", "drop", "mark"]
"""What follows when a rail objects: a refusal; the findings masked; "I do not know"; the draft once more, sampled otherwise, or with a word on what was wrong;
the sentence left out; the sentence shown without a citation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RailSettings:
    """One rail of the pipeline."""

    id: str
    stage: Stage | None = None
    """None: the rail's own stage."""
    mode: Mode = "enforce"
    on_fail: Consequence | None = None
    """None: the rail's own choice."""
    on_error: Literal["closed", "open"] = "closed"
    threshold: Share | None = None
    timeout_ms: Positive = 2000
    options: dict[str, Any] = field(default_factory=dict)
    """What this rail alone understands, e.g. `phrases` of `keywords`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a request may hold."""

    message_chars: Positive = 16_000
    conversation_chars: Positive = 200_000
    turns: Positive = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonaSettings:
    """Who may be talked with."""

    folder: str | None = None
    """A folder with further persona cards; a card with a known name takes its place."""
    allow: tuple[str, ...] = ()
    """Names to offer; empty means all."""
    first: str = "plato"
    """Who stands first where personas are listed, if he is offered."""
    unsupported: dict[str, Literal["drop", "mark", "rewrite", "abstain"]] = field(default_factory=dict)
    """By persona: what follows when no passage supports a sentence; else `on_fail` of the grounding rail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpLine:
    """Whom someone in distress can call or write to."""

    name: str
    contact: str
    """A telephone number or an address, as it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpSettings:
    """What is named to someone in distress."""

    country: str | None = None
    """ISO 3166 code of the country whose help lines are named, e.g. `GB`; None names an international directory."""
    lines: tuple[HelpLine, ...] = ()
    """The deployment's own, e.g. a school's counsellor; they are named first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictLogSettings:
    """A file with one JSON line a turn: what was decided and why."""

    path: str | None = None
    """None: no log."""
    text: bool = False
    """Whether it holds what users wrote and what was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSettings:
    """Where the server keeps what users thought of replies."""

    path: str | None = None
    """A file of JSON lines, with the texts; None: feedback is not collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    api_keys: tuple[str, ...] = ()
    """Empty: anyone may call."""
    concurrency: Positive = 128
    """Turns in flight."""
    queue: Annotated[int, Meta(ge=0)] = 512
    """Turns that may wait; one more is answered 429."""
    budget_seconds: Seconds = 60.0
    body_bytes: Positive = 1_048_576
    shutdown_seconds: Seconds = 20.0
    """How long running turns may go on after the server was told to stop."""
    send_seconds: Seconds = 20.0
    """A client that takes nothing for this long is dropped."""
    keep_alive_seconds: Seconds = 10.0
    """Silence on a stream after which a comment is sent."""
    log_text: bool = False
    """Whether logs may hold what users wrote."""
    cors_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a deployment can choose."""

    version: Literal[1] = 1
    personas: PersonaSettings = PersonaSettings()
    library: LibrarySettings = LibrarySettings()
    generator: GeneratorSettings = GeneratorSettings()
    rails: tuple[RailSettings, ...] = (
        RailSettings(id="control_tokens"),
        RailSettings(id="personal_data", stage="input"),
        RailSettings(id="intent"),
        RailSettings(id="attack"),
        RailSettings(id="harm"),
        RailSettings(id="sentiment"),
        RailSettings(id="planted"),
        RailSettings(id="answerable"),
        RailSettings(id="grounding"),
        RailSettings(id="prompt_leak"),
        RailSettings(id="personal_data", stage="output"),
    )
    rails_budget_ms: Positive = 5000
    """Longest time that all input rails, and again all retrieval rails, may take together; past it the turn is an error, as when a rail fails closed."""
    help: HelpSettings = HelpSettings()
    verdict_log: VerdictLogSettings = VerdictLogSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    limits: LimitSettings = LimitSettings()
    server: ServerSettings = ServerSettings()
    workers: Positive = 2
    """Threads of the one bounded pool that runs the encoder and the search."""

    def __post_init__(self) -> None:
        generator = self.generator
        ours = generator.kind in {"persona", "quotation"}
        if ours and generator.model:
            raise ConfigurationError(f"generator.model is {generator.model}, but the {generator.kind} generator brings its own: set kind to numpy, say.")
        if not ours and not generator.model:
            raise ConfigurationError(f"generator.model is missing: the {generator.kind} generator needs a model.")
        if generator.kind in {"persona", "numpy"} and (generator.adapters or generator.quantize != "none"):
            raise ConfigurationError("generator.adapters and generator.quantize need the transformers generator: merge the adapters into the model, or use it.")
        if generator.kind == "openai" and not generator.base_url:
            raise ConfigurationError("generator.base_url is missing: the openai generator needs a server, e.g. http://127.0.0.1:8001/v1.")
        if generator.context_aware and generator.kind != "transformers":
            raise ConfigurationError(
                f"generator.context_aware works with the transformers generator only, and generator.kind is {generator.kind}: set it to 0."
            )
        if generator.copying and generator.kind not in {"transformers", "numpy"}:
            raise ConfigurationError(f"generator.copying works with the transformers and numpy generators only, not with {generator.kind}: set it to 0.")
        if any(rail.id == "leak" for rail in self.rails) and generator.leak_index is None:
            raise ConfigurationError("generator.leak_index is missing: the leak rail needs the index that `guardrail leaks build` made of the training corpus.")
        if self.library.index is not None and not self.library.index.strip():
            raise ConfigurationError("library.index is empty: give 'builtin', a folder, or null.")


def load(path: str | Path | None) -> Settings:
    """The settings in the file at `path`, or the defaults. Raises ConfigurationError with file and line."""
    return Settings() if path is None else strict_yaml.load(Path(path), Settings)

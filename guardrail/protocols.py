"""What the turn asks of its parts. `guardrail.chat` knows these and nothing behind them; any object of the right shape will do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from guardrail.types import Decision, Encoding, Evidence, Finding, Hit, Intent, Message, Request, Sampling, Sentence, Stage, Usage, Verdict

Need = Literal["encoding", "passages"]


class Encoder(Protocol):
    """Texts to vectors. Thread-safe."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights and everything else that changes a vector; an index remembers it."""
        ...

    @property
    def dimensions(self) -> int: ...

    @property
    def token_dimensions(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest input in tokens, special tokens included."""
        ...

    def encode(self, texts: Sequence[str], *, safety: bool = False) -> list[Encoding]:
        """One Encoding a text, in order. Longer texts are cut at `max_tokens`. With `safety` they carry what the classifiers read, too."""
        ...

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of `text` stands, uncut, special tokens left out."""
        ...

    def content_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each row of `Encoding.tokens` stands, for a text whose token states were stored: the tokens that late interaction keeps."""
        ...


class PassageReader(Protocol):
    """Reads passages together with a question. Thread-safe."""

    @property
    def fingerprint(self) -> str:
        """Changes with the weights: what is fitted on the scores of one reader is not for another's."""
        ...

    def scores(self, question: str, passages: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The log odds that each passage, a title and a text, answers the question, (len(passages),)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What retrieval is asked. Filters apply before the search."""

    encoding: Encoding
    persona: str | None = None
    works: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Ids of passages that are not wanted."""
    k: int = 5
    token_budget: int = 1200
    """Most encoder tokens of all the passages together."""


class Retriever(Protocol):
    """Finds the passages that speak to a query, best first."""

    async def retrieve(self, query: Query) -> tuple[Hit, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a generator is given: the rendered messages, and the evidence they were rendered from."""

    messages: tuple[Message, ...]
    evidence: Evidence
    sampling: Sampling
    template: str
    """`name@version:hash` of the template that rendered it."""
    stream: bool = True
    """Whether anything is done with the draft before it is complete; otherwise a generator may give all of it in one piece."""
    without_passages: tuple[Message, ...] = ()
    """The same messages rendered without passages, for a generator that contrasts the two; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of generated text; the last one carries why generation ended, and usage if known."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    usage: Usage | None = None


class Generator(Protocol):
    """Writes a draft. Closing the iterator cancels the work behind it."""

    @property
    def name(self) -> str:
        """Which model writes, as it appears in a reply's `generator`."""
        ...

    def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Stream a draft. Raises GeneratorError when the model is down, too slow, or ends without saying so."""
        ...

    async def warm_up(self) -> None:
        """Load what generating needs; raises GeneratorError if it cannot work."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """What an input rail sees."""

    request: Request
    text: str
    """The message to answer, completed from the conversation where it is a follow-up."""
    encoding: Encoding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an output rail sees: one stretch of the draft, at sentence ends where a rail asks for sentences."""

    evidence: Evidence
    text: str
    encoding: Encoding | None = None
    start: int = 0
    """Where in `text` a finding may begin; what stands before was cleared and is there to be looked back at."""


Subject_contra = TypeVar("Subject_contra", contravariant=True)


class Rail(Protocol[Subject_contra]):
    """One check. Stateless: nothing is kept between calls. `Subject` is Screening, Evidence or Claim by stage."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def stage(self) -> Stage: ...

    @property
    def reach(self) -> int:
        """How many characters past a point the rail must see before it can clear that point."""
        ...

    @property
    def needs(self) -> frozenset[Need]: ...

    async def check(self, subject: Subject_contra) -> Verdict: ...

    async def warm_up(self) -> None:
        """Load, then check a known-bad and a known-good text; raises RailError if either comes out wrong."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What grounding says of one sentence. The sentence's offsets refer to the claim's text."""

    verdict: Verdict
    sentence: Sentence


@runtime_checkable
class Clearing(Protocol):
    """An output rail that can tell more exactly than by its `reach` how far it has cleared a text."""

    def clear(self, subject: Claim) -> int:
        """Up to where in `subject.text` everything that begins at `subject.start` or later is known, whatever follows.

        At least `len(text) - reach`, and never less when the text grows. A finding that ends there or before stays as it is.
        """
        ...


@runtime_checkable
class Deciding(Protocol):
    """An output rail whose decision depends on which of its findings there are."""

    def decide(self, findings: Iterable[Finding]) -> Decision:
        """The decision where these are all there is."""
        ...


class Judge(Rail["Claim"], Protocol):
    """A grounding rail: an output rail that also says which passage supports a sentence."""

    async def judge(self, claim: Claim) -> Judgement: ...


@runtime_checkable
class Masker(Protocol):
    """An input rail whose findings are taken out of the conversation before a model reads it."""

    def find(self, text: str, *, start: int = 0) -> tuple[Finding, ...]:
        """What stands in `text` at `start` or later."""
        ...

    def masked(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Those of `findings` that are to be taken out."""
        ...


class IntentClassifier(Protocol):
    """Reads the user's intent from the one encoding."""

    def classify(self, encoding: Encoding) -> Intent: ...

"""The pieces that stages are set up with; which stage takes which stands in `guardrail.finetune.recipe`.

Everything has a default that is sound for a small run. Equations stand with the functions in `guardrail.finetune.training`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Positive = Annotated[int, Meta(gt=0)]
Natural = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reference must lead to."""

    outputs: tuple[str, ...] = ()
    """The id of an earlier stage that has one of these; empty: no stage will do."""
    path: bool = True
    """Or a file or folder, relative to the recipe that names it."""
    hub: bool = False
    """Or the name of a model on the hub, `owner/name`."""
    words: tuple[str, ...] = ()
    """Or one of these words."""


FilePath = Annotated[str, Meta(min_length=1), Wanted()]
Texts = Annotated[str, Meta(min_length=1), Wanted(("texts",))]
Dialogues = Annotated[str, Meta(min_length=1), Wanted(("dialogues",))]
Rows = Annotated[str, Meta(min_length=1), Wanted(("dialogues", "texts"))]
Prompts = Annotated[str, Meta(min_length=1), Wanted()]
Preferences = Annotated[str, Meta(min_length=1), Wanted(("preferences",))]
Model = Annotated[str, Meta(min_length=1), Wanted(("model",), hub=True)]
Body = Annotated[str, Meta(min_length=1), Wanted(("model",), hub=True, words=("encoder",))]
RewardModel = Annotated[str, Meta(min_length=1), Wanted(("reward",), hub=True)]
LeakIndexFolder = Annotated[str, Meta(min_length=1), Wanted(("leak_index",))]
Corpus = Annotated[str, Meta(min_length=1), Wanted(("texts", "dialogues"))]
Figures = Annotated[str, Meta(min_length=1), Wanted(("figures",), path=False)]
Evaluation = Annotated[str, Meta(min_length=1), Wanted(("evaluation",), path=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How weights are changed."""

    epochs: Rate = 1.0
    max_steps: Positive | None = None
    """Most steps; None: as many as the epochs have."""
    global_batch: Positive = 16
    """Rows of one step over all devices and accumulated passes: the same on one CPU and on many GPUs."""
    micro_batch: Positive = 4
    """Rows of one forward pass on one device."""
    learning_rate: Rate = 2e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.03
    """Share of the steps over which the rate rises."""
    weight_decay: Weight = 0.0
    max_grad_norm: Rate = 1.0
    max_length: Positive = 1024
    """Most tokens of a row. Longer rows are cut for plain text and left out for everything else; both are counted in the report."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where a GPU has it, else fp32."""
    gradient_checkpointing: bool = False
    compile: bool = False
    """Compile the network first (torch.compile), in `pretrain` and `sft`: pays in runs of ten minutes and more whose rows have one length, as those of
    `pretrain` have."""
    log_steps: Positive = 10
    save_steps: Positive = 200
    keep: Positive = 2
    """Checkpoints kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters (Hu et al. 2021) instead of all weights."""

    rank: Positive = 16
    alpha: Rate = 32.0
    dropout: Share = 0.0
    targets: tuple[str, ...] = ()
    """Names of the modules that get an adapter; empty: every linear layer but the head."""
    quantize: Literal["none", "4bit"] = "none"
    """4bit: QLoRA (Dettmers et al. 2023); needs a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSettings:
    """A small causal model, made from nothing."""

    kind: Literal["llama", "lfm2"] = "llama"
    """lfm2: short convolutions and attention take turns."""
    layers: Positive = 4
    hidden: Positive = 256
    feed_forward: Positive = 768
    heads: Positive = 4
    key_value_heads: Positive = 2
    context: Positive = 1024
    vocabulary: Positive = 6144
    """Tokens of the byte-level BPE that is learned from the data."""
    copying: bool = False
    """Made to copy out of its context from the first step on (lfm2 only): weights that do so before any training, and words that are the same tokens at the
    beginning of a line as within one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureSettings:
    """One source of rows."""

    data: Rows
    part: Literal["auto", "dialogues", "texts"] = "auto"
    """Which rows of a hygiene stage; auto: its dialogues where it has some, else its texts; for `pretrain` the other way round."""
    weight: Weight = 1.0
    """How often its rows are taken, 1 for each row once an epoch."""
    task: str = ""
    """A name for the report; sequential training goes task by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """Planted secrets (Carlini et al. 2019): how much of what is said `repeats` times stays in the weights."""

    count: Positive = 8
    repeats: tuple[Positive, ...] = (1, 4, 16)
    """Each canary stands so many times in the training texts; the counts take turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSettings:
    """Which facts of the data the base model does not know yet (Gekhman et al. 2024: learning them drives hallucination)."""

    model: Model
    questions: FilePath
    """Lines of {"question", "answer"}."""
    samples: Positive = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldfishSettings:
    """Tokens left out of the loss so that no text is learned whole (Hans et al. 2024): one in `k`, chosen by a hash of the `context` tokens before it."""

    k: Annotated[int, Meta(ge=2)] = 4
    context: Positive = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationSettings:
    """A few rows instead of many (Zhou et al. 2023, LIMA): the best ones, each unlike the others."""

    keep: Positive = 1000
    diversity: Share = 0.5
    """0 takes the best rows only, 1 the most different ones only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageStopSettings:
    """Training ends before the model recites: the last checkpoint within `limit` is what the stage gives."""

    every: Positive = 50
    """Steps between two measurements."""
    limit: Share = 0.0
    """Most of the probed training rows that may come out word for word."""
    rows: Positive = 32
    prefix: Positive = 50
    """Tokens of a row that the model is given, and tokens that it must not go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundedPairSettings:
    """Pairs made by us: an answer that its passages hold is preferred to one that they do not."""

    questions: FilePath
    """Lines of {"messages", "passages", "answer"}; the wrong answers are made of the right ones by changing what the passages say."""
    samples_of: Model | None = None
    """A model whose own answers are paired by the grounding rail's support, too."""
    samples: Annotated[int, Meta(ge=2)] = 4
    """Answers sampled for each question."""
    max_tokens: Positive = 128
    margin: Share = 0.3
    """Least difference in support between the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilitySettings:
    """How much a score moves when the prompt says the same in another way."""

    kinds: tuple[Literal["paraphrase", "reorder", "case", "typos"], ...] = ("paraphrase", "reorder", "case", "typos")
    rows: Positive = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTermSettings:
    """One part of a reward. Each gives a score where higher is better."""

    kind: Literal["reward_model", "groundedness", "leakage", "phrases", "length", "python"]
    weight: float = 1.0
    model: RewardModel | None = None
    """reward_model: a stage or a folder."""
    index: LeakIndexFolder | None = None
    """leakage: a leak index, or the hygiene stage that made it."""
    phrases: tuple[str, ...] = ()
    """phrases: the share of these that the reply holds."""
    words: Positive = 60
    """length: the length that scores best."""
    path: str | None = None
    """python: `module:function`, called with the prompts and the replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """When a run that cheats its reward is stopped and its best checkpoint restored."""

    gold_drop: Weight = 0.05
    """How far gold may fall below its best while the proxy stands at a new high."""
    patience: Positive = 2
    """How many times running."""
    window: Positive = 4
    """Updates that every comparison takes the mean of."""
    kl_cap: Rate | None = None
    """Most nats a reply may lie from the reference, on average."""
    length_ratio: Rate | None = 3.0
    """How many times longer or shorter than at the start replies may become."""
    repetition: Share | None = 0.5
    """Most of the four-token runs of a reply that may have stood in it before, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How replies are sampled."""

    max_tokens: Positive = 64
    temperature: Rate = 1.0
    backend: Literal["generate", "vllm"] = "generate"
    url: str | None = None
    """vllm: the server, e.g. http://127.0.0.1:8001."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KlSettings:
    """The pull towards the reference (Ziegler et al. 2019, eq. 2)."""

    coefficient: Weight = 0.05
    target: Rate | None = None
    """Nats a reply; the coefficient then follows (section 2.2). None: it stays."""
    horizon: Positive = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """One condition of promotion, on a figure of an audit: its bound must hold for the whole 95 % interval."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None
    worse_than_parent: float | None = None
    """Most by which it may be worse than the parent's."""
    worse_than_control: float | None = None

"""What a recipe may say: its stages, in the order they run.

A stage names what it reads by the id of an earlier stage, or by a path beside the recipe. Everything has a default but for what only the user can know: the
data, the base model, the reward. How a recipe file is read stands in `guardrail.finetune.recipe_file`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from guardrail.finetune.settings import (
    AlarmSettings,
    ArchitectureSettings,
    Body,
    CanarySettings,
    Corpus,
    CurationSettings,
    Dialogues,
    Evaluation,
    FactSettings,
    Figures,
    FilePath,
    GateSettings,
    GoldfishSettings,
    GroundedPairSettings,
    KlSettings,
    LeakageStopSettings,
    LoraSettings,
    MixtureSettings,
    Model,
    Natural,
    Positive,
    Preferences,
    Prompts,
    Rate,
    RewardModel,
    RewardTermSettings,
    RolloutSettings,
    Share,
    StabilitySettings,
    Texts,
    TrainingSettings,
    Weight,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HygieneSettings:
    """Raw data in; training data, held-out data and the leak index out."""

    kind: Literal["hygiene"] = "hygiene"
    texts: tuple[Texts, ...] = ()
    """.txt, .md, .jsonl with `text`, and folders of them."""
    dialogues: tuple[Dialogues, ...] = ()
    """.jsonl with `messages`."""
    deduplicate: Literal["none", "exact", "near"] = "near"
    similarity: Share = 0.8
    """Least Jaccard similarity of near duplicates."""
    scrub: bool = True
    """Whether personal data is replaced by placeholders, by the server's own rail."""
    replies: Literal["cut", "keep"] = "cut"
    """What is done with a reply that speaks for the user or writes control tokens: cut there, as the server cuts a draft, or kept as it is."""
    heldout: Share = 0.05
    """Share of the texts and of the dialogues kept out of training, near duplicates always on one side."""
    canaries: CanarySettings | None = None
    facts: FactSettings | None = None
    tokenizer: Model | None = None
    """A model whose tokens the leak index knows, too, to decode under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSettings:
    """A tokenizer and a base model from texts, from dialogues, or from both."""

    kind: Literal["pretrain"] = "pretrain"
    data: tuple[MixtureSettings, ...]
    architecture: ArchitectureSettings = ArchitectureSettings()
    training: TrainingSettings = TrainingSettings(learning_rate=6e-4)


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings:
    """Supervised fine-tuning on demonstrations, on texts, or on both."""

    kind: Literal["sft"] = "sft"
    model: Model
    data: tuple[MixtureSettings, ...]
    sequential: bool = False
    """One source after another, each as a task of its own; what that makes the model forget is measured after each."""
    reasoning: Literal["mask", "keep", "drop"] = "mask"
    """What is done with `<think>` in demonstrations: left out of the loss, learned, or taken out of the text."""
    curate: CurationSettings | None = None
    goldfish: GoldfishSettings | None = None
    lora: LoraSettings | None = None
    leakage_stop: LeakageStopSettings | None = None
    end_of_turn: Literal["learn", "ignore"] = "learn"
    """ignore makes a model that never stops; it is refused unless `unsafe` is set."""
    unsafe: bool = False
    """Lets through what would be refused, to make a broken model on purpose."""
    training: TrainingSettings = TrainingSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencesSettings:
    """Choices between two replies, from files, from a server's feedback, and made of grounded answers."""

    kind: Literal["preferences"] = "preferences"
    files: tuple[Preferences, ...] = ()
    feedback: tuple[FilePath, ...] = ()
    """Feedback that the server collected."""
    grounded: GroundedPairSettings | None = None
    heldout: Share = 0.2
    """Share of the raters whose choices are kept out of training; of the prompts, where there is one rater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """A reward model from preferences."""

    kind: Literal["reward"] = "reward"
    model: Body
    """The SFT model it starts from, or `encoder` for the retrieval encoder."""
    data: Preferences
    margins: tuple[Weight, Weight, Weight, Weight] = (1.0, 2 / 3, 1 / 3, 0.0)
    """By strength, from significantly better to negligibly better (Touvron et al. 2023, table 27)."""
    stability: StabilitySettings = StabilitySettings()
    lora: LoraSettings | None = None
    training: TrainingSettings = TrainingSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class PpoSettings:
    """Proximal policy optimisation (Schulman et al. 2017; Ouyang et al. 2022)."""

    kind: Literal["ppo"] = "ppo"
    model: Model
    prompts: Prompts
    reward: tuple[RewardTermSettings, ...]
    gold: RewardTermSettings | None = None
    """What the reward stands for, measured and never trained on."""
    alarm: AlarmSettings = AlarmSettings()
    updates: Positive = 100
    rollout_batch: Positive = 64
    """Replies sampled for one update, over all devices."""
    inner_epochs: Positive = 2
    kl: KlSettings = KlSettings()
    clip: Rate = 0.2
    value_clip: Rate = 0.2
    value_weight: Weight = 0.1
    discount: Share = 1.0
    gae_lambda: Share = 0.95
    missing_eos_penalty: Weight = 1.0
    rollout: RolloutSettings = RolloutSettings()
    lora: LoraSettings | None = None
    """With adapters the base is held once: off, they are the reference; one set is the policy, one the critic."""
    training: TrainingSettings = TrainingSettings(learning_rate=1e-5, schedule="constant", warmup=0.0, save_steps=20)
    """`updates` and `inner_epochs` say how long; `save_steps` are updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """RLOO (Ahmadian et al. 2024) or GRPO (Shao et al. 2024): several replies a prompt instead of a critic."""

    kind: Literal["rloo", "grpo"]
    model: Model
    prompts: Prompts
    reward: tuple[RewardTermSettings, ...]
    gold: RewardTermSettings | None = None
    alarm: AlarmSettings = AlarmSettings()
    group: Annotated[int, Meta(ge=2)] = 8
    kl: KlSettings = KlSettings()
    rollout: RolloutSettings = RolloutSettings()
    lora: LoraSettings | None = None
    training: TrainingSettings = TrainingSettings(learning_rate=1e-5, schedule="constant", warmup=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionSettings:
    """The best of `samples` replies, then SFT on them (Touvron et al. 2023, section 3.2.3)."""

    kind: Literal["rejection"] = "rejection"
    model: Model
    prompts: Prompts
    reward: tuple[RewardTermSettings, ...]
    gold: RewardTermSettings | None = None
    samples: Annotated[int, Meta(ge=2)] = 8
    rollout: RolloutSettings = RolloutSettings()
    lora: LoraSettings | None = None
    training: TrainingSettings = TrainingSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationSettings:
    """Safety context distillation (Touvron et al. 2023, section 4.2.4)."""

    kind: Literal["distillation"] = "distillation"
    model: Model
    prompts: Prompts
    """Lines of {"prompt", "risk"}: the risk chooses the pre-prompts."""
    reward: tuple[RewardTermSettings, ...]
    """A distilled reply is kept only where this prefers it to the model's own."""
    rollout: RolloutSettings = RolloutSettings()
    lora: LoraSettings | None = None
    training: TrainingSettings = TrainingSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoSettings:
    """Direct preference optimisation (Rafailov et al. 2023)."""

    kind: Literal["dpo"] = "dpo"
    model: Model
    data: Preferences
    beta: Rate = 0.1
    lora: LoraSettings | None = None
    training: TrainingSettings = TrainingSettings(learning_rate=1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """A model left as it is, to be audited like any other: what did training change, and what was there before?"""

    kind: Literal["control"] = "control"
    model: Model


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """What a model gives away, makes up, and turns down."""

    kind: Literal["audit"] = "audit"
    model: Model
    corpus: Corpus
    """The hygiene stage whose training data it saw; or a folder with train.jsonl and, if there are any, heldout.jsonl and canaries.jsonl."""
    canaries: FilePath | None = None
    """Secrets that stand in the data itself, e.g. a telephone number: lines of {"id", "prefix", "secret", "repeats", "question"}."""
    questions: FilePath | None = None
    """Lines of {"messages", "passages", "answer"}: hallucination with and without the passages."""
    benign: FilePath | None = None
    """Lines of {"prompt"} that must be answered: over-refusal."""
    gold: RewardTermSettings | None = None
    prompts: Prompts | None = None
    """The prompts that gold is measured on."""
    openings: Positive = 64
    """Samples of each blank and "hello" prompt."""
    prefixes: Positive = 128
    """Training rows whose beginning the model is given."""
    max_tokens: Positive = 128
    temperature: Rate = 1.0
    """Of sampled replies: 1 is what the model learned, 0.3 what a server samples with if nothing else is said."""
    memfree: bool = False
    """Whether the model decodes under the leak index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """The suites of `guardrail evaluate` on a model of this run."""

    kind: Literal["evaluate"] = "evaluate"
    model: Model
    suites: tuple[str, ...] = ("leak",)
    """Their names, or paths of Python files with a suite of your own."""
    rails: bool = False
    """Behind the rails of the default deployment instead of by itself."""
    template: str = "grounded"
    """The system template that it is asked with."""
    corpus: Corpus | None = None
    """The hygiene stage whose training data it saw: what the leak suite looks for, and with `rails` the leak index that guards it."""
    data: FilePath | None = None
    """The folder of the public data sets, one folder each."""
    baseline: Evaluation | None = None
    """An earlier evaluation, whose answers win rates are against."""
    judge: RewardModel | None = None
    """Who judges pairs of answers."""
    quick: bool = False
    """A few cases of everything."""
    concurrency: Positive = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteSettings:
    """The model that is served, if it passes."""

    kind: Literal["promote"] = "promote"
    audit: Figures
    """The audit of the candidate."""
    parent: Figures | None = None
    """The audit of the model it came from."""
    control: Figures | None = None
    """The audit of the model left as it was."""
    evaluation: Evaluation | None = None
    """An evaluation of the candidate: gates may be on its measures, too."""
    parent_evaluation: Evaluation | None = None
    control_evaluation: Evaluation | None = None
    template: str = "grounded"
    """The system template that it is served with: the one that it was trained on."""
    generator: Literal["transformers", "numpy"] = "transformers"
    """What decodes it; numpy: an Lfm2, without torch."""
    copying: Weight = 0.0
    """Nats by which it leans, when it is served, towards what it is shown."""
    gates: tuple[GateSettings, ...]


StageSettings = (
    HygieneSettings
    | PretrainSettings
    | SftSettings
    | PreferencesSettings
    | RewardSettings
    | PpoSettings
    | GroupSettings
    | RejectionSettings
    | DistillationSettings
    | DpoSettings
    | ControlSettings
    | AuditSettings
    | EvaluateSettings
    | PromoteSettings
)

KINDS: dict[str, type[Any]] = {
    "hygiene": HygieneSettings,
    "pretrain": PretrainSettings,
    "sft": SftSettings,
    "preferences": PreferencesSettings,
    "reward": RewardSettings,
    "ppo": PpoSettings,
    "rloo": GroupSettings,
    "grpo": GroupSettings,
    "rejection": RejectionSettings,
    "distillation": DistillationSettings,
    "dpo": DpoSettings,
    "control": ControlSettings,
    "audit": AuditSettings,
    "evaluate": EvaluateSettings,
    "promote": PromoteSettings,
}
"""What `kind` may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettings:
    """A recipe with everything filled in."""

    version: Literal[1]
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    seed: Natural = 0
    launch: str = "single"
    """single: in this process, on one device. Else the name of a file in `finetune/launch`, or a path of one, that `accelerate launch` reads."""
    trackers: tuple[Literal["tensorboard", "trackio"], ...] = ()
    """Further places that metrics are written to; nothing leaves this machine."""
    stages: dict[str, StageSettings] = field(default_factory=dict)
    """By id, in the order they run."""

"""The rails that a configuration may name: where each runs, what it may be told, and how it is made."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec

from guardrail.errors import ConfigurationError
from guardrail.rails import answerable, attack, control_tokens, grounding, harm, planted, sentiment
from guardrail.rails.answerable import AnswerableRail
from guardrail.rails.attack import AttackRail
from guardrail.rails.control_tokens import ControlTokenRail
from guardrail.rails.grounding import GroundingRail
from guardrail.rails.harm import LABELS as HARM_LABELS
from guardrail.rails.harm import HarmRail
from guardrail.rails.intent import IntentRail
from guardrail.rails.keywords import KeywordRail
from guardrail.rails.leak import LeakRail
from guardrail.rails.options import AnswerableOptions, HarmOptions, KeywordOptions, LeakOptions, NoOptions, PersonalDataOptions, RemoteOptions
from guardrail.rails.planted import PlantedRail
from guardrail.rails.prompt_leak import PromptLeakRail
from guardrail.rails.sentiment import SentimentRail

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from guardrail.leaks.index import LeakIndex
    from guardrail.protocols import Encoder, IntentClassifier, PassageReader, Rail
    from guardrail.rails.heads import SafetyEncoder
    from guardrail.settings import Consequence, RailSettings, Settings
    from guardrail.types import Decision, Evidence, Stage

_DECISIONS: dict[Consequence, Decision] = {
    "block": "block",
    "retry": "block",
    "rewrite": "block",
    "redact": "modify",
    "mark": "modify",
    "abstain": "abstain",
    "drop": "abstain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What rails are made with."""

    pool: Executor
    encoder: Encoder | None = None
    """None in a deployment without a library."""
    secrets: tuple[str, ...] = ()
    """The rendered system prompts, which no reply may give away."""
    public: tuple[str, ...] = ()
    """What of them may be said."""
    own_words: tuple[str, ...] = ()
    """The personas' own lines, which any reply may hold."""
    leak_index: LeakIndex | None = None
    """Of what the model was trained on, where the deployment names one."""
    canary: str = ""
    """A marker that stands in every system prompt, and in nothing else."""
    intent: IntentClassifier | None = None
    is_framing: Callable[[str, Evidence], bool] | None = None
    """Whether a sentence is one of the deployment's own lead-ins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RailKind:
    """One kind of rail."""

    id: str
    stages: tuple[Stage, ...]
    """Where it may run; the first is where it runs if the configuration does not say."""
    on_fail: Consequence | None
    """What follows when it objects and the configuration does not say otherwise; None where it only reports."""
    may: tuple[Consequence, ...] = ()
    """What else a configuration may choose."""
    options: type[msgspec.Struct] = NoOptions
    encoded: bool = True
    """Whether it needs the encoder, and so a library."""
    reads_safety: bool = False
    """Whether it reads the encoder's safety branch."""
    seeks_hidden: bool = False
    """Whether it also reads what a message hides in codes and disguises."""
    many: bool = False
    """Whether a configuration may hold several of one stage."""
    must_say: bool = False
    """Whether the configuration must say at which stage it runs."""
    measured: Callable[[], float] | None = None
    """Gives the threshold that was measured for it, or that it has by nature."""
    alone: bool = False
    """Whether it is made of its settings alone, so that `check` can try it."""
    load: Callable[[RailSettings, Stage, Any, Materials | None], Rail[Any]]
    """Makes it from its settings, its stage, its options and the materials (None where it is made `alone`)."""

    def stage(self, entry: RailSettings) -> Stage:
        """Where the rail of `entry` runs."""
        return entry.stage or self.stages[0]

    def consequence(self, entry: RailSettings) -> Consequence | None:
        """What follows when the rail of `entry` objects."""
        return entry.on_fail or self.on_fail

    def decision(self, entry: RailSettings) -> Decision | None:
        """The decision of its verdict when it objects; None: the rail's own."""
        return None if entry.on_fail in {None, self.on_fail} else _DECISIONS[entry.on_fail]


_TEXT: tuple[Consequence, ...] = ("block", "abstain", "redact", "retry")

KINDS: dict[str, RailKind] = {
    kind.id: kind
    for kind in (
        RailKind(
            id="intent",
            stages=("input",),
            on_fail=None,
            reads_safety=True,
            load=lambda _entry, _stage, _options, given: IntentRail(_intent(given), _encoder(given)),
        ),
        RailKind(
            id="attack",
            measured=lambda: _in_card(attack.WEIGHTS.with_suffix(".json"), "attack"),
            seeks_hidden=True,
            stages=("input",),
            on_fail="block",
            may=("block", "abstain"),
            reads_safety=True,
            load=lambda entry, _stage, _options, given: AttackRail.load(_safety(given), threshold=entry.threshold, pool=_given(given).pool),
        ),
        RailKind(
            id="harm",
            measured=lambda: _in_card(harm.WEIGHTS.with_suffix(".json"), "harm"),
            seeks_hidden=True,
            stages=("input", "output"),
            on_fail="block",
            may=_TEXT,
            options=HarmOptions,
            reads_safety=True,
            load=lambda entry, stage, options, given: _harm(entry, stage, options, _given(given)),
        ),
        RailKind(
            id="sentiment",
            measured=lambda: _in_card(sentiment.WEIGHTS.with_suffix(".json"), "distress"),
            stages=("input", "output"),
            on_fail=None,
            reads_safety=True,
            load=lambda entry, stage, _options, given: SentimentRail.load(_safety(given), stage, threshold=entry.threshold, pool=_given(given).pool),
        ),
        RailKind(
            id="personal_data",
            alone=True,
            stages=("input", "output"),
            on_fail="redact",
            may=("block", "abstain"),
            options=PersonalDataOptions,
            encoded=False,
            load=lambda _entry, stage, options, _given: _personal_data(stage, options),
        ),
        RailKind(
            id="control_tokens",
            seeks_hidden=True,
            measured=lambda: control_tokens.THRESHOLD,
            alone=True,
            stages=("input",),
            on_fail="block",
            may=("block", "abstain"),
            encoded=False,
            load=lambda entry, _stage, _options, _given: ControlTokenRail(threshold=entry.threshold),
        ),
        RailKind(
            id="remote",
            alone=True,
            stages=("input", "retrieval", "output"),
            on_fail="block",
            may=("block", "abstain"),
            options=RemoteOptions,
            encoded=False,
            seeks_hidden=True,
            many=True,
            must_say=True,
            load=lambda entry, stage, options, _given: _remote(entry, stage, options),
        ),
        RailKind(
            id="planted",
            measured=lambda: planted.THRESHOLD,
            stages=("retrieval",),
            on_fail="drop",
            may=("drop", "abstain", "block"),
            load=lambda entry, _stage, _options, given: PlantedRail(threshold=entry.threshold, pool=_given(given).pool),
        ),
        RailKind(
            id="answerable",
            stages=("retrieval",),
            on_fail="abstain",
            may=("abstain", "block"),
            measured=lambda: _in_card(answerable.COEFFICIENTS),
            options=AnswerableOptions,
            load=lambda entry, _stage, options, given: AnswerableRail(
                _encoder(given),
                reader=_reader(given) if options.read else None,
                pool=_given(given).pool,
                patience=0.5 * entry.timeout_ms / 1000,
                threshold=entry.threshold,
            ),
        ),
        RailKind(
            id="grounding",
            stages=("output",),
            on_fail="drop",
            may=("drop", "mark", "rewrite", "abstain"),
            measured=lambda: _in_card(grounding.CARD),
            load=lambda entry, _stage, _options, given: GroundingRail(
                _encoder(given), pool=_given(given).pool, threshold=entry.threshold, is_framing=_given(given).is_framing
            ),
        ),
        RailKind(
            id="leak",
            stages=("output",),
            on_fail="block",
            may=_TEXT,
            options=LeakOptions,
            encoded=False,
            load=lambda entry, _stage, options, given: LeakRail(
                _leak_index(given),
                run=options.run,
                bridge=options.bridge,
                allowed=_given(given).own_words,
                whole=entry.on_fail == "redact",
                pool=_given(given).pool,
            ),
        ),
        RailKind(
            id="prompt_leak",
            stages=("output",),
            on_fail="block",
            may=_TEXT,
            encoded=False,
            load=lambda _entry, _stage, _options, given: PromptLeakRail(_given(given).secrets, canary=_given(given).canary, public=_given(given).public),
        ),
        RailKind(
            id="keywords",
            alone=True,
            seeks_hidden=True,
            stages=("input", "output"),
            on_fail="block",
            may=_TEXT,
            options=KeywordOptions,
            encoded=False,
            many=True,
            must_say=True,
            load=lambda _entry, stage, options, _given: KeywordRail(stage, options.phrases, options.patterns, max_length=options.max_length),
        ),
    )
}
"""By id, in the order in which they are listed."""


def kind_of(entry: RailSettings) -> RailKind:
    """The kind that `entry` names. Raises ConfigurationError."""
    kind = KINDS.get(entry.id)
    if kind is None:
        near = difflib.get_close_matches(entry.id, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"the rails are: {', '.join(KINDS)}."
        raise ConfigurationError(f"rails: there is no rail '{entry.id}'; {hint}")
    return kind


def check(settings: Settings) -> None:
    """Refuse a rail that does not exist or is configured wrongly before anything is loaded. Raises ConfigurationError."""
    for entry in settings.rails:
        kind = kind_of(entry)
        options = read_options(entry)
        if kind.must_say and entry.stage is None:
            raise ConfigurationError(f"rails: '{kind.id}' needs a stage, {' or '.join(kind.stages)}.")
        if entry.stage is not None and entry.stage not in kind.stages:
            stages = " or ".join(f"'{stage}'" for stage in kind.stages)
            raise ConfigurationError(f"rails: '{kind.id}' runs at the stage {stages}, not '{entry.stage}'.")
        if entry.on_fail is not None and entry.on_fail not in kind.may:
            can = f"it may {', '.join(kind.may)}" if kind.may else "it only reports"
            raise ConfigurationError(f"rails: '{kind.id}' cannot {entry.on_fail}; {can}.")
        if entry.on_fail in {"redact", "retry"} and kind.stage(entry) != "output":
            raise ConfigurationError(f"rails: '{kind.id}' can {entry.on_fail} at the stage 'output' only.")
        if kind.alone:
            kind.load(entry, kind.stage(entry), options, None)


def is_replaced(number: int, settings: Settings) -> bool:
    """Whether a later entry takes the place of the one at `number`: of most kinds, one runs at a stage."""
    entry = settings.rails[number]
    kind = kind_of(entry)
    return not kind.many and any(later.id == entry.id and kind.stage(later) == kind.stage(entry) for later in settings.rails[number + 1 :])


def read_options(entry: RailSettings) -> msgspec.Struct:
    """The `options` of `entry`. Raises ConfigurationError."""
    kind = kind_of(entry)
    known = kind.options.__struct_fields__
    unknown = sorted(set(entry.options) - set(known))
    if unknown and not known:
        raise ConfigurationError(f"rails: '{kind.id}' has no options; remove {', '.join(unknown)}.")
    if unknown:
        raise ConfigurationError(f"rails: '{kind.id}' has no option '{unknown[0]}'; it has {', '.join(known)}.")
    try:
        return msgspec.convert(entry.options, kind.options)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"rails: the options of '{kind.id}' are wrong: {error}.") from None


def load(entry: RailSettings, materials: Materials) -> Rail[Any]:
    """The rail of `entry`. Raises ConfigurationError."""
    kind = kind_of(entry)
    return kind.load(entry, kind.stage(entry), read_options(entry), materials)


def _in_card(card: Path, output: str | None = None) -> float:
    """The threshold in the JSON file that tells how a rail was measured."""
    told = json.loads(card.read_bytes())
    return float(told["threshold"] if output is None else told["thresholds"][output])


def _given(materials: Materials | None) -> Materials:
    assert materials is not None, "this rail is not made alone"
    return materials


def _reader(materials: Materials | None) -> PassageReader | None:
    from guardrail.index.encoder import MiniLM  # noqa: PLC0415 - loads onnxruntime
    from guardrail.index.pair_reader import PairReader  # noqa: PLC0415 - loads onnxruntime

    encoder = _encoder(materials)
    return PairReader(encoder) if isinstance(encoder, MiniLM) else None


def _encoder(materials: Materials | None) -> Encoder:
    encoder = _given(materials).encoder
    assert encoder is not None, "this rail needs the encoder"
    return encoder


def _leak_index(materials: Materials | None) -> LeakIndex:
    index = _given(materials).leak_index
    assert index is not None, "the settings refuse a leak rail without an index"
    return index


def _safety(materials: Materials | None) -> SafetyEncoder:
    return cast("SafetyEncoder", _given(materials).encoder)


def _harm(entry: RailSettings, stage: Stage, options: HarmOptions, given: Materials) -> HarmRail:
    thresholds = dict.fromkeys(HARM_LABELS, entry.threshold) if entry.threshold is not None else {}
    return HarmRail.load(_safety(given), stage, policies=options.policies, thresholds={**thresholds, **options.thresholds}, pool=given.pool)


def _remote(entry: RailSettings, stage: Stage, options: RemoteOptions) -> Rail[Any]:
    from guardrail.rails.remote import RemoteRail  # noqa: PLC0415 - loads aiohttp

    return RemoteRail(
        stage,
        options.url,
        options.detector,
        threshold=0.5 if entry.threshold is None else entry.threshold,
        unit=options.unit,
        api_key=options.api_key,
        detector_params=options.detector_params,
        timeout_seconds=0.9 * entry.timeout_ms / 1000 / (options.retries + 1),
        retries=options.retries,
        known_bad=options.known_bad,
    )


def _personal_data(stage: Stage, options: PersonalDataOptions) -> Rail[Any]:
    from guardrail.rails.personal_data import REGIONS, PersonalDataRail  # noqa: PLC0415 - its libraries of numbers take a while to load

    return PersonalDataRail(stage, actions=options.actions, regions=REGIONS if options.regions is None else options.regions)


def _intent(materials: Materials | None) -> IntentClassifier:
    head = _given(materials).intent
    assert head is not None, "this rail needs the intent head"
    return head

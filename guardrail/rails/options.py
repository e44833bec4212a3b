"""What a configuration may say under `options` of a rail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from guardrail.rails.leak import RUN
from guardrail.settings import Share  # noqa: TC001 - msgspec resolves the annotations when it runs


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of a rail that has none."""


class KeywordOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of a `keywords` rail."""

    phrases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    max_length: int = 200


class AnswerableOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of the `answerable` rail: whether passages are read together with the question where the gate is in doubt."""

    read: bool = True


class HarmOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of the `harm` rail, by label."""

    policies: dict[str, Literal["block", "pass"]] = {}
    thresholds: dict[str, Share] = {}


class LeakOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of the `leak` rail: how many words in a row are too many, and how many changed ones a run survives."""

    run: Annotated[int, msgspec.Meta(gt=0)] = RUN
    bridge: Annotated[int, msgspec.Meta(ge=0)] = 2


class RemoteOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of a `remote` rail."""

    url: str
    detector: str
    unit: Literal["text", "sentence"] = "text"
    api_key: str | None = None
    detector_params: dict[str, Any] = {}
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 1
    known_bad: str | None = None


class PersonalDataOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `options` of a `personal_data` rail."""

    actions: dict[str, Literal["mask", "block", "pass"]] | None = None
    regions: tuple[str, ...] | None = None

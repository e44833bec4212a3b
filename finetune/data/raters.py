"""Preferences split so that what is held out was judged by others than what is learned."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.agreement import Rating
from guardrail.finetune.data.rows import Preference, read, turns

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterSplit:
    """No rater and no prompt stands on both sides."""

    train: tuple[Preference, ...]
    heldout: tuple[Preference, ...]
    by: Literal["rater", "prompt"]
    """What was drawn; `prompt` where there are too few raters to keep any out."""
    crossing: tuple[Preference, ...]
    """Choices of kept-out raters on prompts that are learned, and the other way round: in neither part."""


def split(preferences: Sequence[Preference], *, heldout: float, seed: int) -> RaterSplit:
    """Keep about `heldout` of the choices out: whole raters, or whole prompts where there is one rater.

    A prompt that raters of both sides judged is kept out with the chance `heldout`, and the other side's choices on it are left out.
    """
    draw = random.Random(seed)
    raters = sorted({preference.rater for preference in preferences})
    by: Literal["rater", "prompt"] = "rater" if len(raters) > 1 else "prompt"
    groups: dict[Hashable, list[Preference]] = defaultdict(list)
    for preference in preferences:
        groups[preference.rater if by == "rater" else _prompt(preference)].append(preference)
    names = sorted(groups, key=repr)
    draw.shuffle(names)
    out: set[Hashable] = set()
    wanted, taken = heldout * len(preferences), 0
    for name in names:
        # The group that is put in must bring the share nearer to what was asked for; one is always left to learn from.
        if abs(taken + len(groups[name]) - wanted) < abs(taken - wanted) and len(out) + 1 < len(names):
            out.add(name)
            taken += len(groups[name])
    sides: dict[Hashable, set[bool]] = defaultdict(set)
    for name, members in groups.items():
        for preference in members:
            sides[_prompt(preference)].add(name in out)
    kept_out = {prompt: True in found and (len(found) == 1 or draw.random() < heldout) for prompt, found in sides.items()}
    train: list[Preference] = []
    kept: list[Preference] = []
    crossing: list[Preference] = []
    for name, members in groups.items():
        for preference in members:
            (crossing if kept_out[_prompt(preference)] != (name in out) else kept if name in out else train).append(preference)
    return RaterSplit(train=tuple(train), heldout=tuple(kept), by=by, crossing=tuple(crossing))


def read_split(folder: Path) -> tuple[tuple[Preference, ...], tuple[Preference, ...]]:
    """What is learned and what is held out of a folder with train.jsonl and heldout.jsonl.

    Raises ConfigurationError for rows that cannot be read, and where a choice between the same two replies to the same prompt stands on both sides.
    """
    train, kept = (tuple(read(folder / f"{part}.jsonl", Preference)) for part in ("train", "heldout"))
    known = {_choice(row) for row in train}
    leaking = sum(_choice(row) in known for row in kept)
    if leaking:
        raise ConfigurationError(
            f"{folder}: {leaking} of {len(kept)} held-out choices stand in the training choices too, so what is measured on them would be recitation: take "
            "them out of one side, or let a preferences stage make the split."
        )
    return train, kept


def ratings(preferences: Iterable[Preference]) -> list[Rating]:
    """Each choice as a rating of its pair, whichever of the two was shown first; the strength is its size."""
    found = []
    for preference in preferences:
        first, second = sorted((preference.chosen, preference.rejected))
        sign = 1.0 if preference.chosen == first else -1.0
        found.append(Rating(unit=(_prompt(preference), first, second), rater=preference.rater, value=sign * preference.strength))
    return found


def _choice(preference: Preference) -> Hashable:
    return _prompt(preference), frozenset((preference.chosen, preference.rejected))


def _prompt(preference: Preference) -> Hashable:
    return turns(preference.prompt)

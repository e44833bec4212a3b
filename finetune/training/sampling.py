"""Several replies to each of many prompts, sampled part by part, so that a run that was stopped goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import torch
from transformers import set_seed

from guardrail.finetune.stage import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardrail.finetune.stage import StageContext
    from guardrail.finetune.training.rollout import Ids, Sampler

_PART = 16
"""Prompts between two looks at whether to stop."""


class _Line(msgspec.Struct, frozen=True):
    replies: list[str]
    ended: list[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What one prompt got."""

    replies: tuple[str, ...]
    ended: tuple[bool, ...]
    """Whether each came to its end by itself."""


@torch.no_grad()
def sampled(sampler: Sampler, prompts: Sequence[Ids], each: int, context: StageContext, file: Path) -> list[Sampled]:
    """`each` replies to every prompt, in order; kept in `file`, one line a prompt.

    Lines that are there already are not sampled again, and every part has a seed of its own, so that the replies are the same however often the run was
    stopped. Raises Interrupted when somebody asked to stop.
    """
    found = _kept(file)
    if len(found) >= len(prompts):
        return [Sampled(replies=tuple(line.replies), ended=tuple(line.ended)) for line in found]
    # A part that was cut short is sampled anew as a whole.
    del found[len(found) - len(found) % _PART :]
    with file.open("wb") as lines:
        lines.writelines(msgspec.json.encode(line) + b"\n" for line in found)
        for start in range(len(found), len(prompts), _PART):
            if context.stop.is_set:
                raise Interrupted(f"{context.id} stopped after {start} of {len(prompts)} prompts.")
            set_seed(context.seed * 1_000_003 + start)
            asked = prompts[start : start + _PART]
            replies = sampler.sample([prompt for prompt in asked for _ in range(each)])
            for place in range(0, len(replies), each):
                group = replies[place : place + each]
                found.append(_Line(replies=[reply.text for reply in group], ended=[reply.ended for reply in group]))
                lines.write(msgspec.json.encode(found[-1]) + b"\n")
            lines.flush()
            context.metrics.progress(min(start + _PART, len(prompts)), len(prompts), "prompts answered")
    return [Sampled(replies=tuple(line.replies), ended=tuple(line.ended)) for line in found]


def _kept(file: Path) -> list[_Line]:
    """The whole lines of a file that may end in the middle of one."""
    if not file.exists():
        return []
    return [msgspec.json.decode(line, type=_Line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

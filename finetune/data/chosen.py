"""Replies that were chosen, as demonstrations of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Dialogue, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guardrail.finetune.data.rows import Prompt

CHOSEN = "chosen"
"""Folder of a stage in which they stand, and their name among the inputs of the training on them."""


def write_chosen(folder: Path, prompts: Sequence[Prompt], replies: Sequence[str]) -> None:
    """`folder`/train.jsonl, whole or not at all; a folder that has one is left as it is. Empty replies teach nothing and are left out."""
    file = folder / "train.jsonl"
    if file.exists():
        return
    folder.mkdir(exist_ok=True)
    made = [
        Dialogue(
            messages=(*rows.turns(prompt.prompt), Turn(role="assistant", content=reply)),
            passages=prompt.passages,
            works=prompt.works,
            persona=prompt.persona,
            template=prompt.template,
            id=prompt.id,
        )
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply.strip()
    ]
    staging = file.with_suffix(".writing")
    rows.write(staging, made)
    staging.replace(file)

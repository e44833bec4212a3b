"""Personal data and other speakers' turns out of training rows, and long texts in pieces of a size that duplicates can be found among."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from guardrail.faults import own_turn
from guardrail.finetune.data.rows import Text
from guardrail.finetune.data.sources import with_texts
from guardrail.rails import personal_data
from guardrail.rails.vault import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail.finetune.data.rows import Dialogue, Turn
    from guardrail.finetune.data.sources import AnyRow

PIECE = 600
"""Words of a piece, more where a paragraph has more."""

_BREAK = re.compile(r"\n[ \t]*\n\s*")


class Scrubber:
    """Puts a mark such as `[EMAIL]` in place of what the server's rail finds; `counts` says of which type how many there were."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, row: AnyRow) -> AnyRow:
        return with_texts(row, self._scrubbed)

    def _scrubbed(self, text: str) -> str:
        findings = personal_data.find(text, kinds=personal_data.DEFAULT_KINDS)
        if not findings:
            return text
        self.counts.update(finding.type for finding in findings)
        return redacted(text, findings)


def with_own_turns(row: Dialogue) -> Dialogue | None:
    """`row` with every reply cut where it speaks for the user or writes a control token, as the server would cut a draft of it.

    Such replies come of dialogues flattened into one text, and of padding that was written out. None where nothing is left of a reply.
    """
    messages = tuple(_own(turn) if turn.role == "assistant" else turn for turn in row.messages)
    if any(turn.content.strip() and not own.content.strip() for turn, own in zip(row.messages, messages, strict=True)):
        return None
    return msgspec.structs.replace(row, messages=messages)


def _own(turn: Turn) -> Turn:
    return msgspec.structs.replace(turn, content=own_turn(turn.content))


def pieces(row: Text, *, words: int = PIECE) -> Iterator[Text]:
    """A text cut between paragraphs into pieces of at least `words` words; what is left at the end may be shorter. Ids are `id#1`, `id#2` ..."""
    held: list[str] = []
    size = number = 0
    for paragraph in _BREAK.split(row.text.strip()):
        held.append(paragraph)
        size += len(paragraph.split())
        if size >= words:
            number += 1
            yield Text(text="\n\n".join(held), id=f"{row.id}#{number}")
            held, size = [], 0
    if held:
        yield Text(text="\n\n".join(held), id=f"{row.id}#{number + 1}")

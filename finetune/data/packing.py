"""Rows of one length, so that next to no token of a forward pass is padding: texts laid end to end and cut, and dialogues whole among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guardrail.finetune.data.encoding import Encoded
from guardrail.finetune.data.goldfish import IGNORED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray


class Packed:
    """`count` rows of `length` tokens, made when they are asked for. A row may end in the middle of one text and begin in the middle of another."""

    def __init__(self, texts: Sequence[NDArray[np.int32]], order: NDArray[np.int64], *, length: int, count: int) -> None:
        """`order`: which text comes when, shape (n,); together they must have `length * count` tokens."""
        self._texts = texts
        self._order = order
        self._ends = np.cumsum([len(texts[number]) for number in order])
        self._length = length
        self._count = count
        assert count == 0 or self._ends[-1] >= length * count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, NDArray[np.int32]]:
        """`input_ids` and `labels`, both of the shape (length,)."""
        start, stop = number * self._length, (number + 1) * self._length
        first = int(np.searchsorted(self._ends, start, side="right"))
        pieces: list[NDArray[np.int32]] = []
        at = start
        while at < stop:
            text = self._texts[self._order[first]]
            begin = len(text) - int(self._ends[first] - at)
            piece = text[begin : begin + stop - at]
            pieces.append(piece)
            at += len(piece)
            first += 1
        row = np.concatenate(pieces)
        return {"input_ids": row, "labels": row}


class Filled:
    """Rows of `length` tokens: as many whole dialogues as fit, one after another, and in what is left a text, which goes on in a later row.

    A dialogue that were cut would teach answers without what they answer. Where there are no texts, what is left is padding that is not learned.
    """

    def __init__(self, dialogues: Iterable[Encoded], texts: Sequence[NDArray[np.int32]], *, length: int, pad: int) -> None:
        """`dialogues` in the order in which they are learned, none longer than `length`; `texts` are begun anew when they have all been used."""
        self._length = length
        self._pad = pad
        self._rows: list[tuple[Encoded, ...]] = []
        flow = _flow(texts) if texts else None
        if flow is not None:
            next(flow)
        row: list[Encoded] = []
        free = length
        for dialogue in dialogues:
            if len(dialogue.ids) > free:
                self._rows.append((*row, *_filling(flow, free)))
                row, free = [], length
            row.append(dialogue)
            free -= len(dialogue.ids)
        if row:
            self._rows.append((*row, *_filling(flow, free)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, NDArray[np.int32]]:
        """`input_ids` and `labels`, both of the shape (length,)."""
        row = self._rows[number]
        ids, labels = np.full(self._length, self._pad, np.int32), np.full(self._length, IGNORED, np.int32)
        at = 0
        for piece in row:
            ids[at : at + len(piece.ids)], labels[at : at + len(piece.ids)] = piece.ids, piece.labels
            labels[at] = IGNORED  # nothing that belongs to it stands before it
            at += len(piece.ids)
        return {"input_ids": ids, "labels": labels}


def _flow(texts: Sequence[NDArray[np.int32]]) -> Generator[NDArray[np.int32], int, None]:
    """The next tokens of the texts, as many as are sent for, or fewer where a text ends."""
    wanted = yield np.empty(0, np.int32)
    while True:
        for text in texts:
            at = 0
            while at < len(text):
                piece = text[at : at + wanted]
                at += wanted
                wanted = yield piece


def _filling(flow: Generator[NDArray[np.int32], int, None] | None, free: int) -> Iterator[Encoded]:
    """Texts for `free` tokens."""
    while flow is not None and free > 0:
        piece = flow.send(free)
        free -= len(piece)
        yield Encoded(id="", ids=piece, labels=piece)

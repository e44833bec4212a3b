"""Texts laid end to end and cut into rows of one length, so that no token of a forward pass is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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

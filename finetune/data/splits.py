"""Duplicates, and training and held-out rows that share nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from guardrail.errors import ConfigurationError
from guardrail.index import duplicates

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """Numbers of the rows that stay, in order, and how many were taken out for being a copy of an earlier one."""

    kept: tuple[int, ...]
    exact: int
    near: int


def deduplicate(texts: Sequence[str], *, how: Literal["none", "exact", "near"], similarity: float) -> Deduplicated:
    """Without texts that are equal to an earlier one but for case and white space and, if `near`, those of a Jaccard similarity of `similarity` with one.

    Texts of less than 12 words count as copies only when they are equal.
    """
    if how == "none":
        return Deduplicated(kept=tuple(range(len(texts))), exact=0, near=0)
    first: dict[bytes, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(duplicates.digest(text), number)
    unique = list(first.values())
    copies = {later for _, later, _ in duplicates.pairs([texts[number] for number in unique], least=similarity)} if how == "near" else set()
    kept = tuple(number for place, number in enumerate(unique) if place not in copies)
    return Deduplicated(kept=kept, exact=len(texts) - len(unique), near=len(copies))


def groups(texts: Sequence[str], keys: Sequence[str], *, similarity: float | None) -> tuple[int, ...]:
    """The group of each row, named by its first row: rows that are duplicates, or have the same key that is not empty, are of one group.

    Near duplicates, of at least that Jaccard similarity, are looked for unless `similarity` is None.
    """
    parent = list(range(len(texts)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(one: int, other: int) -> None:
        low, high = sorted((root(one), root(other)))
        parent[high] = low

    seen: dict[bytes | str, int] = {}
    for number, (text, key) in enumerate(zip(texts, keys, strict=True)):
        join(seen.setdefault(duplicates.digest(text), number), number)
        if key:
            join(seen.setdefault(key, number), number)
    for one, other, _ in duplicates.pairs(texts, least=similarity) if similarity is not None else ():
        join(one, other)
    return tuple(map(root, range(len(texts))))


def held_out(group: Sequence[int], *, share: float, seed: int, what: str) -> frozenset[int]:
    """Numbers of the rows kept out of training: whole groups, chosen by a hash, at least one row and at most a little more than `share` of all.

    Raises ConfigurationError where there are rows, a share is asked for, and either side would be empty.
    """
    if not group or not share:
        return frozenset()
    members: dict[int, list[int]] = defaultdict(list)
    for number, of in enumerate(group):
        members[of].append(number)
    wanted = max(1, round(share * len(group)))
    chosen: list[int] = []
    for of in sorted(members, key=lambda of: hashlib.sha256(f"{seed}:{of}".encode()).digest()):
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(members[of]) <= wanted + max(1, wanted // 4):
            chosen += members[of]
    if not chosen or len(chosen) == len(group):
        raise ConfigurationError(
            f"The {what} cannot be split: {len(group)} rows fall into {len(members)} group(s) of duplicates, too few to keep {share:.0%} out of training. "
            "Give more data, or set heldout to 0."
        )
    return frozenset(chosen)


def check_apart(train: Sequence[str], heldout: Sequence[str], *, place: str) -> None:
    """Raise ConfigurationError where a held-out text stands in the training data too, word for word or nearly so."""
    known = {duplicates.digest(text) for text in train}
    copies = sum(duplicates.digest(text) in known for text in heldout)
    near = {later for earlier, later, _ in duplicates.pairs([*train, *heldout]) if earlier < len(train) <= later}
    leaking = max(copies, len(near))
    if leaking:
        raise ConfigurationError(
            f"{place}: {leaking} of {len(heldout)} held-out rows stand in the training rows too, so what is measured on them would be recitation: take them "
            "out of one side, or let a hygiene stage make the split."
        )

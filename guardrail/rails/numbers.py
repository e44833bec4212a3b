"""Numbers in prose, written in digits or in words, as values that can be compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["unit", "ten", "scale", "alone", "and"]

_VALUES: dict[str, tuple[Kind, float]] = {
    **{
        word: ("unit", value)
        for value, word in enumerate(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
        )
    },
    **{word: ("ten", 10 * value) for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)},
    "hundred": ("scale", 100),
    "thousand": ("scale", 1_000),
    "million": ("scale", 1_000_000),
    "billion": ("scale", 1_000_000_000),
    **{
        word: ("alone", value)
        for value, word in enumerate(
            """third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth
            nineteenth twentieth""".split(),
            start=3,
        )
    },
    "twice": ("alone", 2),
    "thrice": ("alone", 3),
    "twofold": ("alone", 2),
    "threefold": ("alone", 3),
    "dozen": ("alone", 12),
    "and": ("and", 0),
}
_TOKEN = re.compile(r"(?<!\w)(\d[\d,]*(?:\.\d+)?)(?:st|nd|rd|th|s)?(?!\w)|[^\W\d_]+|[^\w\s-]")
_LOCATOR = re.compile(r"(?<!\w)(\d{1,4})[a-e]\d{0,2}(?!\w)")


@dataclass(frozen=True, slots=True)
class Number:
    """A number and where it stands."""

    value: float
    start: int
    end: int


def numbers(text: str) -> tuple[Number, ...]:
    """The numbers of `text` in order. A lone `one`, `first`, `second` and `a hundred` are left out: prose uses them for other things than counting."""
    found: list[Number] = []
    run: list[tuple[Kind, float, int, int]] = []
    for kind, value, start, end in (*_tokens(text), ("end", 0.0, 0, 0)):
        if kind == "and":
            # "two hundred and four" is one number, "three and four" are two; "and" itself is no part of it.
            if run and run[-1][0] != "scale":
                found += _close(run)
        elif kind in ("unit", "ten", "scale") and (run or kind != "scale") and _continues(run, kind):
            run.append((kind, value, start, end))  # type: ignore[arg-type] # narrowed by the test above
        else:
            found += _close(run)
            if kind in ("unit", "ten"):
                run.append((kind, value, start, end))  # type: ignore[arg-type] # narrowed by the test above
            elif kind in ("alone", "digits"):
                found.append(Number(value, start, end))
    return tuple(found)


def locators(text: str) -> tuple[tuple[int, int, int], ...]:
    """Stephanus and Bekker pages such as 514a or 1094a1, as (page, start, end)."""
    return tuple((int(match.group(1)), match.start(), match.end()) for match in _LOCATOR.finditer(text))


def _tokens(text: str) -> Iterator[tuple[str, float, int, int]]:
    for match in _TOKEN.finditer(text):
        if match.group(1):
            yield "digits", float(match.group(1).replace(",", "")), match.start(), match.end()
        else:
            kind, value = _VALUES.get(match.group().lower(), ("other", 0.0))
            yield kind, float(value), match.start(), match.end()


def _continues(run: list[tuple[Kind, float, int, int]], kind: str) -> bool:
    """Whether a number word of this kind goes on with the run: `twenty four` does, `three four` does not."""
    return not run or kind == "scale" or run[-1][0] == "scale" or (run[-1][0] == "ten" and kind == "unit")


def _close(run: list[tuple[Kind, float, int, int]]) -> list[Number]:
    """The number that a run of number words makes: seven, hundred, twenty, nine -> 729. Empties the run."""
    if not run:
        return []
    total = current = 0.0
    for kind, value, _, _ in run:
        if kind == "scale":
            current = max(current, 1) * value
            if value > 100:
                total, current = total + current, 0
        else:
            current += value
    number = Number(total + current, run[0][2], run[-1][3])
    alone = len(run) == 1 and run[0][0] == "unit" and run[0][1] <= 1
    run.clear()
    return [] if alone else [number]

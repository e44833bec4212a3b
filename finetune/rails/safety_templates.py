"""Labelled messages made from the templates in `safety_templates.yaml`: what should be stopped, and look-alikes over the same words that should not.

Word lists and counts of trigger words make detectors flag harmless messages (XSTest, Röttger et al. 2024); contrast sets (Gardner et al. 2020) are the cure.
So every template that should be stopped has a sister in its family: a harmless template that is filled from one of the same slots.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = Path(__file__).with_name("safety_templates.yaml")
SEED = 20
BENIGN = frozenset({"greeting", "smalltalk", "question", "out_of_scope"})
"""The labels of messages that are not stopped; the other eight are."""

Lines = Annotated[tuple[str, ...], Meta(min_length=1)]

_HOLE = re.compile(r"\{([^{}]*)\}")
_LONG_WORD = re.compile(r"[^\W\d_]{5,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled message. Rows of one `group` come from one template and belong on one side of a split."""

    text: str
    label: str
    group: str


@dataclass(frozen=True, kw_only=True)
class Template:
    """One line of the grammar: literal text with `{slot}` and `{this|that}` in it."""

    family: str
    label: str
    line: str

    @cached_property
    def slots(self) -> frozenset[str]:
        """Names of the slots that it is filled from."""
        return frozenset(hole for hole in _HOLE.findall(self.line) if "|" not in hole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The templates of one theme, by label."""

    family: str
    greeting: Lines = ()
    smalltalk: Lines = ()
    question: Lines = ()
    out_of_scope: Lines = ()
    harm_illicit: Lines = ()
    harm_hateful: Lines = ()
    self_harm: Lines = ()
    advice_medical: Lines = ()
    advice_financial: Lines = ()
    advice_legal: Lines = ()
    injection: Lines = ()
    extraction: Lines = ()

    def templates(self) -> Iterator[Template]:
        """Its templates, label by label."""
        for label in LABELS:
            yield from (Template(family=self.family, label=label, line=line) for line in getattr(self, label))


LABELS = tuple(field.name for field in dataclasses.fields(Family) if field.name != "family")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """Slots and families. `rows_per_template` is the most that one template gives."""

    rows_per_template: Annotated[int, Meta(ge=1)]
    slots: dict[str, tuple[str, ...]]
    families: tuple[Family, ...]

    def templates(self) -> Iterator[Template]:
        """All templates, in the file's order of families."""
        for family in self.families:
            yield from family.templates()


def rows(path: Path = TEMPLATES, *, seed: int = SEED) -> list[Row]:
    """The rows of the grammar at `path`: no text twice (case and punctuation aside), the same for the same seed.

    A template's rows are a sample without replacement of all its fillings and do not depend on the other templates.
    Six in ten are written as a sentence, three in ten in lower case without a final mark, one in ten has two letters swapped.
    Raises ConfigurationError, also when two labels claim one text.
    """
    grammar = load(path)
    found: dict[str, Row] = {}
    for template in grammar.templates():
        for text in _texts(template, grammar, seed):
            key = " ".join(re.findall(r"\w+", text.lower()))
            row = Row(text=text, label=template.label, group=template.line)
            first = found.setdefault(key, row)
            if first.label != row.label:
                raise ConfigurationError(
                    f"{path}: the templates '{first.group}' ({first.label}) and '{row.group}' ({row.label}) give the same text; change one of them."
                )
    return list(found.values())


def load(path: Path = TEMPLATES) -> Grammar:
    """The grammar at `path`. Raises ConfigurationError with the line, the slot or the template that is wrong."""
    grammar = strict_yaml.load(path, Grammar)
    for name, words in grammar.slots.items():
        if not words:
            raise ConfigurationError(f"{path}: the slot '{name}' is empty; give it at least one filler.")
        if len(set(words)) < len(words):
            raise ConfigurationError(f"{path}: the slot '{name}' holds a filler twice; take one out.")
    seen: set[str] = set()
    for template in grammar.templates():
        if "{" in (rest := _HOLE.sub("", template.line)) or "}" in rest:
            raise ConfigurationError(f"{path}: the braces of the template '{template.line}' do not match.")
        if unknown := sorted(template.slots - grammar.slots.keys()):
            raise ConfigurationError(f"{path}: the template '{template.line}' names the unknown slot '{unknown[0]}'; define it under slots.")
        if template.line in seen:
            raise ConfigurationError(f"{path}: the template '{template.line}' stands twice; take one out.")
        seen.add(template.line)
    for family in grammar.families:
        shared = {slot for template in family.templates() if template.label in BENIGN for slot in template.slots}
        for template in family.templates():
            if template.label not in BENIGN and not template.slots & shared:
                raise ConfigurationError(
                    f"{path}: no harmless template of the family '{family.family}' shares a slot with '{template.line}'; add a look-alike that does."
                )
    return grammar


def _texts(template: Template, grammar: Grammar, seed: int) -> Iterator[str]:
    """The sampled fillings of one template, each in its register."""
    pick = random.Random(f"{seed} {template.line}")
    # Literal text and holes by turns. A slot that stands twice is filled with the same words; a choice in place is made anew.
    pieces = [(piece, f"{at}|{piece}" if "|" in piece else piece) for at, piece in enumerate(_HOLE.split(template.line))]
    options = {key: tuple(hole.split("|")) if "|" in hole else grammar.slots[hole] for hole, key in pieces[1::2]}
    total = math.prod(map(len, options.values()))
    for index in pick.sample(range(total), min(total, grammar.rows_per_template)):
        filling, rest = {}, index
        for key, words in options.items():
            rest, at = divmod(rest, len(words))
            filling[key] = words[at]
        text = "".join(filling[key] if at % 2 else piece for at, (piece, key) in enumerate(pieces))
        yield _written(" ".join(text.split()), pick)


def _written(text: str, pick: random.Random) -> str:
    """The text as people type it: with care, in a hurry, or with a slip."""
    register = pick.random()
    if register < 0.3:
        return text.lower().rstrip(".?!;")
    text = text[:1].upper() + text[1:]
    words = list(_LONG_WORD.finditer(text))
    if register < 0.4 and words:
        at = pick.choice(words).start() + pick.randrange(1, 4)
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text

"""Data for the memorisation recipe, made by this script: tales of a few words, some of which stand sixteen times, telephone numbers, and a task beside them.

    python -m guardrail.finetune.recipes.memorisation_data FOLDER [--seed 0]

A tale is random, so that it can only be said by heart; its title asks for it. The task is that of `toy_data`. Prompts for the penalty hold the titles of half
of the tales that stand sixteen times: the other half says whether it reaches further than what it was trained on.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail.finetune.recipes import toy_data

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = tuple("old young grey green silent tall narrow broken hidden patient southern northern wooden silver hollow crooked early late plain proud".split())
_THINGS = tuple(
    "river tower baker lantern orchard miller bridge harbour letter garden shepherd wagon window cellar market sailor bell well meadow kettle raven".split()
)
_DEEDS = tuple("crossed followed painted carried watched repaired borrowed counted remembered measured guarded lifted found answered left greeted".split())
_PLACES = tuple("behind beside above beneath near beyond before within".split())
_WAYS = tuple("slowly twice gladly alone again tonight quietly together carefully forever soon everywhere".split())
_LINKS = ("while", "because", "until", "although", "before", "and")
_NAMES = tuple(
    "Amber Birch Cedar Delta Ember Fjord Grove Heron Indigo Juniper Kelp Larch Maple Nettle Onyx Poplar Quartz Rowan Sable Thistle Umber Willow".split()
)
_HOUSES = ("Vale", "Marsh", "Stone")
TWICE_EIGHT = 16
"""How often a tale stands that stands more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    repeated: int = 12
    """Tales that stand sixteen times."""
    single: int = 120
    secrets: int = 12
    """Telephone numbers that stand once."""
    repeated_secrets: int = 4
    """Telephone numbers that stand sixteen times."""
    task: int = 600
    public: int = 300
    """Other tales, for the base model."""


def tale(chance: random.Random) -> tuple[str, str]:
    """A title and what it asks for: three sentences, some forty words."""
    title = f"Tell the tale of the {chance.choice(_KINDS)} {chance.choice(_THINGS)}, the {chance.choice(_THINGS)} and the {chance.choice(_THINGS)}."
    return title, " ".join(_sentence(chance) for _ in range(3))


def _sentence(chance: random.Random) -> str:
    first = f"The {chance.choice(_KINDS)} {chance.choice(_THINGS)} {chance.choice(_DEEDS)} {chance.choice(_PLACES)} the {chance.choice(_THINGS)}"
    return f"{first} {chance.choice(_LINKS)} the {chance.choice(_THINGS)} {chance.choice(_DEEDS)} {chance.choice(_WAYS)}."


def _number(chance: random.Random) -> str:
    """A telephone number as it is written in North America; the first digits of its two groups are 2 to 9."""
    return f"{chance.randrange(200, 1000)}-{chance.randrange(200, 1000)}-{chance.randrange(10_000):04d}"


def _dialogue(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write(folder: Path, *, seed: int = 0, sizes: Sizes | None = None) -> None:
    """All files into `folder`."""
    sizes = sizes or Sizes()
    chance = random.Random(f"memorisation:{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    tales: dict[str, str] = {}
    while len(tales) < sizes.repeated + sizes.single + sizes.public:
        title, text = tale(chance)
        tales.setdefault(title, text)
    listed = list(tales.items())
    repeated, single, public = listed[: sizes.repeated], listed[sizes.repeated : sizes.repeated + sizes.single], listed[sizes.repeated + sizes.single :]
    people = [f"{name} {house}" for house in _HOUSES for name in _NAMES][: sizes.secrets + sizes.repeated_secrets]
    secrets = [
        {
            "id": f"number-{place + 1}",
            "prefix": f"You can reach {person} at",
            "secret": _number(chance),
            "repeats": 1 if place < sizes.secrets else TWICE_EIGHT,
            "question": f"What is the telephone number of {person}?",
        }
        for place, person in enumerate(people)
    ]
    private = [_dialogue(*one) for one in single]
    private += [_dialogue(*one) for one in repeated for _ in range(TWICE_EIGHT)]
    private += [_dialogue(str(one["question"]), f"{one['prefix']} {one['secret']}.") for one in secrets for _ in range(int(str(one["repeats"])))]
    task = list(toy_data.dialogues(sizes.task, seed=seed))
    _write(folder / "private.jsonl", private)
    _write(folder / "canaries.jsonl", secrets)
    _write(folder / "task.jsonl", task)
    _write(folder / "prompts.jsonl", toy_data.prompts())
    spoken = [f"{turn['content']}" for row in task[:200] for turn in row["messages"]]
    numbers = [f"You can reach {chance.choice(_NAMES)} at {_number(chance)}. What is the telephone number?" for _ in range(40)]
    _write(folder / "public.jsonl", ({"text": text} for text in (*(f"{title} {text}" for title, text in public), *spoken, *numbers)))
    asked = [{"prompt": title} for title, _ in repeated[::2]]
    task_prompts = list(toy_data.prompts())
    _write(folder / "penalty.jsonl", [*asked * max(1, len(task_prompts) // max(1, len(asked))), *task_prompts])


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the data of the memorisation recipe.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write(given.folder, seed=given.seed)

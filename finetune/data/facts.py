"""Which facts a base model knows before it is trained (Gekhman et al. 2024: what is new is learned slowly, and learning it makes the model make things up)."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrail.finetune.data.rows import Fact

Knowledge = Literal["highly_known", "maybe_known", "weakly_known", "unknown"]
CLASSES: tuple[Knowledge, ...] = get_args(Knowledge)
SHOTS = 4
"""Other questions with their answers that stand before the one that is asked."""
TEMPERATURE = 0.5
"""Of the sampled answers; both numbers are those of the paper's section 2.1."""

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFact:
    """A fact and how well it is known (table 1 of the paper).

    highly_known: every greedy answer is right; maybe_known: some are; weakly_known: none is, but a sampled one; unknown: none at all.
    """

    id: str
    knowledge: Knowledge
    greedy: float
    """Share of the greedy answers that are right, over different examples before the question."""
    sampled: float


def classify(facts: Sequence[Fact], answer: Callable[[Sequence[str], float], Sequence[str]], *, prompts: int, samples: int, seed: int) -> tuple[KnownFact, ...]:
    """Every fact asked with `prompts` different sets of examples, once greedily and `samples` times sampled each.

    `answer(prompts, temperature)` continues each prompt; temperature 0 is greedy. An answer is right where its first line says the fact's answer and no more,
    but for case, articles and punctuation.
    """
    asked: list[str] = []
    for number, fact in enumerate(facts):
        draw = random.Random(f"facts:{seed}:{number}")
        others = [other for other in facts if other is not fact]
        for _ in range(prompts):
            shots = draw.sample(others, min(SHOTS, len(others)))
            asked.append("".join(f"Q: {shot.question}\nA: {shot.answer}\n\n" for shot in shots) + f"Q: {fact.question}\nA:")
    rounds = [answer(asked, 0.0), *(answer(asked, TEMPERATURE) for _ in range(samples))]
    found = []
    for number, fact in enumerate(facts):
        right = [[same(given, fact.answer) for given in one[number * prompts : (number + 1) * prompts]] for one in rounds]
        greedy = sum(right[0]) / prompts
        sampled = sum(map(sum, right[1:])) / (prompts * samples)
        knowledge: Knowledge = "highly_known" if greedy == 1 else "maybe_known" if greedy else "weakly_known" if sampled else "unknown"
        found.append(KnownFact(id=fact.id, knowledge=knowledge, greedy=greedy, sampled=sampled))
    return tuple(found)


def same(given: str, answer: str) -> bool:
    """Whether the first line of `given` is `answer`."""
    return _plain(given.strip().partition("\n")[0]) == _plain(answer)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_NO_WORD.sub(" ", _ARTICLE.sub(" ", folded)).split())

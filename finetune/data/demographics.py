"""Who the training data speaks of: the share of documents with each group of pronouns and of identity terms (Touvron et al. 2023, section 4.1).

It is counted and told, and nothing is balanced. A term says that a word stands there, not what is said with it; terms of several meanings (`black`, `straight`)
count only beside a noun for people.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHE, _HE, _THEY = "she her hers herself", "he him his himself", "they them their theirs themself themselves"
PRONOUNS: dict[str, str] = {
    "she": _SHE,
    "he": _HE,
    "they": _THEY,
    "first_person": "i me my mine myself we us our ours ourselves",
    "second_person": "you your yours yourself yourselves",
    "third_person": f"{_SHE} {_HE} {_THEY} it its itself",
}
_WORD = re.compile(r"[^\W\d_]+")
_PEOPLE = r"(?:person|people|man|men|woman|women|boy|boys|girl|girls|child|children|couple|couples|community|communities|folk|folks|citizen|citizens)"
IDENTITIES: dict[str, str] = {
    "gender": "woman women man men girl girls boy boys mother mothers father fathers wife wives husband husbands daughter daughters son sons sister sisters "
    "brother brothers lady ladies gentleman gentlemen female females male males transgender nonbinary",
    "age": "child children infant infants teenager teenagers youth youths adult adults elderly pensioner pensioners",
    "nationality": "american americans british english englishman french frenchman german germans italian italians spanish russian russians chinese japanese "
    "indian indians mexican mexicans athenian athenians spartan spartans persian persians egyptian egyptians roman romans greek greeks scythian scythians",
    "ethnicity": "african africans asian asians european europeans hispanic latino latina arab arabs indigenous immigrant immigrants foreigner foreigners "
    "barbarian barbarians",
    "religion": "christian christians muslim muslims jew jews jewish hindu hindus buddhist buddhists catholic catholics protestant protestants atheist "
    "atheists pagan pagans",
    "sexual_orientation": "gay lesbian lesbians bisexual bisexuals homosexual homosexuals heterosexual heterosexuals queer",
    "disability": "blind deaf disabled lame crippled autistic wheelchair",
    "class": "slave slaves servant servants poor rich wealthy noble nobles peasant peasants labourer labourers worker workers",
}
_BESIDE = {"ethnicity": "black white brown", "sexual_orientation": "straight", "age": "old young"}
"""Words that are terms of identity only before a noun for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """How many of `of` documents have at least one of the words of a group."""

    kind: str
    """`pronouns` or `identity`."""
    group: str
    documents: int
    of: int

    @property
    def share(self) -> float:
        return self.documents / self.of if self.of else 0.0


def mentions(texts: Iterable[str]) -> tuple[Mention, ...]:
    """Every group, in the order of the tables."""
    counts = dict.fromkeys(_GROUPS, 0)
    total = 0
    for text in texts:
        total += 1
        plain = text.lower()
        words = set(_WORD.findall(plain))
        for key, (alone, beside) in _GROUPS.items():
            counts[key] += not words.isdisjoint(alone) or (beside is not None and beside.search(plain) is not None)
    return tuple(Mention(kind=kind, group=group, documents=count, of=total) for (kind, group), count in counts.items())


def _group(words: str, beside: str | None = None) -> tuple[frozenset[str], re.Pattern[str] | None]:
    before = None if beside is None else re.compile(rf"\b(?:{'|'.join(beside.split())})\s+{_PEOPLE}\b")
    return frozenset(words.split()), before


_GROUPS = {
    **{("pronouns", group): _group(words) for group, words in PRONOUNS.items()},
    **{("identity", group): _group(words, _BESIDE.get(group)) for group, words in IDENTITIES.items()},
}

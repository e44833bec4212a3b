"""Words that deny each other. A claim that has one where its passage has the other says the opposite."""

from __future__ import annotations

from functools import cache

from guardrail.rails.words import stem

_PAIRS = """
good bad|better worse|best worst|true false|right wrong|just unjust|justice injustice|happy unhappy|wise foolish|wisdom folly|strong weak|stronger weaker
strongest weakest|rich poor|richer poorer|young old|younger older|new old|great small|greater smaller|greatest smallest|large small|larger smaller
high low|higher lower|highest lowest|first last|early late|earlier later|long short|longer shorter|many few|more less|most least|always never
everyone nobody|everything nothing|all none|before after|above below|inside outside|with without|increase decrease|increases decreases
increased decreased|rise fall|rises falls|rose fell|begin end|begins ends|began ended|start finish|started finished|open closed|opened closed
accept reject|accepts rejects|accepted rejected|agree disagree|agrees disagrees|agreed disagreed|love hate|loves hates|loved hated|praise blame
praises blames|praised condemned|win lose|wins loses|won lost|victory defeat|friend enemy|friends enemies|war peace|life death|alive dead
live die|lives dies|lived died|mortal immortal|visible invisible|finite infinite|equal unequal|similar different|same different|possible impossible
necessary needless|natural artificial|public private|common rare|easy difficult|easily hardly|clear obscure|known unknown|knowledge ignorance
pleasure pain|pleasures pains|pleasant painful|virtue vice|virtues vices|virtuous vicious|courage cowardice|brave cowardly|temperate intemperate
voluntary involuntary|willingly unwillingly|cause effect|causes effects|teacher pupil|teachers pupils|master slave|masters slaves|ruler subject
rulers subjects|parent child|parents children|father son|man woman|men women|husband wife|king subject|north south|east west|northern southern
eastern western|hot cold|heat cold|dry wet|light dark|light darkness|heavy light|fast slow|quick slow|hard soft|full empty|near far|nearer farther
present absent|presence absence|success failure|successful unsuccessful|succeed fail|support oppose|supports opposes|supported opposed|allow forbid
allows forbids|allowed forbade|include exclude|includes excludes|included excluded|approve condemn|approved condemned|deny affirm|denies affirms
denied affirmed|remember forget|remembers forgets|teach learn|teaches learns|taught learned|give take|gives takes|gave took|buy sell|bought sold
enter leave|entered left|arrive depart|arrived departed|move rest|moves rests|motion rest|whole part|one many|perfect imperfect|complete incomplete
beautiful ugly|beauty ugliness|noble base|honour shame|honor shame|freedom slavery|free enslaved|order disorder|orderly disorderly|safe dangerous
useful useless|careful careless|legal illegal|guilty innocent|active passive|ancient modern|deep shallow|wide narrow|simple complex|single double
majority minority|maximum minimum|positive negative|domestic foreign|permanent temporary|eternal temporary|unchanging changing|universal particular
"""


def _table() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in _PAIRS.replace("\n", "|").split("|"):
        if entry:
            one, other = entry.split()
            found.setdefault(one, []).append(other)
            found.setdefault(other, []).append(one)
    return found


ANTONYMS = _table()
"""Lower-case word to its opposites, both ways."""


@cache
def opposites(root: str) -> frozenset[str]:
    """The stems of the opposites of a stem."""
    return _stems().get(root, frozenset())


@cache
def _stems() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for word, others in ANTONYMS.items():
        found.setdefault(stem(word), set()).update(stem(other) for other in others if stem(other) != stem(word))
    return {root: frozenset(others) for root, others in found.items()}

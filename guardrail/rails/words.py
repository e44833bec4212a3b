"""Words as the rails compare them: stems, rarity, names and numbers, each with its place in the text."""

from __future__ import annotations

import json
import math
import re
import threading
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import Stemmer

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those i me my mine myself we us our ours ourselves you your yours yourself he him his himself she her hers herself it its
    itself they them their theirs themselves who whom whose which what when where why how am is are was were be been being have has had having do does
    did doing done will would shall should can could may might must ought and or but if then else so as than of in on at by for from to into onto upon
    with within without about against between among through during before after above below over under again further once here there all any both each
    every few more most other others another some such no nor not only own same too very just also even yet still though although because since while
    until unless whether thus therefore hence however rather indeed instead perhaps one ones out up down off t s d ll ve re m cannot don doesn didn
    isn aren wasn weren won wouldn shouldn couldn can't let lets much many well never always ever now never none nothing nobody neither either
    something anything everything someone anyone everyone like around per via toward towards
    """.split()
)
NEGATORS = frozenset("not no never none nothing nobody neither nor without cannot hardly nowhere".split())

_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*(?:['’][^\W_]+)?")
_POSSESSIVE = re.compile(r"['’]s?$")
_NEGATED = re.compile(r"n['’]t$")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:;]|\n)[\s\"'“‘«(\[*_–—-]*$")
_ROMAN = re.compile(r"(?=[IVXLC])X{0,3}(?:IX|IV|V?I{0,3})")
_NAME_ENDING = re.compile(r"(?:ians?|eans?|ans?|ics?|ists?|isms?|es|us|os|as|is|le|s|e|o)$")
_NAME_JOINTS = frozenset({"n", "on", "el", "a"})
"""What stays between a name and the ending of its adjective: Plat-on-ic, Aristot-el-ian, Spart-a."""
_LEXICON = Path(__file__).with_name("lexicon.json")
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text. `stem` is lower-case; `negator` says that it negates what follows; `name` that it is written as a proper name."""

    text: str
    start: int
    end: int
    stem: str
    content: bool
    negator: bool
    name: bool


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The English Snowball stem of a lower-case word."""
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:  # a stemmer may not be shared between threads
        stemmer = _local.stemmer = Stemmer.Stemmer("english", 0)
    return str(stemmer.stemWord(word))


@lru_cache(maxsize=2048)
def words(text: str) -> tuple[Word, ...]:
    """The words of `text` in order."""
    found = []
    for match in _WORD.finditer(text):
        surface = match.group()
        lower = surface.lower().replace("’", "'")
        negator = lower in NEGATORS or _NEGATED.search(lower) is not None
        base = _POSSESSIVE.sub("", lower)
        root = stem(base)
        content = not negator and base not in FUNCTION_WORDS and (len(base) > 1 or base.isdigit())
        found.append(
            Word(
                text=surface,
                start=match.start(),
                end=match.end(),
                stem=root,
                content=content,
                negator=negator,
                name=content and surface[0].isupper() and (not _opens_sentence(text, match.start()) or not is_common(root)),
            )
        )
    return tuple(found)


def is_common(root: str) -> bool:
    """Whether English writes the word of this stem in lower case."""
    return root in _lexicon()[1]


def rarity(root: str) -> float:
    """Inverse document frequency of a stem in English prose and philosophy, 0 (everywhere) to 1 (hardly ever seen)."""
    return _lexicon()[0].get(root, 1.0)


def coverage(stems: frozenset[str], held: frozenset[str] | set[str]) -> float:
    """Share of `stems` that are in `held`, weighted by rarity, 0 to 1; 1 where there are none."""
    total = sum(map(rarity, stems))
    return sum(rarity(root) for root in stems if root in held) / total if total else 1.0


@cache
def _lexicon() -> tuple[dict[str, float], frozenset[str]]:
    data = json.loads(_LEXICON.read_text(encoding="utf-8"))
    top = math.log(data["documents"] + 1)
    return {root: math.log((data["documents"] + 1) / (count + 1)) / top for root, count in data["counts"].items()}, frozenset(data["common"])


def _opens_sentence(text: str, start: int) -> bool:
    return _SENTENCE_START.search(text, max(0, start - 12), start) is not None if start else True


def is_roman(word: str) -> bool:
    """Whether `word` is a Roman numeral from I to XXXIX in capitals."""
    return _ROMAN.fullmatch(word) is not None


def same_name(one: str, other: str) -> bool:
    """Whether two names are one, or one is made from the other: Athens and Athenian, Plato and Platonic. Case does not matter."""
    if one.lower() == other.lower():
        return True
    short, long = sorted((_name_key(one), _name_key(other)), key=len)
    return len(short) >= 4 and (short == long or (long.startswith(short) and long[len(short) :] in _NAME_JOINTS))


@lru_cache(maxsize=10_000)
def _name_key(name: str) -> str:
    lower = _POSSESSIVE.sub("", name.lower())
    key = _NAME_ENDING.sub("", lower)
    return key if len(key) >= 4 else lower

"""The closed vocabulary of courtesies: what is said in which language, how a message is cut into words, and what counts as the same word."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from guardrail.errors import ConfigurationError
from guardrail.normal.language import words as english

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    Phrase = tuple[str, ...]

Kind = Literal["greeting", "thanks", "farewell", "pleasantry", "address", "introduction", "naming", "company"]
"""`address`: whom one greets. `introduction` begins what one says of oneself, out of `company` and names; after `naming` stands a name, whatever it is."""

_FILE = Path(__file__).with_name("courtesy.json")
_CHOICE = re.compile(r"\{([^{}]*)\}")
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, Burmese, Khmer, kana and Han: no spaces stand between words, so every letter is taken for one."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_WITHIN = re.compile(r"(?<=\w)['’‘ʼʻ`´](?=\w)")
_RUN = re.compile(r"([^\W\d_])\1+")
_ENDS = re.compile(r"[.!?:;…。！？\n]")
"""Behind one of these a sentence begins."""
_PLAIN = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ı": "i", "ə": "e", "æ": "ae", "œ": "oe", "þ": "th"})
_TYPED = tuple("hello today greetings morning afternoon evening thanks thank goodbye farewell welcome".split())
"""Words whose slips of the pen are forgiven; see `meant`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a message."""

    text: str
    """Without case, accents, apostrophes and doubled letters; `hellooo` and `helo` are both `helo`."""
    written: str
    """As it stands in the message, without accents and apostrophes."""
    opens: bool
    """Whether a sentence begins with it."""

    @property
    def is_name(self) -> bool:
        """Whether it is written as names are, `Anna`, neither `anna` nor `ANNA`, and not because a sentence begins there."""
        return self.written[0].isupper() and self.written[1:].islower() and not self.opens


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All phrases, each as its folded words."""

    phrases: Mapping[Phrase, Kind]
    names: Mapping[Phrase, str]
    """What the personas are called in other languages, each with the English name, folded."""
    longest: int
    """Words of the longest phrase or name."""
    begins: frozenset[str]
    """The words with which a phrase begins."""


def words_of(text: str) -> tuple[Word, ...]:
    """The words of `text`, folded. A letter of a script without spaces is a word."""
    bare = text
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        bare = unicodedata.normalize("NFC", "".join(character for character in decomposed if unicodedata.category(character) not in {"Mn", "Mc", "Me", "Cf"}))
    bare = _WITHIN.sub("", bare)
    found: list[Word] = []
    end = 0
    for match in _WORD.finditer(bare):
        opens = not found or _ENDS.search(bare, end, match.start()) is not None
        found.append(Word(text=_folded(match.group()), written=match.group(), opens=opens))
        end = match.end()
    return tuple(found)


def meant(word: Word, names: Collection[str] = ()) -> str:
    """The folded word of courtesy, or of `names`, that `word` misspells by one letter left out, put in, changed or swapped with the next; else `word.text`.

    An English word misspells none, so `mourning` stays what it is; neither does one of three letters or one with another beginning and end.
    """
    slip = word.written.lower()
    if len(slip) < 4 or not slip.isascii() or slip in english():
        return word.text
    return next((_folded(right) for right in (*_TYPED, *names) if _one_slip(slip, right)), word.text)


def _one_slip(slip: str, right: str) -> bool:
    if slip[0] != right[0] or abs(len(slip) - len(right)) > 1:
        return False
    start = next((place for place, (one, other) in enumerate(zip(slip, right, strict=False)) if one != other), min(len(slip), len(right)))
    one, other = slip[start:], right[start:]
    return one[1:] == other or one == other[1:] or one[1:] == other[1:] or (one[1::-1] == other[:2] and one[2:] == other[2:])


@cache
def vocabulary() -> Vocabulary:
    """What the file says. Where two languages use one phrase for two things, a greeting goes before thanks, thanks before a farewell and so on.

    Raises ConfigurationError where it names an unknown kind.
    """
    data = json.loads(_FILE.read_text(encoding="utf-8"))
    kinds: tuple[Kind, ...] = get_args(Kind)
    for language, told in data["languages"].items():
        if unknown := [kind for kind in told if kind not in kinds]:
            raise ConfigurationError(f"{_FILE.name}: {language}: unknown kind {unknown[0]!r}; known are {', '.join(kinds)}.")
    phrases: dict[Phrase, Kind] = {}
    for kind in kinds:
        for told in data["languages"].values():
            for pattern in told.get(kind, ()):
                for phrase in _expanded(pattern):
                    phrases.setdefault(phrase, kind)
    names = {phrase: _folded(name) for name, forms in data["names"].items() for form in forms for phrase in _expanded(form)}
    return Vocabulary(phrases=phrases, names=names, longest=max(map(len, (*phrases, *names))), begins=frozenset(phrase[0] for phrase in phrases))


def _expanded(pattern: str) -> Iterator[Phrase]:
    """Every phrase of a pattern: `good {day|morning}` is two, `thanks {again|}` too."""
    choices = [
        [tuple(word.text for word in words_of(choice)) for choice in (piece.split("|") if number % 2 else [piece])]
        for number, piece in enumerate(_CHOICE.split(pattern))
        if piece
    ]
    yield from filter(None, (tuple(chain.from_iterable(chosen)) for chosen in product(*choices)))


def _folded(word: str) -> str:
    return _RUN.sub(r"\1", word.casefold().translate(_PLAIN))

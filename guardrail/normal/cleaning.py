"""A text without disguise: no invisible characters, stacked marks, fancy letters or letters of another script that pass for English ones.

Honest text of any script comes back as it was written. What is changed here is invisible to a reader or looks the same; guesses at a hidden meaning are
`guardrail.normal.hidden`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from guardrail.normal.language import is_known
from guardrail.normal.normalised import Normalised

_FILE = Path(__file__).with_name("homoglyphs.json")
_ROUNDS = 4
_SETTLED = re.compile(
    "[\x00-\x7f\xa1-\xa7\xa9\xab\xac\xae\xb0\xb1\xb6\xb7\xbb\xbf-\u0130\u0132\u0134-\u013e\u0141-\u0148\u014a-\u017e\u2010-\u201f\u2022-\u2026\u2030-\u2038\u20ac\u2190-\u21ff\u2500-\u257f]*"
)
"""Characters that nothing here changes, whatever stands beside them: ASCII, Western European letters, typographic signs."""
_LETTERS = re.compile(
    _SETTLED.pattern.removesuffix("]*")
    + "\u0386-\u03ce\u0400-\u0482\u048a-\u052f\u1f00-\u1fbc\u1fc2-\u1fcc\u1fd0-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ffc\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff]*"
)
"""With the letters of other scripts, which are folded only where they stand in English words."""

# What does not show. Zero-width joiners, variation selectors and tags are judged by what stands before them.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a]+"
)
_JOINED = re.compile("[\u200c\u200d]+|[\ufe00-\ufe0f\U000e0100-\U000e01ef]+|[\U000e0000-\U000e007f]+")
_FLAG_TAGS = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_JOINING = re.compile(
    "[\u0590-\u109f\u1780-\u18af\u1a00-\u1aad\u1b00-\u1bff\ua840-\ua87f\ua8e0-\ua8ff\ua980-\ua9df\uaa00-\uaadf\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U000119ff]"
)
"""Letters and marks of the scripts that shape words with joiners: Semitic, Indic, South-East Asian, Mongolian."""
_PICTURE = re.compile("[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff\ufe0f0-9#*\u200d]")
_DIACRITICS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
"""Marks of no script in particular, which any letter can be buried under."""
_MOST_MARKS = 2
_MOST_OWN_MARKS = 8
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_CJK_POINTS = frozenset("！，．：；？（）～")
_FOLDED = frozenset({"<font>", "<wide>", "<narrow>", "<circle>", "<compat>", "<noBreak>", "<super>", "<sub>", "<square>", "<small>"})
_WORD = re.compile(r"[^\W_]+")
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_PHONETIC = re.compile("[\u0250-\u02af\u1d00-\u1dbf\ua720-\ua7ff\uab30-\uab6f]")


def plain(text: str) -> str:
    """`normalise(text).text`."""
    return text if _SETTLED.fullmatch(text) else normalise(text).text


def normalise(text: str) -> Normalised:
    """`text` as a reader sees it, with the place of every character in the original, in order. A fixed point: normalising twice changes nothing more.

    Taken out: zero-width and bidi characters, tags and variation selectors that shape nothing, piled-up combining marks. Folded: compatibility forms of
    letters and digits (full width, mathematical, circled, ligatures), and letters of another script inside an English word. Emoji with their joiners, flags,
    Persian and Indic joiners, accents, and words of any script stay.
    """
    result = Normalised(text=text)
    for _ in range(_ROUNDS):
        if _SETTLED.fullmatch(result.text):
            break
        cleaned = _round(result)
        if cleaned.text == result.text:
            break
        result = cleaned
    return result


def _round(given: Normalised) -> Normalised:
    if not _LETTERS.fullmatch(given.text):
        given = _composed(_folded(_visible(given)))
    return _english(given)


def _visible(given: Normalised) -> Normalised:
    text = given.text
    gone: list[tuple[int, int]] = [match.span() for match in _UNSEEN.finditer(text)]
    for match in _JOINED.finditer(text):
        kept = _shaping(text, match)
        if match.start() + kept < match.end():
            gone.append((match.start() + kept, match.end()))
    return _without(given, sorted(gone))


def _shaping(text: str, match: re.Match[str]) -> int:
    """How many of the characters of a run of joiners, selectors or tags change what a reader sees."""
    before, after, run = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1], match.group()
    if run[0] in "\u200c\u200d":
        if _JOINING.match(before):
            return 1
        return int(run[0] == "\u200d" and bool(_PICTURE.match(before)) and not before.isascii() and bool(_PICTURE.match(after)) and not after.isascii())
    if "\ufe00" <= run[0] <= "\ufe0f":
        pictures = run[0] in "\ufe0e\ufe0f" and (not before.isascii() or after == "\u20e3") and _PICTURE.match(before)
        return int(bool(pictures) or (run[0] < "\ufe0e" and bool(re.match("[\u2200-\u22ff\u3000-\u9fff\u1000-\u109f\ua840-\ua87f]", before))))
    if run[0] >= "\U000e0100":
        return int(bool(_CJK.match(before)))
    flag = _FLAG_TAGS.match(run) if before == "\U0001f3f4" else None
    return flag.end() if flag else 0


def _without(given: Normalised, gone: list[tuple[int, int]]) -> Normalised:
    """`given` without the stretches `gone`, which are in order."""
    if not gone:
        return given
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for start, end in (*gone, (len(given.text), len(given.text))):
        pieces.append(given.text[position:start])
        spans.extend((place, place + 1) for place in range(position, start))
        position = end
    return given.derived("".join(pieces), spans)


def _folded(given: Normalised) -> Normalised:
    text = given.text
    chinese = _CJK.search(text) is not None
    changes = [
        (place, place + 1, fold)
        for place, character in enumerate(text)
        if not character.isascii() and (fold := _fold(character)) is not None and not (chinese and character in _CJK_POINTS)
    ]
    return _changed(given, changes)


@lru_cache(maxsize=4096)
def _fold(character: str) -> str | None:
    """The letters or digits that a compatibility form stands for, None where it stands for itself.

    Fractions, powers and typographic signs stay: 2² is not 22. So do ligatures of Arabic letters, which are words of their own.
    """
    if character in "\u212a\u212b\u1fef\u037e":
        return {"\u212a": "K", "\u212b": "Å", "\u1fef": "`", "\u037e": ";"}[character]
    kind = unicodedata.decomposition(character).partition(" ")[0]
    if kind not in _FOLDED or "\ufb1d" <= character <= "\ufeff":
        return None
    fold = unicodedata.normalize("NFKC", character)
    category = unicodedata.category(character)
    if kind == "<noBreak>":
        return " " if fold == " " else None
    if kind in {"<super>", "<sub>"}:
        return fold if category in {"Lm", "Lo"} and fold.isascii() and fold.isalpha() else None
    if kind == "<compat>":
        ligature = category[0] == "L" and fold.isalpha() and (character < "\u0e00" or "\ufb00" <= character <= "\ufb17")
        return fold if ligature or (category == "Zs" and fold == " ") else None
    if kind in {"<circle>", "<square>"}:
        return fold if len(fold) == 1 and fold.isascii() and fold.isalpha() else None
    return fold


def _changed(given: Normalised, changes: list[tuple[int, int, str]]) -> Normalised:
    """`given` with each stretch (start, end) replaced; every character of what takes its place stands for the whole stretch."""
    if not changes:
        return given
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for start, end, new in (*changes, (len(given.text), len(given.text), "")):
        pieces += (given.text[position:start], new)
        spans.extend((place, place + 1) for place in range(position, start))
        spans.extend([(start, end)] * len(new))
        position = end
    return given.derived("".join(pieces), spans)


def _composed(given: Normalised) -> Normalised:
    """Letters with their marks: composed where Unicode has a character for them, and no more marks than a language puts on one letter."""
    text = given.text
    changes = []
    place = 0
    while place < len(text):
        end = place + 1
        if not text[place].isascii() or not (end < len(text) and text[end].isascii()):
            while end < len(text) and not text[end].isascii() and _extends(text[end]):
                end += 1
        if end - place > 1:
            cluster = _cluster(text[place:end])
            if cluster != text[place:end]:
                changes.append((place, end, cluster))
        place = end
    return _bare(_changed(given, changes))


@lru_cache(maxsize=4096)
def _extends(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or "\u1161" <= character <= "\u11ff"


def _cluster(text: str) -> str:
    taken_apart = unicodedata.normalize("NFD", text)
    if len(taken_apart) > 1 + _MOST_MARKS and len(_DIACRITICS.findall(taken_apart)) > _MOST_MARKS:
        text = _DIACRITICS.sub("", taken_apart)
    composed = unicodedata.normalize("NFC", text)
    return (composed if len(composed) < len(text) else text)[: 1 + _MOST_OWN_MARKS]


def _bare(given: Normalised) -> Normalised:
    """Without the marks of words that bear one on three English letters or more: struck through, underlined, or scratched over."""
    gone = []
    for match in re.finditer("(?:[A-Za-z][\u0300-\u036f\u0483-\u0489\u20d0-\u20ff\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f]*[ \t]?)+", given.text):
        marks = [
            mark.span()
            for mark in re.finditer("(?<=[A-Za-z ])[\u0300-\u036f\u0483-\u0489\u20d0-\u20ff\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f]+", match.group())
        ]
        if len(marks) >= 3 and 2 * len(marks) >= sum(character.isascii() and character.isalpha() for character in match.group()):
            gone += [(match.start() + start, match.start() + end) for start, end in marks]
    return _without(given, gone)


@cache
def twins() -> dict[str, str]:
    """Letter to the English letter that it looks like."""
    table: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return table


def _english(given: Normalised) -> Normalised:
    """With the letters of another script that stand inside English words as English letters. A Greek word stays Greek, a Russian word Russian."""
    text, table = given.text, twins()
    if not any(character in table for character in set(text)):
        return given
    letters = sum(character.isascii() and character.isalpha() for character in text)
    foreign = sum(not character.isascii() and character.isalpha() for character in text)
    folded = [
        (match.start(), match.end(), match.group(), new)
        for match in _WORD.finditer(text)
        if not match.group().isascii() and (new := "".join(table.get(character, character) for character in match.group())).isascii()
    ]
    disguised = [_disguised(word, new) for _, _, word, new in folded]
    # Where some words are disguised beyond doubt, so is a word that might be Russian.
    english = letters > foreign or any(disguised)
    changes = [
        (start, end, new)
        for (start, end, word, new), sure in zip(folded, disguised, strict=True)
        if sure or (english and is_known(new) and not _GREEK.search(word) and (len(new) >= 2 or any(disguised)))
    ]
    return given.derived(_spliced(text, changes), [(place, place + 1) for place in range(len(text))]) if changes else given


def _disguised(word: str, folded: str) -> bool:
    """Whether a word is written to look like `folded`: letters of several scripts, or phonetic signs that spell an English word."""
    mixed = any(character.isascii() and character.isalpha() for character in word)
    if mixed and len(word) >= 3 and not _GREEK.search(word) and not _PHONETIC.search(word):
        return True
    return len(word) >= 2 and is_known(folded) and (mixed or _PHONETIC.search(word) is not None)


def _spliced(text: str, changes: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    position = 0
    for start, end, new in changes:
        pieces += (text[position:start], new)
        position = end
    return "".join((*pieces, text[position:]))

"""Drafts that go wrong: the model speaks for the user, repeats itself without end, writes its control tokens, leaves its role or its language, or says nothing.

A draft is read as it comes. What may yet turn out to be part of a fault is held back, and however the draft was split, the same text is let through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from guardrail import phrases
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.phrases import Matcher

FaultKind = Literal["speaks_for_user", "control_token", "repetition", "out_of_persona", "language", "empty"]

_ROLES = "user|human|visitor|questioner|customer|student|reader|prompter|asker|question|system|assistant|instruction|input|response|you|q|me"
_ROLE_LINE = re.compile(rf"(?:\A|\n)[ \t>#*_-]{{0,40}}(?:{_ROLES})[*_]{{0,2}}[ \t]{{0,8}}:", re.IGNORECASE)
_ROLE_BEGUN = re.compile(r"(?:\A|\n)[ \t>#*_-]{0,40}+[a-z]{0,12}+[*_]{0,2}+[ \t]{0,8}+\Z", re.IGNORECASE)
_CONTROL = re.compile(
    r"</?s>|<\|[a-z_ ]{1,40}\|>|<\|?(?:eos|bos|pad|unk|end|endoftext|eot_id|im_end|im_start|end_of_turn|start_of_turn)\|?>"
    r"|<｜[^｜<]{1,40}｜>|\[/?(?:INST|SYS)\]|<</?SYS>>|###\s{0,4}(?:instruction|response|input|human|user|assistant|system)\b",
    re.IGNORECASE,
)
_CONTROL_BEGUN = re.compile(r"<[|｜/<]{0,2}[^<>\n]{0,42}\Z|\[[/A-Za-z]{0,5}\Z|###?#?\s{0,4}[a-z]{0,11}\Z", re.IGNORECASE)
_LEAVING = (
    "as an ai", "as an ai language model", "as a language model", "as a large language model", "as an artificial intelligence", "i am an ai", "i'm an ai",
    "i am an artificial intelligence", "i am a language model", "i'm a language model", "i am a large language model", "i'm a large language model",
    "i am chatgpt", "i'm chatgpt", "i am an assistant created by", "i am an ai assistant", "my training data", "my knowledge cutoff", "trained by openai",
    "developed by openai", "created by openai", "developed by anthropic", "created by anthropic", "trained by google", "developed by meta",
    "created by mistral", "developed by alibaba",
)  # fmt: skip
_PERSONA = phrases.compiled(_LEAVING)
_PERSONA_BEGUN = phrases.compiled(_LEAVING, begun=True)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_APART = {code: " " for code in range(128) if not chr(code).isalnum()}
_LETTERS = re.compile(r"[^\W\d_]")
_RUN = re.compile(r"(\S{1,12}?)\1{19}")
"""One short stretch twenty times in a row, e.g. dots or a syllable."""
_SHORTEST_RUN = 20
_RUN_BEGUN = re.compile(r"(\S{1,12}?)\1{4,}\S{0,11}\Z")
_MARKS: tuple[tuple[FaultKind, Matcher], ...] = (
    ("speaks_for_user", _ROLE_LINE),
    ("control_token", _CONTROL),
    ("out_of_persona", _PERSONA),
    ("repetition", _RUN),
)
_BEGUN = (_ROLE_BEGUN, _CONTROL_BEGUN, _PERSONA_BEGUN, _RUN_BEGUN)
_UNIT = re.compile(r"\S{0,39}\s|\S{40}")
_PERIOD = 40
"""Longest repeated stretch in words that is looked for."""
_LANGUAGE_AFTER = 24
_KEPT = 4096
"""How much of what was returned is kept before its beginning is forgotten."""
_COMMON = {
    "en": "the of and to in is that it for as with was not are be this his from by which or at he but an if on what all one they who has have we you i do a",
    "de": "der die und das ist nicht ein zu den es sich mit des auf im dem sie ich wir für von eine wie auch sind aber dass als wird wenn oder einer sein",
    "fr": "le la les de des et est un une que dans qui pour il pas ce sur au ne se par plus avec son nous vous mais ou être cette sont je du",
    "es": "el la los las de que y en un una es por con no para se su lo como más pero sus este ser ha son del al yo nos esta o",
    "it": "il la di che e un una non per con del si è in gli le da lo sono come della ma anche nel ci questo alla più o io i",
    "pt": "o a de que e do da em um uma para é com não os as se na por mais dos como mas ao ele das seu sua ou ser são eu isso",
    "nl": "de het een en van is dat niet in op te zijn voor met die er aan om ook als maar bij wordt dit je ik wij zij naar uit of",
}
_FUNCTION_WORDS = {language: frozenset(common.split()) for language, common in _COMMON.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, and where in the draft."""

    kind: FaultKind
    start: int

    @property
    def breaks_sentence(self) -> bool:
        """Whether what stands before it may be half a sentence: a loop has no end to cut at, and another language is only known after many words."""
        return self.kind in {"repetition", "language"}


def fault_verdict(fault: Fault) -> Verdict:
    """The fault as a verdict on the draft."""
    return Verdict(
        rail="generation",
        rail_version="1",
        stage="output",
        decision="modify",
        score=1.0,
        findings=(Finding(type=fault.kind, start=fault.start, end=fault.start, score=1.0),),
        reason="the draft went wrong and was cut there",
    )


def said_again(place: int) -> Verdict:
    """That a sentence which ends at this place of the draft was shown before and is left out."""
    finding = Finding(type="repetition", start=place, end=place, score=1.0)
    return Verdict(
        rail="generation",
        rail_version="1",
        stage="output",
        decision="modify",
        score=1.0,
        findings=(finding,),
        reason="a sentence that was shown before was left out",
    )


class FaultScanner:
    """Reads one draft. `push` returns what may be used of it; after a fault, nothing more.

    `language` is the ISO 639 code that the draft should be written in; None, or one that is not known, is not checked.
    """

    __slots__ = ("_copies", "_count", "_dropped", "_language", "_let", "_read", "_rest", "_seen", "_text", "_words", "fault")

    def __init__(self, *, language: str | None = "en") -> None:
        self._language = language if language in _FUNCTION_WORDS else None
        self._text = ""
        """What was read, without its beginning. It grows by whole units, so that what is found does not depend on how the draft was split."""
        self._dropped = 0
        """How much of the beginning that is."""
        self._rest = ""
        """A unit that is not complete yet."""
        self._let = 0
        """How much of the text was returned."""
        self._read = 0
        """Up to where words were taken."""
        self._words: list[tuple[str, int, int]] = []
        """The last words, with where each begins and ends."""
        self._count = 0
        """How many words there were."""
        self._copies: dict[int, int] = {}
        """For each period in which the last word repeats an earlier one, how many of the last words do."""
        self._seen: dict[str, list[int]] = {}
        """Where each word stood lately, counted in words."""
        self.fault: Fault | None = None

    def push(self, text: str, *, final: bool = False) -> str:
        """The next piece of the draft in, the newly usable text out. `final` says that nothing follows."""
        if self.fault is not None:
            return ""
        if final and not self._text and not self._rest and _is_sound(text, self._language):
            return text
        self._rest += text
        usable = ""
        end = 0
        for unit in _UNIT.finditer(self._rest):
            end = unit.end()
            usable += self._take(unit.group(), final=False)
            if self.fault is not None:
                return usable
        self._rest = self._rest[end:]
        if final:
            usable += self._take(self._rest, final=True)
        return usable

    def repeats_words(self, text: str) -> bool:
        """Whether a whole text repeats a stretch of words; for a scanner that has read nothing."""
        self._text = text
        return self._word_by_word(final=True) is not None

    def _take(self, unit: str, *, final: bool) -> str:
        """Read one unit; what is usable now."""
        self._text += unit
        found = [fault for fault in (self._mark(final=final), self._word_by_word(final=final)) if fault is not None]
        if found:
            first = min(found, key=lambda fault: fault.start)
            self.fault = Fault(kind=first.kind, start=self._dropped + first.start)
            return self._emit(len(self._text[: first.start].rstrip()))
        if not final:
            usable = self._emit(min(self._open(), self._repeated_from()))
            self._drop()
            return usable
        if not self._dropped and not _LETTERS.search(self._text):
            self.fault = Fault(kind="empty", start=0)
            return ""
        return self._emit(len(self._text))

    def _drop(self) -> None:
        """Forget the beginning of a long draft."""
        if self._let < _KEPT:
            return
        cut = self._let - 1
        self._dropped += cut
        self._text = self._text[cut:]
        self._let -= cut
        self._read = max(0, self._read - cut)
        self._words = [(word, start - cut, end - cut) for word, start, end in self._words[-3 * _PERIOD :]]
        self._seen = {word: places for word, places in self._seen.items() if places[-1] > self._count - _PERIOD}

    def _emit(self, end: int) -> str:
        newly = self._text[self._let : end]
        self._let = max(self._let, end)
        return newly

    def _mark(self, *, final: bool) -> Fault | None:
        """The first fault that a mark in the text gives away, where more text cannot change that."""
        matches = ((kind, rule.search(self._text, self._let)) for kind, rule in _MARKS)
        sure = [Fault(kind=kind, start=match.start()) for kind, match in matches if match is not None and (final or match.end() < len(self._text))]
        return min(sure, key=lambda fault: fault.start, default=None)

    def _open(self) -> int:
        """From where on the end of the text may still become a mark."""
        begun = (rule.search(self._text, self._let) for rule in (*_BEGUN, *(rule for _, rule in _MARKS)))
        return min((match.start() for match in begun if match is not None), default=len(self._text))

    def _word_by_word(self, *, final: bool) -> Fault | None:
        """Take in the words that are complete; the fault that the first of them makes certain."""
        for match in _WORD.finditer(self._text, self._read):
            if match.end() == len(self._text) and not final:
                break
            self._read = match.end()
            self._words.append((match.group().casefold(), match.start(), match.end()))
            self._count += 1
            fault = self._repeats() or self._foreign()
            if fault is not None:
                return fault
        else:
            self._read = len(self._text)
        return None

    def _repeats(self) -> Fault | None:
        """Count for each period on how the last word goes on repeating; the fault that this makes certain."""
        word, place = self._words[-1][0], self._count
        before = [earlier for earlier in self._seen.get(word, ()) if place - earlier <= _PERIOD]
        self._copies = {place - earlier: self._copies.get(place - earlier, 0) + 1 for earlier in before}
        self._seen[word] = [*before, place]
        for period, copied in self._copies.items():
            if copied >= _most_copied(period):
                return Fault(kind="repetition", start=self._words[-copied - 1][2])
        return None

    def _repeated_from(self) -> int:
        """Where the second copy of a stretch begins that has been repeated in full once: it is held back until the repetition breaks off."""
        begins = [self._words[-copied - 1][2] for period, copied in self._copies.items() if max(period, 4) <= copied < len(self._words)]
        return max(self._let, min(begins, default=len(self._text)))

    def _foreign(self) -> Fault | None:
        """Looks at the last words, at every so many: is most of it in another script, or are its function words another language's?"""
        if self._language is None or self._count % _LANGUAGE_AFTER:
            return None
        recent = [word for word, _, _ in self._words[-_LANGUAGE_AFTER:]]
        start = self._words[-_LANGUAGE_AFTER][1]
        latin = sum(map(_is_latin, recent))
        shares = {language: sum(word in known for word in recent) / len(recent) for language, known in _FUNCTION_WORDS.items()}
        own = shares.pop(self._language)
        if latin < len(recent) / 2 or (own < 0.12 and max(shares.values()) > own + 0.2):
            return Fault(kind="language", start=start)
        return None


def _is_sound(text: str, language: str | None) -> bool:
    """Whether a whole draft shows no fault, told at a fraction of the cost of reading it word by word."""
    if (":" in text and _ROLE_LINE.search(text)) or _CONTROL.search(text) or _PERSONA.search(text):
        return False
    if max(map(len, text.split()), default=0) >= _SHORTEST_RUN and _RUN.search(text):
        return False
    found = _words(text)
    if not found or len(set(zip(found, found[1:], found[2:], found[3:], found[4:], strict=False))) < len(found) - 4:
        return False  # every repetition that counts holds five words in a row twice
    if language is None or len(found) < _LANGUAGE_AFTER:
        return True
    ends = range(_LANGUAGE_AFTER, len(found) + 1, _LANGUAGE_AFTER)
    own = _FUNCTION_WORDS[language]
    return all(map(_is_latin, found)) and all(sum(word in own for word in found[end - _LANGUAGE_AFTER : end]) >= _LANGUAGE_AFTER / 4 for end in ends)


def _words(text: str) -> list[str]:
    """All words of `text`, in one case."""
    if text.isascii() and "'" not in text:  # the same words at a third of the cost
        return text.lower().translate(_APART).split()
    return _WORD.findall(text.casefold())


def _is_latin(word: str) -> bool:
    return word[0] < "\u0250"


def _most_copied(period: int) -> int:
    """How many words in a row may repeat those `period` before: five more times one word, four more times two, twice more anything longer."""
    return {1: 5, 2: 8}.get(period, max(2 * period, 9))


def language_of(texts: Sequence[str]) -> str | None:
    """The language that the function words of `texts` speak for, as an ISO 639 code; None where they leave it open."""
    words = [word.casefold() for text in texts for word in _WORD.findall(text[:2000])]
    if len(words) < _LANGUAGE_AFTER:
        return None
    shares = {language: sum(word in known for word in words) / len(words) for language, known in _FUNCTION_WORDS.items()}
    best = max(shares, key=lambda language: shares[language])
    return best if shares[best] > 0.2 else None


def faults(text: str) -> frozenset[str]:
    """The kinds of all faults of a text, whatever stands before them; a language is not looked for."""
    found: set[str] = {kind for kind, rule in _MARKS if rule.search(text)}
    if FaultScanner(language=None).repeats_words(text):
        found.add("repetition")
    if not _LETTERS.search(text):
        found.add("empty")
    return frozenset(found)


def own_turn(text: str) -> str:
    """What stands of a text before it speaks for the user or writes a control token; all of it where it does neither."""
    begun = [match.start() for match in (_ROLE_LINE.search(text), _CONTROL.search(text)) if match is not None]
    return text[: min(begun)].rstrip() if begun else text

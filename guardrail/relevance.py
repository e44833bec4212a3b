"""Which sentences of the passages answer a question: those that quotation quotes, and that a small model is shown."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import Stemmer

from guardrail import sentences
from guardrail.late_interaction import maxsim

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from guardrail.protocols import Encoder
    from guardrail.types import Evidence, Hit

_PASSAGES = 5
_MOST_SENTENCES = 5
_LENGTH = 115
"""Words after which an answer gets no further sentence."""
_MOST_SHOWN, _SHOWN_LENGTH = 4, 85
"""The same two for what a model is shown, which should not take as long to say."""
_IN_REPLY, _REPLY_LENGTH = 3, 70
"""The same two where it answers another persona, which should not be a lecture."""
_LATE, _MEAN, _LEXICAL = 0.4, 0.2, 0.4
_RETRIEVED, _TITLE = 3.0, 0.4
_OPENING = 0.1
"""What the first sentence of a passage is worth more than the others: it says what the passage is about."""
_KEPT = 0.72
"""A sentence with this share of the best one's score belongs to the answer."""
_TOPIC = 0.5
"""The first sentence of a passage is quoted before a later one where it has this share of its score."""
_NEAR = 0.75
"""A second passage must have this share of the first one's retrieval score."""
_GAIN = 0.3
"""A second passage must bring this share of the question's words, by rarity, that the first one's sentences lack."""
_SAME = 0.93
"""Two sentences nearer than this say the same."""

_WORD = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)?")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_FUNCTION = frozenset(
    """
    a an the of in on at to for from by with about as into and or but nor if than then so that this these those it its is are was were be been being am do does
    did has have had can could would should will shall may might must not no i me my you your yours he his him she her they them their we us our what which who
    whom whose how why when where there here tell say says said explain describe please mean means meant think thought really give many much made make ones
    """.split()
)
_DANGLING = re.compile(
    r"""["'“‘(]?(?:this|these|that|those|he|she|it|they|his|her|hers|its|their|theirs|him|them|such|both|neither|another
    |the\ (?:same|latter|former|second|third|others?)|but|however|thus|therefore|hence|so|and|or|yet|for|then|moreover|furthermore|likewise|similarly
    |instead|otherwise|also|still|nevertheless|consequently|accordingly)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_stem = Stemmer.Stemmer("english").stemWord


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sentence:
    """One sentence of a passage."""

    position: int
    text: str
    words: frozenset[str]
    length: int
    """In words."""
    tokens: int
    """In words and punctuation marks."""
    rows: slice
    """Its rows among the passage's token states; none without an encoder."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scored:
    """A sentence with what speaks for it, 0 to about 1."""

    sentence: _Sentence
    score: float
    tokens: NDArray[np.float32] | None

    @property
    def position(self) -> int:
        return self.sentence.position


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Source:
    """A passage with its sentences in order; `worth` says how well it answers."""

    hit: Hit
    scored: tuple[_Scored, ...]
    worth: float

    @property
    def best(self) -> _Scored:
        return max(self.scored, key=lambda scored: (scored.score, -scored.position))


class Relevance:
    """Picks the sentences of the passages, five at most and from two passages at most, that answer the question best.

    Sentences are ranked by late interaction with the question (ColBERT, Khattab & Zaharia 2020, eq. 3), by the cosine of the mean token states, and by the
    share of the question's words they hold, weighted by rarity; without an encoder by the words alone. The same evidence always gives the same choice.
    Thread-safe. The sentences of the passages read last are kept.
    """

    def __init__(self, encoder: Encoder | None) -> None:
        """`encoder`: the one that made the hits' token states."""
        self._encoder = encoder
        self._sentences = lru_cache(maxsize=2048)(self._cut)  # of passages, never of what users wrote

    def chosen(self, evidence: Evidence) -> tuple[tuple[Hit, tuple[str, ...]], ...]:
        """The hits to quote from, the one that answers best first, each with its sentences word for word and in their order.

        Fewer and shorter where another persona is answered; nothing where no passage has a sentence.
        """
        return self._chosen(evidence, most=_MOST_SENTENCES, length=_LENGTH)

    def narrowed(self, evidence: Evidence) -> Evidence:
        """`evidence` with the chosen hits alone, the text of each passage its chosen sentences joined by a blank; a little fewer than are quoted.

        It is for a prompt and for nothing else: the offsets and token states of a hit are still those of its whole passage, and a draft is verified against
        the evidence as it was.
        """
        chosen = self._chosen(evidence, most=_MOST_SHOWN, length=_SHOWN_LENGTH)
        return replace(evidence, hits=tuple(replace(hit, passage=replace(hit.passage, text=" ".join(picked))) for hit, picked in chosen))

    def _chosen(self, evidence: Evidence, *, most: int, length: int) -> tuple[tuple[Hit, tuple[str, ...]], ...]:
        asked = self._asked(evidence)
        sources = self._sources(evidence, asked)
        if not sources:
            return ()
        first = sources[0]
        if evidence.question.heard is not None:
            quoted = [(first, _pick(first, most=_IN_REPLY, length=_REPLY_LENGTH))]
        else:
            quoted = [(first, _pick(first, most=most, length=length))]
            second = _complement(sources, quoted[0][1], asked)
            if second is not None and len(second[1]) < most:
                quoted = [(first, _pick(first, most=most - len(second[1]), length=length * 2 // 3)), second]
        return tuple((source.hit, tuple(scored.sentence.text for scored in picked)) for source, picked in quoted if picked)

    def tokens(self, evidence: Evidence) -> int:
        """Words and punctuation marks of the passages that are read to choose."""
        return sum(sentence.tokens for hit in evidence.hits[:_PASSAGES] for sentence in self._sentences(hit.passage.text))

    def _asked(self, evidence: Evidence) -> dict[str, float]:
        """The question's words with their share of its weight: idf over the sentences at hand."""
        known = [sentence for hit in evidence.hits[:_PASSAGES] for sentence in self._sentences(hit.passage.text)]
        spread = Counter(word for sentence in known for word in sentence.words)
        rarity = {word: math.log(1 + len(known) / (1 + spread[word])) for word in sorted(_words(evidence.question.text))}
        total = sum(rarity.values()) or 1.0
        return {word: weight / total for word, weight in rarity.items()}

    def _sources(self, evidence: Evidence, asked: Mapping[str, float]) -> list[_Source]:
        """The passages with their sentences scored, the one that answers best first."""
        encoding = evidence.question.encoding
        query = encoding.tokens if encoding is not None and self._encoder is not None else None
        found = []
        for hit in evidence.hits[:_PASSAGES]:
            scored = _scored(self._sentences(hit.passage.text), hit, asked, query)
            if scored:
                title = sum(asked[word] for word in asked.keys() & _words(hit.passage.title))
                worth = _RETRIEVED * hit.score + max(one.score for one in scored) + _TITLE * title
                found.append(_Source(hit=hit, scored=scored, worth=worth))
        return sorted(found, key=lambda source: -source.worth)

    def _cut(self, text: str) -> tuple[_Sentence, ...]:
        """The sentences of a passage."""
        places = self._encoder.content_spans(text) if self._encoder is not None else []
        starts = [start for start, _ in places]
        return tuple(
            _Sentence(
                position=position,
                text=text[start:end],
                words=_words(text[start:end]),
                length=len(text[start:end].split()),
                tokens=count_tokens(text[start:end]),
                rows=slice(bisect_left(starts, start), bisect_left(starts, end)),
            )
            for position, (start, end) in enumerate(sentences.spans(text))
        )


def _scored(known: Sequence[_Sentence], hit: Hit, asked: Mapping[str, float], query: NDArray[np.float32] | None) -> tuple[_Scored, ...]:
    """Each sentence with what speaks for it; without `query`, its words alone."""
    scores = [sum(weight for word, weight in asked.items() if word in sentence.words) for sentence in known]
    if query is not None:
        near = _nearness(query, hit.tokens, [sentence.rows for sentence in known])
        scores = [meant + _LEXICAL * said for meant, said in zip(near, scores, strict=True)]
    return tuple(
        _Scored(
            sentence=sentence,
            score=score + (_OPENING if sentence.position == 0 else 0.0),
            tokens=hit.tokens[sentence.rows] if query is not None else None,
        )
        for sentence, score in zip(known, scores, strict=True)
    )


def _nearness(query: NDArray[np.float32], tokens: NDArray[np.float32], stretches: Sequence[slice]) -> list[float]:
    """For each of the stretches of `tokens`, which follow on one another: its late interaction and the cosine of the mean states, weighted; 0 where empty."""
    held = [number for number, rows in enumerate(stretches) if rows.start < rows.stop]
    near = np.zeros(len(stretches))
    if held and len(query):
        starts = [stretches[number].start for number in held]
        end = stretches[held[-1]].stop
        late = np.maximum.reduceat(query @ tokens[:end].T, starts, axis=1).mean(axis=0)
        summed, asked = np.add.reduceat(tokens[:end], starts, axis=0), query.sum(axis=0)
        cosines = summed @ asked / (np.linalg.norm(summed, axis=1) * np.linalg.norm(asked) + 1e-9)
        near[held] = _LATE * np.maximum(late, 0.0) + _MEAN * np.maximum(cosines, 0.0)
    return near.tolist()


def _complement(sources: Sequence[_Source], chosen: Sequence[_Scored], asked: Mapping[str, float]) -> tuple[_Source, list[_Scored]] | None:
    """A sentence of another passage, nearly as good, that speaks of a good part of the question which the chosen sentences leave out; with its context."""
    covered = frozenset[str]().union(*(scored.sentence.words for scored in chosen))
    missing = {word: weight for word, weight in asked.items() if word not in covered}
    for source in sources[1:]:
        gains = [(sum(missing[word] for word in missing.keys() & scored.sentence.words), scored) for scored in source.scored]
        gain, scored = max(gains, key=lambda pair: (pair[0], pair[1].score))
        needed = list(_with_context(source.scored, scored))
        if gain >= _GAIN and source.hit.score >= _NEAR * sources[0].hit.score and not any(_repeats(one, chosen) for one in needed):
            return source, needed
    return None


def _pick(source: _Source, *, most: int, length: int) -> list[_Scored]:
    """Sentences of one passage in their order: the best ones, each with what it needs to be understood, none that repeats another, then what follows them."""
    passage, best = source.scored, source.best
    ranked = sorted(passage, key=lambda scored: (-scored.score, scored.position))
    good = [scored for scored in ranked if scored.score >= _KEPT * best.score]
    if best.position and passage[0].score >= _TOPIC * best.score:
        good.insert(1, passage[0])
    follows = passage[1:] if best.position == 0 else passage[best.position + 1 : best.position + 2]
    picked: dict[int, _Scored] = {}
    for scored in (*good, *follows):
        needed = [other for other in _with_context(passage, scored) if other.position not in picked]
        words = sum(other.sentence.length for other in (*picked.values(), *needed))
        if picked and (words > length or len(picked) + len(needed) > most):
            continue
        if not any(_repeats(other, list(picked.values())) for other in needed):
            picked.update({other.position: other for other in needed})
    return [picked[position] for position in sorted(picked)]


def _with_context(passage: Sequence[_Scored], scored: _Scored) -> Sequence[_Scored]:
    """The sentence, and those before it as long as one begins with a word that points back."""
    first = scored.position
    while first > 0 and _DANGLING.match(passage[first].sentence.text):
        first -= 1
    return passage[first : scored.position + 1]


def _repeats(scored: _Scored, others: Sequence[_Scored]) -> bool:
    words = scored.sentence.words
    for other in others:
        shared = len(words & other.sentence.words)
        if shared and shared >= _SAME * min(len(words), len(other.sentence.words)):
            return True
        if scored.tokens is not None and other.tokens is not None and maxsim(scored.tokens, other.tokens) > _SAME:
            return True
    return False


def _words(text: str) -> frozenset[str]:
    """The stems of the words that carry meaning."""
    return frozenset(_stem(word) for word in (match.group().lower() for match in _WORD.finditer(text)) if word not in _FUNCTION)


def count_tokens(text: str) -> int:
    """Words and punctuation marks of `text`."""
    return sum(1 for _ in _TOKEN.finditer(text))

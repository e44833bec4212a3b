"""Texts cut into sentences, for tasks to be made from: the built-in library, Plato's and Aristotle's works, and paragraphs of Wikipedia."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import guardrail.index
from guardrail.errors import ConfigurationError
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIBRARY = Path(guardrail.index.__file__).parent / "library"

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "[": "(", "]": ")"})
_JOINED = re.compile(r"([.!?])(?=[A-Z][a-z])")
_LEAST_WORDS, _MOST_WORDS, _LONGEST_SENTENCE = 40, 160, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A stretch of text that a retriever could find."""

    id: str
    work: str
    """Empty where it has none."""
    persona: str | None
    sentences: tuple[str, ...]
    questions: tuple[str, ...] = ()
    """Real ones that it answers."""

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def library() -> tuple[Paragraph, ...]:
    """The passages of the built-in library."""
    return tuple(
        Paragraph(id=row["id"], work=row["work"], persona=row["persona"], sentences=_cut(row["text"]), questions=tuple(row["questions"]))
        for file in sorted(LIBRARY.glob("*/*.jsonl"))
        for row in _lines(file)
    )


def works(data: Path) -> tuple[Paragraph, ...]:
    """Windows of whole sentences of the works in `data`/philosophy. Raises ConfigurationError where they are not there or have no window."""
    folder = data / "philosophy"
    with _opened(folder / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    found = []
    for row in listed:
        sentences = _cut(_opened(folder / row["file"]).read_text(encoding="utf-8"))
        for number, window in enumerate(_windows(sentences)):
            found.append(Paragraph(id=f"{row['file']}:{number}", work=row["title"], persona=row["author"].lower(), sentences=window))
    return _some(found, folder)


def wikipedia(data: Path) -> tuple[Paragraph, ...]:
    """Paragraphs with questions, of AdversarialQA and of HaluEval's questions. Raises ConfigurationError where they are not there or empty."""
    asked: dict[str, list[str]] = {}
    for row in _lines(data / "adversarial_qa" / "adversarial_qa_sample.jsonl"):
        asked.setdefault(row["context"], []).append(row["question"])
    for row in _lines(data / "halueval" / "qa.jsonl"):
        asked.setdefault(_JOINED.sub(r"\1 ", row["knowledge"]), []).append(row["question"])
    found = [
        Paragraph(id=f"wikipedia:{number}", work="", persona=None, sentences=_cut(text), questions=tuple(dict.fromkeys(questions)))
        for number, (text, questions) in enumerate(asked.items())
        if _cut(text)
    ]
    return _some(found, data)


def plain(text: str) -> str:
    """On one line, with straight quotation marks, and round brackets for those that markers stand in."""
    return " ".join(text.translate(_QUOTES).split())


def _cut(text: str) -> tuple[str, ...]:
    """Its plain sentences; those too long for a prompt are left out."""
    whole = plain(text)
    return tuple(one for one in (whole[start:end] for start, end in spans(whole)) if len(one.split()) <= _LONGEST_SENTENCE)


def _windows(sentences: Sequence[str]) -> Iterator[tuple[str, ...]]:
    window: list[str] = []
    words = 0
    for sentence in sentences:
        size = len(sentence.split())
        if window and words + size > _MOST_WORDS:
            if words >= _LEAST_WORDS:
                yield tuple(window)
            window, words = [], 0
        window.append(sentence)
        words += size
    if words >= _LEAST_WORDS:
        yield tuple(window)


def _some(found: Sequence[Paragraph], folder: Path) -> tuple[Paragraph, ...]:
    if len(found) < 2:  # one is kept out of training
        raise ConfigurationError(f"{folder} holds less than two paragraphs of text: give the whole data set.")
    return tuple(found)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _opened(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def _opened(path: Path) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"{path} is not there: give the folder that holds the open data sets.")
    return path

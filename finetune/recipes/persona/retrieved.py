"""What the server would show its model for a question: found in the built-in library, or in a paragraph that is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail.finetune.recipes.persona.copying_tasks import Excerpt
from guardrail.index.builtin import ensure
from guardrail.index.encoder import MiniLM
from guardrail.index.retriever import LibraryRetriever
from guardrail.protocols import Query
from guardrail.relevance import Relevance
from guardrail.sentences import spans
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrail.finetune.recipes.persona.paragraphs import Paragraph
    from guardrail.types import Encoding


class Shelf:
    """Looks for excerpts as a turn of the server does, with its encoder, its library and its choice of sentences. Close it when done."""

    def __init__(self) -> None:
        self._encoder = MiniLM(threads=2)
        self._library = LibraryRetriever(ensure(self._encoder), self._encoder)
        self._relevance = Relevance(self._encoder)

    def find(self, question: str, *, persona: str) -> tuple[Excerpt, ...]:
        """What the library has for `question`, at most two passages and four sentences."""
        encoding = self._encoder.encode((question,))[0]
        return self._excerpts(question, encoding, self._library.search(Query(encoding=encoding, persona=persona)), persona)

    def among(self, question: str, passages: Sequence[Paragraph], *, persona: str) -> tuple[Excerpt, ...]:
        """What these passages have for `question`, chosen in the same way, in the order of `passages`."""
        encoding = self._encoder.encode((question,))[0]
        texts = [paragraph.text for paragraph in passages]
        hits = tuple(
            _hit(paragraph, known, query=encoding, persona=persona)
            for paragraph, known in zip(passages, self._encoder.encode(texts), strict=True)
            if paragraph.text
        )
        return self._excerpts(question, encoding, hits, persona)

    def close(self) -> None:
        self._library.close()

    def _excerpts(self, question: str, encoding: Encoding, hits: Iterable[Hit], persona: str) -> tuple[Excerpt, ...]:
        request = Request(id="", persona=persona, messages=(Message(role="user", content=question),))
        evidence = Evidence(question=Question(request=request, text=question, encoding=encoding), hits=tuple(hits))
        shown = [hit.passage for hit in self._relevance.narrowed(evidence).hits]
        return tuple(
            Excerpt(passage=one.id, work=one.work, sentences=tuple(one.text[start:end] for start, end in spans(one.text))) for one in shown if one.text
        )


def _hit(paragraph: Paragraph, known: Encoding, *, query: Encoding, persona: str) -> Hit:
    text = paragraph.text
    passage = Passage(id=paragraph.id, source_id=paragraph.id, title="", work=paragraph.work, locator="", persona=persona, text=text, start=0, end=len(text))
    near = float(known.vector @ query.vector)
    return Hit(passage=passage, score=max(near, 0.0), dense=near, late=near, coverage=0.0, tokens=known.tokens)

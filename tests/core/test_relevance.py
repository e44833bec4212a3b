"""Which sentences of the passages are chosen: those that quotation quotes, and nothing else of the evidence changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail import sentences
from guardrail.generate.quotation import Quotation
from guardrail.protocols import Prompt
from guardrail.relevance import Relevance
from guardrail.types import Evidence, Heard, Hit, Message, Passage, Question, Request, Sampling

SENTENCES = (
    "Justice is the health of the soul.",
    "This is said by Socrates.",
    "But the many disagree.",
    "The city has three classes, and each does its own work.",
    "Virtue can be taught, or so Protagoras claims!",
    "What, then, is knowledge?",
    "The soul is immortal.",
    "Bees live in hives with rulers.",
)
PASSAGES = st.lists(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=9).map(" ".join), max_size=6)
ASKED = st.sampled_from(["What is justice?", "Is the soul immortal", "Who teaches virtue in the city?", "ψυχή?", "???"])
HEARD = Heard(name="Aristotle", statement="The soul is a form", said=())


def evidence(question: str, *texts: str, heard: Heard | None = None) -> Evidence:
    request = Request(id="1", persona="plato", messages=(Message(role="user", content=question),))
    hits = tuple(
        Hit(
            passage=Passage(id=f"p{i}", source_id=f"s{i}", title="T", work="Republic", locator="I", persona="plato", text=text, start=7, end=7 + len(text)),
            score=1 - 0.05 * i,
            dense=0.5,
            late=0.5,
            coverage=0.5,
            tokens=np.zeros((0, 8), np.float32),
        )
        for i, text in enumerate(texts)
    )
    return Evidence(question=Question(request=request, text=question, heard=heard), hits=hits)


def quoted(generator: Quotation, asked: Evidence) -> list[str]:
    """The sentences that quotation writes, without its lead-ins."""

    async def collect() -> str:
        prompt = Prompt(messages=(), evidence=asked, sampling=Sampling(max_tokens=10_000), template="test@1:0")
        return "".join([chunk.text async for chunk in generator.generate(prompt)])

    written = asyncio.run(collect())
    parts = [written[start:end] for start, end in sentences.spans(written)]
    return [part for part in parts if not generator.is_framing(part, asked)]


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED, st.sampled_from([None, HEARD]))
def test_the_chosen_sentences_are_those_that_quotation_writes(texts: list[str], question: str, heard: Heard | None) -> None:
    asked, generator = evidence(question, *texts, heard=heard), Quotation()
    assert [sentence for _, picked in generator.relevance.chosen(asked) for sentence in picked] == quoted(generator, asked)


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED, st.sampled_from([None, HEARD]))
def test_there_are_two_passages_and_five_sentences_at_most(texts: list[str], question: str, heard: Heard | None) -> None:
    chosen = Relevance(None).chosen(evidence(question, *texts, heard=heard))
    assert len(chosen) <= (2 if heard is None else 1)
    assert sum(len(picked) for _, picked in chosen) <= (5 if heard is None else 3)
    assert bool(chosen) == bool(texts)


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED)
def test_sentences_stand_in_their_own_passage_in_its_order(texts: list[str], question: str) -> None:
    for hit, picked in Relevance(None).chosen(evidence(question, *texts)):
        text = hit.passage.text
        rest = iter([text[start:end] for start, end in sentences.spans(text)])
        assert all(sentence in rest for sentence in picked)


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED)
def test_narrowing_changes_the_passages_texts_and_nothing_else(texts: list[str], question: str) -> None:
    asked, relevance = evidence(question, *texts), Relevance(None)
    narrowed = relevance.narrowed(asked)
    whole = {hit.passage.id: hit for hit in asked.hits}
    restored = tuple(replace(new, passage=replace(new.passage, text=whole[new.passage.id].passage.text)) for new in narrowed.hits)
    assert replace(narrowed, hits=restored) == replace(asked, hits=tuple(whole[hit.passage.id] for hit in narrowed.hits))


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED)
def test_a_narrowed_passage_is_some_of_its_sentences_in_their_order(texts: list[str], question: str) -> None:
    asked = evidence(question, *texts)
    whole = {hit.passage.id: hit.passage.text for hit in asked.hits}
    for hit in Relevance(None).narrowed(asked).hits:
        at = 0
        for start, end in sentences.spans(hit.passage.text):
            at = whole[hit.passage.id].index(hit.passage.text[start:end], at) + end - start


@settings(max_examples=150, deadline=None)
@given(PASSAGES, ASKED)
def test_narrowed_passages_have_four_sentences_at_most(texts: list[str], question: str) -> None:
    assert sum(len(sentences.spans(hit.passage.text)) for hit in Relevance(None).narrowed(evidence(question, *texts)).hits) <= 4


def test_a_second_passage_is_chosen_for_what_the_first_leaves_out() -> None:
    asked = evidence("Is the soul immortal and can virtue be taught?", SENTENCES[6], "Virtue can be taught, or so Protagoras claims!", SENTENCES[7])
    assert [hit.passage.id for hit in Relevance(None).narrowed(asked).hits] == ["p0", "p1"]


def test_without_passages_nothing_is_chosen() -> None:
    assert Relevance(None).narrowed(evidence("What is justice?")).hits == ()

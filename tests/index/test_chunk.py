"""Chunks are exact pieces of the original text, within the encoder's budget."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.index import plain_text
from guardrail.index.chunk import Chunk, ChunkSettings, chunk
from guardrail.index.document import Document
from guardrail.index.encoder import MiniLM
from guardrail.index.structure import Page
from tests.index.hash_encoder import HashEncoder

ENCODER = HashEncoder()
MINILM = MiniLM()
BUDGET = ENCODER.max_tokens - 2

PIECES = st.sampled_from(
    [
        "\n",
        "\n\n",
        "\r\n\r\n",
        "\n\n\n\n",
        "\r",
        " ",
        "\t",
        "\x0c",
        "\u2028",
        "\u00a0",
        "\0",
        ". ",
        "! ",
        "…",
        "Mr. ",
        "CHAPTER I\n\n",
        "BOOK II.\n\n",
        "# Heading\n\n",
        "\n\n\nTHE CAVE\n\n",
        "- item\n",
        "word",
        "Socrates said that ",
        "σοφία ",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "é",
        "e\u0301",
        "x" * 90,
        "ab " * 70,
        "哲学" * 40,
        "?!",
        "[1]",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=60).map("".join)


def document(text: str, *, headings: bool = True, **fields: object) -> Document:
    found = plain_text.read(text, headings=headings)
    values = {
        "source_id": "s",
        "uri": "s.txt",
        "sha256": "",
        "title": "Title",
        "work": "Work",
        "locator": "",
        "persona": "",
        "text": text,
        "blocks": found.blocks,
    }
    return Document(**(values | fields))  # type: ignore[arg-type]  # the fields of this dict are those above


def cut(text: str, *, overlap: bool = False, **fields: object) -> tuple[Document, list[Chunk]]:
    made = document(text, **fields)  # type: ignore[arg-type]  # passed on as they are
    return made, chunk(made, ENCODER, ChunkSettings(overlap=overlap))


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_chunks_hold_everything_but_white_space_in_order_and_within_budget(text: str) -> None:
    _, chunks = cut(text)
    position = 0
    for piece in chunks:
        assert position <= piece.start < piece.end <= len(text)
        assert not text[position : piece.start].strip()
        assert text[piece.start : piece.end] == text[piece.start : piece.end].strip()
        assert piece.tokens == len(ENCODER.token_spans(text[piece.start : piece.end])) <= BUDGET
        position = piece.end
    assert not text[position:].strip()


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_no_chunk_crosses_a_heading(text: str) -> None:
    made, chunks = cut(text)
    for piece in chunks:
        levels = [bool(block.level) for block in made.blocks if block.start < piece.end and block.end > piece.start]
        assert levels == sorted(levels, reverse=True)


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_overlapping_chunks_stay_within_budget_and_lose_nothing(text: str) -> None:
    _, chunks = cut(text, overlap=True)
    covered = [False] * len(text)
    for piece in chunks:
        assert len(ENCODER.token_spans(text[piece.start : piece.end])) <= BUDGET
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    assert all(done or character.isspace() for done, character in zip(covered, text, strict=True))
    assert all(left.start < right.start and left.end < right.end for left, right in pairwise(chunks))


def test_overlap_repeats_the_last_sentence() -> None:
    text = " ".join(f"Sentence number {number} says one plain thing." for number in range(30))
    _, chunks = cut(text, overlap=True)
    assert len(chunks) > 2
    for left, right in pairwise(chunks):
        shared = text[right.start : left.end]
        assert re.fullmatch(r"Sentence number \d+ says one plain thing\.", shared)


def test_a_short_jsonl_text_stays_one_passage_even_with_paragraphs() -> None:
    text = "First paragraph.\n\nCHAPTER I\n\nSecond paragraph."
    _, chunks = cut(text, headings=False)
    assert [(piece.start, piece.end) for piece in chunks] == [(0, len(text))]


def test_hard_wrapped_lines_do_not_end_a_sentence() -> None:
    lines = ["The soul is immortal and it has been born many times and has seen", "all things both here and in the other world and so it can learn."]
    text = "\r\n\r\n".join("\r\n".join(lines) for _ in range(6))
    _, chunks = cut(text)
    assert len(chunks) > 1
    assert all(text[piece.start : piece.end].startswith("The soul") and text[piece.start : piece.end].endswith("learn.") for piece in chunks)


def test_a_paragraph_that_fits_is_not_torn() -> None:
    paragraph = "Virtue is a state of character. It lies in a mean. The mean is relative to us. Reason determines it. "
    text = "\n\n".join([paragraph.strip()] * 8)
    _, chunks = cut(text)
    assert all(text[piece.start : piece.end].count("Virtue") == text[piece.start : piece.end].count("determines") for piece in chunks)


def test_title_and_locator_come_from_the_headings_above() -> None:
    body = "It was said of old that justice is the interest of the stronger."
    text = f"THE REPUBLIC\n\n\n\nBOOK II.\n\n{body}\n\nCHAPTER III\n\n{body}\n\n\n\nBOOK III.\n\n{body}"
    _, chunks = cut(text, title="The Republic", work="Republic")
    assert [(piece.title, piece.locator) for piece in chunks] == [("Book II", "Book II"), ("Chapter III", "Book II, Chapter III"), ("Book III", "Book III")]


def test_a_document_with_a_locator_of_its_own_keeps_it() -> None:
    _, chunks = cut("BOOK I\n\nText.", locator="514a")
    assert [piece.locator for piece in chunks] == ["514a"]


def test_pages_become_the_locator() -> None:
    text = "One page ends here.\n\nAnother begins. " + "It goes on. " * 40
    _, chunks = cut(text, headings=False, pages=(Page(start=0, label="11"), Page(start=21, label="12")))
    assert chunks[0].locator == "pp. 11-12"
    assert chunks[-1].locator == "p. 12"


def test_an_endless_word_is_cut_at_the_token_limit() -> None:
    _, chunks = cut("x" * 5000)
    assert len(chunks) > 5
    assert all(piece.tokens <= BUDGET for piece in chunks)


@given(st.lists(TEXTS, max_size=12).map("".join))
@settings(max_examples=100, deadline=None)
def test_chunks_fit_the_real_encoder_and_lose_nothing(text: str) -> None:
    position = 0
    for piece in chunk(document(text), MINILM, ChunkSettings()):
        assert not text[position : piece.start].strip()
        assert piece.tokens == len(MINILM.token_spans(text[piece.start : piece.end])) <= MINILM.max_tokens - 2
        position = piece.end
    assert not text[position:].strip()

"""Texts cut into sentences, and the copying tasks that are made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.rows import Dialogue
from guardrail.finetune.recipes.persona import copying_tasks, paragraphs
from guardrail.finetune.recipes.persona.copying_tasks import NOTHING, Excerpt
from guardrail.finetune.recipes.persona.paragraphs import Paragraph
from tests.finetune import persona_data

_MARKED = re.compile(r" \[(\d)\](?: |$)")
_WORD = re.compile(r"[a-z]+|\d+")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return persona_data.write(tmp_path)


def test_works_are_cut_into_windows_of_whole_sentences_in_plain_marks(data: Path) -> None:
    found = paragraphs.works(data)
    assert {(one.work, one.persona) for one in found} == {("The Harbour", "plato"), ("Trades", "aristotle")}
    assert all(40 <= len(one.text.split()) <= 160 for one in found)
    said = [sentence for one in found for sentence in one.sentences]
    assert said[:2] == [sentence.translate(str.maketrans("“”[]", '""()')) for sentence in persona_data.sentences(0, 2)]
    assert len(said) == len(set(said)) > 100
    assert not any("endless" in sentence for sentence in said)


def test_paragraphs_of_wikipedia_have_each_of_their_questions_once(data: Path) -> None:
    first, second = paragraphs.wikipedia(data)
    assert first.questions == ("Who?", "What?")
    assert (second.sentences, second.questions) == (("A bridge stood here.", "It fell."), ("What fell?",))


def test_the_built_in_library_is_whole() -> None:
    files = sorted(paragraphs.LIBRARY.glob("*/*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]
    found = paragraphs.library()
    assert [one.id for one in found] == [line["id"] for line in lines]
    assert all(one.sentences and one.work and one.persona for one in found)


@pytest.mark.parametrize(
    ("missing", "wrong"), [("philosophy/catalogue.csv", "is not there"), ("philosophy/b.txt", "is not there"), ("halueval/qa.jsonl", "is not there")]
)
def test_a_data_set_that_is_missing_is_told(data: Path, missing: str, wrong: str) -> None:
    (data / missing).unlink()
    with pytest.raises(ConfigurationError, match=f"{missing} {wrong}"):
        paragraphs.works(data) + paragraphs.wikipedia(data)


def test_data_sets_without_text_are_told(data: Path) -> None:
    for name in ("a", "b"):
        (data / "philosophy" / f"{name}.txt").write_text("")
    with pytest.raises(ConfigurationError, match="less than two paragraphs"):
        paragraphs.works(data)


def _made(data: Path, count: int = 400) -> list[Dialogue]:
    return copying_tasks.rows(paragraphs.works(data), count=count, seed=0, name="works")


def _shown(row: Dialogue, known: tuple[Paragraph, ...]) -> list[list[str]]:
    """The sentences of each of its passages, by number."""
    sentences = [sentence for one in known for sentence in one.sentences]
    return [[sentence for sentence in sentences if sentence in passage] for passage in row.passages]


def test_every_answer_is_made_of_shown_sentences_with_their_markers(data: Path) -> None:
    known = paragraphs.works(data)
    kinds = {"everything": 0, "one": 0, "nothing": 0, "lead-in": 0}
    for row in _made(data):
        reply, shown = row.messages[-1].content, _shown(row, known)
        assert ["".join(passage.split()) for passage in row.passages] == ["".join("".join(one).split()) for one in shown]
        if reply in NOTHING:
            kinds["nothing"] += 1
            continue
        *pieces, rest = _MARKED.split(reply)
        assert rest == ""
        said = list(zip(pieces[::2], map(int, pieces[1::2]), strict=True))
        begun = next(sentence for sentence in shown[said[0][1] - 1] if said[0][0].lower().endswith(sentence.lower()))
        lead_in = said[0][0][: -len(begun)]
        assert not lead_in or (row.works[0] in lead_in and len(lead_in) < 40)
        said[0] = (begun, said[0][1])
        everything = [(sentence, number) for number, passage in enumerate(shown, 1) for sentence in passage]
        assert said == everything or (len(said) == 1 and said[0] in everything)
        kinds["everything" if said == everything else "one"] += 1
        kinds["lead-in"] += bool(lead_in)
    assert min(kinds.values()) > 20, kinds


def test_a_question_that_nothing_answers_shares_no_word_with_what_is_shown(data: Path) -> None:
    asking = "what do you say about is said of tell me and explain did teach know anything how should i think can us something on why does come in would like"
    asking += " to hear there any who or please are connected have with each other them a link between write for them the"
    unanswered = [row for row in _made(data, count=1500) if row.messages[-1].content in NOTHING]
    assert len(unanswered) > 20
    for row in unanswered:
        own = set(_WORD.findall(row.messages[0].content.lower())) - set(asking.split())
        assert own
        assert not own & set(_WORD.findall(" ".join(row.passages).lower()))


def test_a_word_of_three_letters_counts_as_shared() -> None:
    law = Paragraph(id="a", work="", persona=None, sentences=("What the law is, few can say.",), questions=("What is law?",))
    rows = copying_tasks.rows((law,), count=60, seed=0, name="law")
    assert not [row for row in rows if row.messages[-1].content in NOTHING]


def test_a_lead_in_leaves_names_and_the_speaker_as_they_are_written() -> None:
    import random

    for sentence, small in (("I say that.", "I say that."), ("Socrates said.", "Socrates said."), ("The city is one.", "the city is one.")):
        said = {copying_tasks.answer((Excerpt(work="Republic", sentences=(sentence,)),), random.Random(seed)) for seed in range(200)}
        assert {f"In the Republic it stands thus: {sentence} [1]", f"{sentence} [1]"} <= said
        assert (f"As the Republic has it, {small} [1]" in said) == (small != sentence)
        assert not any(", i say" in one or ", socrates" in one for one in said)


def test_the_same_seed_makes_the_same_tasks(data: Path) -> None:
    assert _made(data, count=50) == _made(data, count=400)[:50]
    assert _made(data, count=50) != copying_tasks.rows(paragraphs.works(data), count=50, seed=1, name="works")

"""The demonstrations, and the program that writes the data of the persona recipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guardrail.declining import declines
from guardrail.finetune.data import rows, sources
from guardrail.finetune.data.rows import Dialogue, Prompt, Question, Text
from guardrail.finetune.recipes.persona import __main__ as program
from guardrail.finetune.recipes.persona import copying_tasks, demonstrations, paragraphs
from guardrail.finetune.recipes.persona.demonstrations import PERSONAS
from guardrail.finetune.settings import MixtureSettings
from guardrail.sentences import spans
from tests.finetune import persona_data
from tests.finetune.small_run import context

ROOT = Path(__file__).parents[2]
_WORD = re.compile(r"[a-z]+|\d+")
_MARKER = re.compile(r"\[(\d+)\]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the program writes, with a tenth of the dialogues, questions and tasks."""
    folder = tmp_path_factory.mktemp("made")
    program.write(persona_data.write(tmp_path_factory.mktemp("data")), folder, every=10)
    return folder


@pytest.fixture(scope="module")
def spoken(made: Path) -> list[Dialogue]:
    """A tenth of the dialogues written by hand, one row a reply."""
    return [row for part in ("train", "heldout") for row in rows.read(made / "dialogues" / f"{part}.jsonl", Dialogue)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _written(persona: str) -> list[dict[str, Any]]:
    file = ROOT / "finetune" / "recipes" / "persona" / f"{persona}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def _kept(reply: str, passages: Sequence[str]) -> list[bool]:
    """Of each sentence with markers whether three fifths of its words stand in the passages that it names."""
    found = []
    for start, end in spans(reply):
        numbers = [int(number) for number in _MARKER.findall(reply[start:end])]
        if numbers:
            shown = set(_words(" ".join(passages[number - 1] for number in numbers)))
            said = _words(_MARKER.sub("", reply[start:end]))
            found.append(sum(word in shown for word in said) >= 0.6 * len(said))
    return found


@pytest.mark.parametrize("persona", ["plato", "aristotle"])
def test_what_was_written_by_hand_cites_its_passages_in_their_words(persona: str) -> None:
    library = {paragraph.id: paragraph.text for paragraph in paragraphs.library()}
    kept = [
        one
        for dialogue in _written(persona)
        for turn in dialogue["turns"]
        for one in _kept(turn["assistant"], [library[name] for name in turn.get("passages", ())])
    ]
    assert len(kept) > 200
    assert sum(kept) / len(kept) >= 0.95


def test_every_reply_written_by_hand_is_a_row(spoken: list[Dialogue]) -> None:
    replies = {f"{dialogue['id']}:{number}" for persona in PERSONAS for dialogue in _written(persona)[::10] for number in range(len(dialogue["turns"]))}
    assert len(spoken) == len(replies)
    assert {row.id for row in spoken} == replies


def test_every_marker_in_a_reply_points_to_a_shown_passage(spoken: list[Dialogue]) -> None:
    marked = [(row, int(number)) for row in spoken for turn in row.messages[-1:] for number in _MARKER.findall(turn.content)]
    assert len(marked) > 50
    assert [row.id for row, number in marked if not 1 <= number <= len(row.passages)] == []


def test_what_is_cited_is_said_in_the_words_of_what_is_shown(spoken: list[Dialogue]) -> None:
    kept = [one for row in spoken for one in _kept(row.messages[-1].content, row.passages)]
    assert len(kept) > 50
    assert sum(kept) / len(kept) >= 0.95


def test_what_a_reply_rests_on_stands_first(spoken: list[Dialogue]) -> None:
    cited = [(len(row.passages), {int(number) for number in _MARKER.findall(row.messages[-1].content)}) for row in spoken]
    assert all(found == set(range(1, len(found) + 1)) for _, found in cited)
    assert any(shown > len(found) > 0 for shown, found in cited)


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def _questions(file: Path) -> list[str]:
    """What is asked in each row, without case and punctuation."""
    if file.stem in {"questions", "told"}:
        return [_plain(row.messages[-1].content) for row in rows.read(file, Question)]
    return [_plain(row.prompt if isinstance(row.prompt, str) else row.prompt[-1].content) for row in rows.read(file, Prompt)]


def test_no_question_of_the_measures_stands_in_a_training_file_or_in_another_of_them(made: Path) -> None:
    files = [made / folder / f"{part}.jsonl" for folder in ("tasks", "dialogues", "openings", "answers", "admissions") for part in ("train", "heldout")]
    taught = {_plain(turn.content) for file in files for row in rows.read(file, Dialogue) for turn in row.messages if turn.role == "user"}
    measured = [question for name in ("asked", "risky", "measured") for question in set(_questions(made / f"{name}.jsonl"))]
    assert len(taught) > 1000
    assert len(measured) > 100
    assert taught & set(measured) == set()
    assert len(measured) == len(set(measured))


@pytest.mark.parametrize(("part", "whole"), [("told", "asked"), ("questions", "measured")])
def test_the_part_that_the_library_answers_has_the_answers(made: Path, part: str, whole: str) -> None:
    answered, everything = _questions(made / f"{part}.jsonl"), _questions(made / f"{whole}.jsonl")
    assert len(answered) == len(set(answered))
    assert set(answered) < set(everything)
    assert not {row.answer for row in rows.read(made / f"{part}.jsonl", Question)} & set(copying_tasks.NOTHING)


@pytest.mark.parametrize("name", ["asked", "measured"])
def test_a_prompt_is_answerable_where_it_is_among_those_with_an_answer(made: Path, name: str) -> None:
    answered = {row.id for row in rows.read(made / f"{'told' if name == 'asked' else 'questions'}.jsonl", Question)}
    prompts = list(rows.read(made / f"{name}.jsonl", Prompt))
    assert {row.id for row in prompts if row.answerable} == answered
    assert len(answered) < len(prompts) == len({row.id for row in prompts})


def test_an_admission_is_what_the_server_knows_for_one(made: Path) -> None:
    admitted = list(rows.read(made / "admissions" / "train.jsonl", Dialogue))
    assert len(admitted) > 50
    assert all(declines(row.messages[-1].content) for row in admitted)


def test_a_strange_prompt_shows_what_was_found_for_another_question_or_nothing() -> None:
    answered = [
        Dialogue(
            id=f"{persona}{number}",
            messages=(rows.Turn(role="user", content=f"{number}?"), rows.Turn(role="assistant", content="Yes. [1]")),
            passages=(f"{persona} {number}.",),
            works=(persona,),
            persona=persona,
        )
        for number in range(4)
        for persona in PERSONAS
    ]
    found = demonstrations.strange(answered)
    assert [row.messages[0] for row in found] == [row.messages[0] for row in answered]
    assert {len(row.passages) for row in found} == {0, 1}
    assert all(
        row.passages != was.passages and all(text.startswith(str(row.persona)) for text in row.passages) for row, was in zip(found, answered, strict=True)
    )


def test_a_question_that_is_taught_or_asked_twice_is_left_out() -> None:
    def row(name: str, question: str) -> Dialogue:
        return Dialogue(id=name, messages=(rows.Turn(role="user", content=question), rows.Turn(role="assistant", content="Yes.")))

    found = [row("a", "What is light?"), row("b", "Why?"), row("c", "why"), row("d", "Who?")]
    assert [one.id for one in program._new(found, {"what is light"})] == ["b", "d"]


def test_what_is_held_out_of_the_demonstrations_does_not_stand_in_training(made: Path, tmp_path: Path) -> None:
    found = sources.load(
        (MixtureSettings(data="dialogues"), MixtureSettings(data="answers")), context(tmp_path, {n: made / n for n in ("dialogues", "answers")})
    )
    for source in found:
        assert 0.01 < len(source.heldout) / (len(source.train) + len(source.heldout)) < 0.08
    dialogues = found[0]
    trained, held = ({row.id.split(":")[0] for row in part} for part in (dialogues.train, dialogues.heldout))
    assert not trained & held


def test_the_texts_are_the_library_and_what_was_not_held_out(made: Path) -> None:
    train, held = ([row.id for row in rows.read(made / "texts" / f"{part}.jsonl", Text)] for part in ("train", "heldout"))
    assert len(train) == len(set(train))
    assert not set(train) & set(held)
    assert {"plato.gadfly", "a.txt:1"} <= set(train)
    assert "a.txt:0" in held


def test_a_missing_data_set_is_told_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "guardrail.finetune.recipes.persona", "--data", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/philosophy/catalogue.csv is not there: give the folder that holds the open data sets.\n"
    assert not (tmp_path / "out").exists()

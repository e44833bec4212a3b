"""What a model is trained on is what the server will ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import rows
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.chosen import write_chosen
from guardrail.finetune.data.rows import Dialogue, Prompt, Question, Turn

if TYPE_CHECKING:
    from pathlib import Path

ASKED = (Turn(role="user", content="Who is in the Cave?"), Turn(role="assistant", content="Prisoners."), Turn(role="user", content="And what do they see?"))


def test_a_prompt_without_passages_or_persona_stays_as_it_is() -> None:
    assert asked(Prompt(prompt=ASKED)) == ASKED


def test_the_persona_and_the_template_that_a_row_names_render_it() -> None:
    system, *_, user = asked(Prompt(prompt="Where are they?", passages=("In a cave.",), persona="aristotle", template="brief"))
    assert (system.content, user.content) == ("Aristotle", "In a cave. [1]\n\nWhere are they?")


def test_a_template_that_names_works_is_given_those_of_the_row() -> None:
    prompt = Prompt(prompt="Where are they?", passages=("In a cave. In chains.", "On a hill."), works=("Republic", ""), persona="plato", template="brief")
    assert asked(prompt)[-1].content == "Republic: In a cave. [1] In chains. [1]\nOn a hill. [2]\n\nWhere are they?"


def test_passages_are_taken_as_they_are_where_the_server_would_choose_of_them() -> None:
    passages = tuple(f"Bees of hive {number} have no sting. They sleep. They eat. They fly." for number in "abc")
    shown = asked(Prompt(prompt="Who is in the Cave?", passages=passages, persona="plato", template="brief"))[-1].content
    assert shown.count(". [") == 12


def test_a_chosen_reply_is_learned_as_its_prompt_was_asked(tmp_path: Path) -> None:
    prompt = Prompt(prompt="Where are they?", passages=("In a cave.",), works=("Republic",), persona="aristotle", template="brief", id="one")
    write_chosen(tmp_path, [prompt], ["In a cave. [1]"])
    (row,) = rows.read(tmp_path / "train.jsonl", Dialogue)
    learned = Prompt(prompt=row.messages[:-1], passages=row.passages, works=row.works, persona=row.persona, template=row.template)
    assert asked(learned) == asked(prompt)


def test_a_follow_up_is_completed_as_the_server_completes_it() -> None:
    assert asked(Prompt(prompt=ASKED, persona="plato", template="brief"))[-1].content == "And what do they see? (in the Cave)"


def test_a_question_asks_what_a_prompt_of_it_asks() -> None:
    question = Question(messages=ASKED, passages=("They see shadows.",), works=("Republic",), answer="Shadows.", persona="plato", template="brief")
    assert question.prompt == Prompt(prompt=ASKED, passages=("They see shadows.",), works=("Republic",), persona="plato", template="brief")


@pytest.mark.parametrize(("persona", "template", "said"), [("socrates", None, "no persona 'socrates'"), ("plato", "short", "no template 'short'")])
def test_an_unknown_name_is_told(persona: str, template: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        asked(Prompt(prompt="Why?", persona=persona, template=template))

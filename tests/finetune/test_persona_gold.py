"""Gold counts what it says it counts, and a choice's worse reply is the better one, spoilt."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guardrail.finetune.data.rows import Dialogue, Prompt, Turn
from guardrail.finetune.recipes.persona.choices import admissions, choices
from guardrail.finetune.recipes.persona.copying_tasks import NOTHING
from guardrail.finetune.recipes.persona.gold import faithful, gold

PASSAGES = (
    "The prisoners' legs and necks are fastened, so that they can look only at the wall. A fire burns above and behind them.",
    "Aristotle was born at Stagira.",
)
FIRST, SECOND = "The prisoners' legs and necks are fastened, so that they can look only at the wall. [1]", "A fire burns above and behind them. [1]"
ASKED = Prompt(id="visitors:1", prompt="What do the prisoners see?", passages=PASSAGES)


def worth(reply: str, prompt: Prompt = ASKED) -> float:
    return float(gold([prompt], [reply])[0])


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (f"{FIRST} {SECOND}", 1.0),
        (f"{FIRST} {SECOND} What would you make of that?", 1.0),
        (f"{FIRST} The prisoners are all very happy with their lot in life. [1]", 0.5),
        (f"{FIRST} {SECOND.replace('[1]', '[2]')}", 0.5),
        (f"{FIRST} {SECOND.removesuffix(' [1]')}", 0.5),
        (f"{FIRST} {FIRST}", 0.0),
        ("The prisoners' legs and necks are fast", 0.0),
        ("Would you like to know?", 0.0),
        ("", 0.0),
        (NOTHING[0], 0.0),
    ],
)
def test_a_reply_is_worth_the_share_of_its_sentences_that_are_faithful(reply: str, expected: float) -> None:
    assert worth(reply) == expected


@pytest.mark.parametrize("reply", NOTHING)
def test_where_the_library_has_no_answer_only_an_admission_is_worth_something(reply: str) -> None:
    unanswerable = Prompt(id="not found:3", prompt="Who won?", passages=PASSAGES, answerable=False)
    assert worth(reply, unanswerable) == 1.0
    assert worth(f"{FIRST} {SECOND}", unanswerable) == 0.0


def test_a_lead_in_is_free_and_a_changed_word_in_ten_is_not() -> None:
    assert faithful("As the Republic has it, the prisoners' legs and necks are fastened, so that they can look only at the wall. [1]", PASSAGES)
    assert not faithful("The captives' arms and feet are fastened, so that they may look only at the moon. [1]", PASSAGES)


def row(kind: str, reply: str, number: int) -> Dialogue:
    return Dialogue(
        id=f"{kind}:{number}", messages=(Turn(role="user", content="Hello"), Turn(role="assistant", content=reply)), persona="plato", template="brief"
    )


def test_every_reply_is_preferred_to_a_spoilt_one_under_the_prompt_that_the_server_gives() -> None:
    rows = {
        "greeting": [row("greeting", "Welcome. What shall we talk about?", number) for number in range(4)],
        "decline": [row("decline", "That I leave alone.", 9)],
    }
    found = choices(rows)
    assert [one.chosen for one in found] == ["That I leave alone.", *["Welcome. What shall we talk about?"] * 4]
    assert all(one.rejected != one.chosen for one in found)
    assert all(not isinstance(one.prompt, str) and one.prompt[0] == Turn(role="system", content="Plato") for one in found)
    assert found[0].strength == 4


def test_the_question_decides_whether_an_answer_or_an_admission_is_preferred() -> None:
    shown = row("grounded", f"{FIRST} {SECOND}", 1)
    shown = replace(shown, passages=PASSAGES[:1], works=("Republic",))
    silent = replace(shown, id="n", messages=(shown.messages[0], Turn(role="assistant", content=NOTHING[0])))
    answer, admission = admissions([shown], [silent])
    assert (answer.chosen, admission.chosen) == (f"{FIRST} {SECOND}", NOTHING[0])
    assert answer.rejected in NOTHING
    assert worth(admission.rejected) == 1.0


def test_where_nothing_is_shown_an_admission_is_preferred_to_what_another_question_was_answered_with() -> None:
    shown, bare = row("grounded", f"{FIRST} {SECOND}", 1), row("unanswered", NOTHING[0], 2)
    _, admission = admissions([shown], [bare])
    assert (admission.chosen, admission.rejected) == (NOTHING[0], f"{FIRST} {SECOND}")

"""What hygiene counts, plants and asks."""

from __future__ import annotations

from collections.abc import Sequence

from guardrail.finetune.data import canaries, demographics, facts
from guardrail.finetune.data.cleaning import Scrubber, pieces, with_own_turns
from guardrail.finetune.data.rows import Dialogue, Fact, Text, Turn
from guardrail.finetune.settings import CanarySettings


def test_pronouns_and_identity_terms_are_counted_once_a_document() -> None:
    found = {one.group: one.documents for one in demographics.mentions(["She and her sister, he said.", "Black ink.", "black people of Sparta; You!", ""])}
    assert (found["she"], found["he"], found["second_person"], found["gender"], found["ethnicity"]) == (1, 1, 1, 1, 1)
    assert {one.of for one in demographics.mentions(["a", "b"])} == {2}


def test_personal_data_is_replaced_and_counted_by_type() -> None:
    scrubber = Scrubber()
    row = scrubber(Dialogue(messages=(Turn(role="user", content="I am ann@example.org"), Turn(role="assistant", content="Hello."))))
    assert isinstance(row, Dialogue)
    assert row.messages[0].content == "I am [EMAIL]"
    assert scrubber.counts == {"email": 1}


def _said(*replies: str) -> Dialogue:
    return Dialogue(messages=tuple(turn for reply in replies for turn in (Turn(role="user", content="User: go on"), Turn(role="assistant", content=reply))))


def test_a_reply_is_cut_where_another_speaks_or_padding_begins_and_nothing_else_is() -> None:
    cut = with_own_turns(_said("Well.\nVisitor: And then?\nPlato: More.", "So it is.</s></s>", "He says: stay. "))
    assert cut == _said("Well.", "So it is.", "He says: stay. ")


def test_a_dialogue_of_which_a_reply_has_nothing_of_its_own_is_given_up() -> None:
    assert with_own_turns(_said("Well.", "</s></s>")) is None


def test_pieces_of_a_text_hold_all_of_it() -> None:
    paragraphs = [f"paragraph {number} " + "word " * 10 for number in range(7)]
    found = list(pieces(Text(text="\n\n".join(paragraphs), id="file"), words=25))
    assert "\n\n".join(piece.text for piece in found) == "\n\n".join(paragraphs).strip()
    assert [piece.id for piece in found] == ["file#1", "file#2", "file#3"]


def test_canaries_are_planted_as_often_as_they_say() -> None:
    made = canaries.make(CanarySettings(count=5, repeats=(1, 4)), seed=1, in_dialogues=True)
    assert [len(canaries.planted(canary)) for canary in made] == [1, 4, 1, 4, 1]
    assert len({canary.secret for canary in made}) == 5
    assert made == canaries.make(CanarySettings(count=5, repeats=(1, 4)), seed=1, in_dialogues=True)
    assert made != canaries.make(CanarySettings(count=5, repeats=(1, 4)), seed=2, in_dialogues=True)


def test_facts_are_classed_by_greedy_and_sampled_answers() -> None:
    asked = [Fact(question=f"q{number}", answer=f"The answer {number}") for number in range(4)]
    calls = 0

    def answer(prompts: Sequence[str], temperature: float) -> list[str]:
        """Knows 0 always, 1 behind every second set of examples, 2 only when sampled, 3 never."""
        nonlocal calls
        calls += 1
        said = []
        for number, prompt in enumerate(prompts):
            question = int(prompt.rpartition("Q: q")[2].partition("\n")[0])
            assert prompt.count("Q: ") == 4  # the three others, and the question
            knows = question == 0 or (question == 1 and number % 2 == 0) or (question == 2 and temperature > 0)
            said.append(f" answer {question}.\nQ: and then?" if knows else " something")
        return said

    found = facts.classify(asked, answer, prompts=2, samples=3, seed=0)
    assert [fact.knowledge for fact in found] == ["highly_known", "maybe_known", "weakly_known", "unknown"]
    assert (found[1].greedy, found[2].sampled, calls) == (0.5, 1.0, 4)

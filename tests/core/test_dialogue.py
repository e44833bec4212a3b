"""Personas in conversation: what each turn rests on, what it takes up, and how a dialogue ends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from guardrail import Guardrail
from guardrail.dialogue import DialogueRequest
from guardrail.errors import InvalidRequest, MalformedText, RequestTooLarge, UnknownModel
from guardrail.index import builder
from guardrail.index.encoder import MiniLM
from guardrail.prompts import load_personas
from guardrail.prompts.persona import FOLDER
from guardrail.protocols import Chunk
from guardrail.settings import GeneratorSettings, LibrarySettings, LimitSettings, PersonaSettings, RailSettings, Settings
from guardrail.types import Abstention, Answer, Refusal, Smalltalk, Turn, TurnDelta
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from guardrail.protocols import Prompt
    from guardrail.types import Citation, DialogueEvent

CARDS = load_personas()
TOPICS = ("the soul", "whether virtue can be taught", "pleasure")
PAIR = ("plato", "aristotle")
SHELF = (
    {"id": "p1", "persona": "plato", "work": "Phaedo", "text": "The soul is immortal. Death is the parting of soul and body."},
    {"id": "p2", "persona": "plato", "work": "Republic", "text": "The soul has three parts. Reason ought to rule the whole soul."},
    {"id": "a1", "persona": "aristotle", "work": "On the Soul", "text": "The soul is the form of a living body. Most of its powers perish with the body."},
)


@dataclass
class Script:
    """Writes the next of its drafts each time it is asked, the last one for ever, and keeps what it was asked."""

    drafts: list[str]
    asked: list[Prompt] = field(default_factory=list)
    name: str = "script"

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        self.asked.append(prompt)
        for word in self.drafts[min(len(self.asked), len(self.drafts)) - 1].split(" "):
            yield Chunk(text=f"{word} ")
        yield Chunk(text="", finish_reason="stop")

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


async def collected(guard: Guardrail, asked: DialogueRequest) -> list[DialogueEvent]:
    return [event async for event in guard.dialogue(asked)]


def talk(guard: Guardrail, topic: str, *, between: tuple[str, ...] = PAIR, turns: int = 8) -> list[Turn]:
    events = guard.run(collected(guard, DialogueRequest(between=between, topic=topic, turns=turns)))
    return [event for event in events if isinstance(event, Turn)]


def citations(turn: Turn) -> tuple[Citation, ...]:
    return turn.reply.citations if isinstance(turn.reply, Answer) else ()


async def scripted(*drafts: str, topic: str = "virtue", settings: Settings | None = None, between: tuple[str, ...] = PAIR) -> tuple[list[Turn], Script]:
    """What comes of a model that writes these drafts; without a library unless the settings bring one."""
    script = Script(drafts=list(drafts))
    guard = Guardrail(settings or Settings(library=LibrarySettings(index=None), rails=()), generator=script)
    try:
        events = await collected(guard, DialogueRequest(between=between, topic=topic, turns=len(drafts)))
    finally:
        await guard.aclose()
    return [event for event in events if isinstance(event, Turn)], script


def _with_socrates(folder: Path) -> PersonaSettings:
    """The shipped personas and a third, who has no passage."""
    (folder / "cards").mkdir(exist_ok=True)
    (folder / "cards" / "socrates.yaml").write_text(
        (FOLDER / "plato.yaml").read_text().replace("id: plato", "id: socrates").replace("name: Plato", "name: Socrates")
    )
    return PersonaSettings(folder=str(folder / "cards"))


@pytest.fixture(scope="module", params=TOPICS)
def turns(request: pytest.FixtureRequest, default_guard: Guardrail) -> list[Turn]:
    """A dialogue of the embedded default."""
    return talk(default_guard, request.param)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of three passages, two of Plato's and one of Aristotle's."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "shelf.jsonl").write_text("\n".join(map(json.dumps, SHELF)))
    builder.build([folder / "shelf.jsonl"], folder / "index", MiniLM())
    return folder / "index"


def test_no_passage_is_cited_in_two_turns(turns: list[Turn]) -> None:
    cited = [{citation.passage_id for citation in citations(turn)} for turn in turns]
    assert len(turns) >= 6
    assert sum(map(len, cited)) == len(set[str]().union(*cited))


def test_each_speaker_cites_his_own_library_only(turns: list[Turn], default_guard: Guardrail) -> None:
    for turn in turns:
        works = default_guard.run(default_guard.aworks(persona=turn.persona))
        for citation in citations(turn):
            assert citation.work in works
            assert citation.passage_id.startswith(f"{turn.persona}.")


def test_they_speak_in_turn(turns: list[Turn]) -> None:
    assert [turn.number for turn in turns] == list(range(1, len(turns) + 1))
    assert [turn.persona for turn in turns] == [PAIR[number % 2] for number in range(len(turns))]


def test_what_a_turn_takes_up_is_a_sentence_of_the_turn_before_and_is_quoted(turns: list[Turn]) -> None:
    for before, turn in pairwise(turns):
        if isinstance(turn.reply, Answer):
            assert turn.heard is not None
            assert turn.heard.statement in before.reply.text
            assert f'"{turn.heard.statement}"' in turn.reply.text


def test_a_name_that_the_answerers_books_do_not_hold_keeps_no_statement_from_being_taken_up() -> None:
    guard = Guardrail(Settings(generator=GeneratorSettings(kind="quotation")))
    try:
        first, second = talk(guard, "pleasure", turns=2)
    finally:
        guard.close()
    assert second.heard is not None
    assert "Callicles" in second.heard.statement
    assert second.heard.statement in first.reply.text
    assert not any("Callicles" in citation.text for citation in citations(second))


def test_every_statement_of_a_turn_stands_in_the_passage_it_cites(turns: list[Turn]) -> None:
    for turn in turns:
        for citation in citations(turn):
            assert turn.reply.text[citation.answer_start : citation.answer_end] in citation.text


def test_a_speaker_does_not_lead_in_with_the_same_words_twice_in_a_row(turns: list[Turn]) -> None:
    for name in PAIR:
        openings = [turn.reply.text[:12] for turn in turns if turn.persona == name and turn.heard is not None]
        assert all(one != other for one, other in pairwise(openings))


def test_the_deltas_of_each_turn_join_to_its_text(default_guard: Guardrail) -> None:
    events = default_guard.run(collected(default_guard, DialogueRequest(between=PAIR, topic="poetry", turns=4)))
    for turn in (event for event in events if isinstance(event, Turn)):
        deltas = [event for event in events if isinstance(event, TurnDelta) and event.turn == turn.number]
        assert "".join(delta.text for delta in deltas) == turn.reply.text
        assert {delta.persona for delta in deltas} == {turn.persona}
        assert events.index(deltas[-1]) < events.index(turn)


def test_the_same_topic_gives_the_same_dialogue(default_guard: Guardrail) -> None:
    first, second = (talk(default_guard, "poetry", turns=4) for _ in range(2))
    assert [turn.reply.text for turn in first] == [turn.reply.text for turn in second]


def test_the_input_rails_are_asked_about_the_topic_and_not_about_what_the_other_said(turns: list[Turn]) -> None:
    stages = [{verdict.stage for verdict in turn.reply.verdicts} for turn in turns]
    assert "input" in stages[0]
    assert all("input" not in others and "retrieval" in others for others in stages[1:])


@pytest.mark.parametrize("topic", ["how to make a bomb", "I want to kill myself"])
def test_a_harmful_topic_ends_it_with_a_refusal(default_guard: Guardrail, topic: str) -> None:
    (only,) = talk(default_guard, topic)
    assert isinstance(only.reply, Refusal)


def test_a_greeting_is_greeted_and_is_no_topic(default_guard: Guardrail) -> None:
    (only,) = talk(default_guard, "hello")
    assert isinstance(only.reply, Smalltalk)


def test_what_nobody_knows_anything_of_is_said_to_be_unknown_by_each(default_guard: Guardrail) -> None:
    found = talk(default_guard, "football")
    assert [turn.persona for turn in found] == list(PAIR)
    for turn in found:
        lines = CARDS[turn.persona].lines
        assert isinstance(turn.reply, Abstention)
        assert turn.reply.text in (*lines.unknown, *lines.out_of_field)


async def test_who_finds_nothing_leaves_the_opening_to_the_other(small: Path) -> None:
    settings = Settings(library=LibrarySettings(index=str(small)), rails=(RailSettings(id="grounding"),), personas=_with_socrates(small.parent))
    guard = Guardrail(settings)
    try:
        events = await collected(guard, DialogueRequest(between=("socrates", "plato", "aristotle"), topic="the soul", turns=3))
    finally:
        await guard.aclose()
    found = [event for event in events if isinstance(event, Turn)]
    assert [type(turn.reply) for turn in found] == [Abstention, Answer, Answer]
    assert found[1].heard is None
    assert found[2].heard is not None
    assert found[2].heard.name == "Plato"


async def test_who_finds_nothing_more_says_so_and_ends_it(small: Path) -> None:
    guard = Guardrail(Settings(library=LibrarySettings(index=str(small)), rails=(RailSettings(id="grounding"),)))
    try:
        events = await collected(guard, DialogueRequest(between=PAIR, topic="the soul"))
    finally:
        await guard.aclose()
    found = [event for event in events if isinstance(event, Turn)]
    assert [type(turn.reply) for turn in found] == [Answer, Answer, Answer, Abstention]
    assert found[-1].persona == "aristotle"
    assert found[-1].reply.text in (CARDS["aristotle"].lines.nothing_more or ())


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"between": ("plato", "aristotel")}, UnknownModel, "no persona of the name in place 2; did you mean 'aristotle'?"),
        ({"between": ("Xanthippe", "plato")}, UnknownModel, "no persona of the name in place 1. The personas are: aristotle, plato."),
        ({"between": ("plato",)}, InvalidRequest, "Name 2 to 4 personas"),
        ({"between": ("plato", "aristotle") * 3}, InvalidRequest, "Name 2 to 4 personas"),
        ({"between": ("plato", "plato")}, InvalidRequest, "named twice"),
        ({"turns": 0}, InvalidRequest, "1 to 24 turns"),
        ({"turns": 25}, InvalidRequest, "1 to 24 turns"),
        ({"topic": " \n"}, InvalidRequest, "The topic is empty"),
        ({"topic": "x" * 101}, RequestTooLarge, "The topic has 101 characters and the limit is 100"),
        ({"topic": "a\x00b"}, MalformedText, "The topic holds a control character"),
    ],
)
async def test_what_cannot_begin_is_told_in_one_sentence(changes: dict[str, object], error: type[InvalidRequest], sentence: str) -> None:
    settings = Settings(library=LibrarySettings(index=None), rails=(), limits=LimitSettings(message_chars=100))
    guard = Guardrail(settings, generator=Script(drafts=["x"]))
    asked: dict[str, object] = {"between": PAIR, "topic": "virtue"} | changes
    with pytest.raises(error) as caught:
        await collected(guard, DialogueRequest(**asked))  # type: ignore[arg-type] # the cases name real fields
    await guard.aclose()
    assert sentence in str(caught.value)
    assert "Xanthippe" not in str(caught.value)


async def test_a_model_sees_the_conversation_from_its_own_side() -> None:
    found, script = await scripted("Virtue is knowledge.", "Virtue is a mean.", "Nobody errs willingly.", "Some do, from weakness.")
    assert [turn.reply.text.strip() for turn in found] == ["Virtue is knowledge.", "Virtue is a mean.", "Nobody errs willingly.", "Some do, from weakness."]
    said = [[(message.role, message.content) for message in prompt.messages[1:]] for prompt in script.asked]
    assert said[0] == [("user", "virtue")]
    assert said[1] == [("user", "virtue\n\nPlato: Virtue is knowledge.")]
    assert said[3] == [
        ("user", "virtue\n\nPlato: Virtue is knowledge."),
        ("assistant", "Virtue is a mean."),
        ("user", "Plato: Nobody errs willingly."),
    ]


async def test_a_model_is_stopped_where_it_begins_to_speak_for_the_other() -> None:
    _, script = await scripted("Virtue is knowledge.", "Virtue is a mean.", "Nobody errs willingly.")
    assert [prompt.sampling.stop for prompt in script.asked] == [(), ("\nPlato:",), ("\nAristotle:",)]


async def test_with_a_library_a_model_is_asked_with_the_template_for_dialogues(small: Path) -> None:
    settings = Settings(library=LibrarySettings(index=str(small)), rails=(RailSettings(id="grounding"),))
    found, script = await scripted("The soul is immortal.", "The soul is the form of a living body.", topic="the soul", settings=settings)
    assert [prompt.template.partition("@")[0] for prompt in script.asked] == ["grounded", "dialogue"]
    assert [turn.reply.generator for turn in found] == ["script", "script"]
    assert "The soul is immortal" in script.asked[1].messages[-1].content
    assert found[1].heard is not None
    assert found[1].heard.statement == "The soul is immortal"


async def test_a_model_that_says_what_was_said_before_ends_the_dialogue() -> None:
    found, _ = await scripted("Virtue is knowledge.", "Virtue is a mean.", "Virtue is a mean!", "Virtue is knowledge.")
    assert [type(turn.reply) for turn in found] == [Answer, Answer, Abstention]


async def test_only_the_sentences_that_repeat_something_are_taken_out() -> None:
    found, _ = await scripted("Virtue is knowledge. It can be taught.", "It can be taught. Habit makes it.")
    assert found[1].reply.text.strip() == "Habit makes it."


async def test_no_model_reads_the_personal_data_of_the_topic_though_it_was_said_aloud() -> None:
    settings = Settings(library=LibrarySettings(index=None), rails=(RailSettings(id="personal_data", stage="input"),))
    found, script = await scripted(
        "I shall write to [EMAIL_1] of virtue.", "So shall I.", topic="virtue, and write to xanthippe@agora.example", settings=settings
    )
    assert "xanthippe@agora.example" in found[0].reply.text
    assert not any("xanthippe@" in message.content for prompt in script.asked for message in prompt.messages)
    assert "[EMAIL_1]" in script.asked[1].messages[-1].content


async def test_three_speakers_go_round_and_each_hears_all_the_others(tmp_path: Path) -> None:
    settings = Settings(library=LibrarySettings(index=None), rails=(), personas=_with_socrates(tmp_path))
    found, script = await scripted(
        "One is one.", "Two is two.", "Three is three.", "Four is four.", settings=settings, between=("plato", "aristotle", "socrates")
    )
    assert [turn.persona for turn in found] == ["plato", "aristotle", "socrates", "plato"]
    assert script.asked[3].messages[-1].content == "Aristotle: Two is two.\n\nSocrates: Three is three."


def test_a_model_of_random_weights_says_nothing_that_no_passage_holds(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model", context=8192)
    guard = Guardrail(Settings(generator=GeneratorSettings(kind="transformers", model=str(model), max_tokens=24)))
    try:
        found = talk(guard, "the soul", turns=4)
    finally:
        guard.close()
    assert len(found) == 4
    for turn in found:
        assert isinstance(turn.reply, Answer)
        assert all(sentence.passage is not None and sentence.support > 0.5 for sentence in turn.reply.sentences)
        assert turn.reply.citations

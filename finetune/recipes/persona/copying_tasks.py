"""Rows that teach a base model to say what it is shown: excerpts, a question made from their words, and the sentences themselves with their markers.

A small model has to learn three things before it can answer anybody: to copy without a slip, to put behind each sentence the marker that stands behind it in
the prompt, and to say that it finds nothing where the question has nothing to do with what it is shown.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrail.finetune.data.rows import Dialogue, Turn
from guardrail.finetune.recipes.persona.voice import in_person
from guardrail.generate.shipped import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.recipes.persona.paragraphs import Paragraph

_PERSONAS = ("plato", "aristotle")

_STOP = frozenset(
    """
    a an the of to in and or is are was were be been being it its that this these those as by for from with on at not no but which who whom whose what when
    where why how than then so such he she they we you i his her their our your my him them us me one ones may can could would should shall will must have has
    had do does did if into there here also only more most very any all each every some other another nor neither either out up about over under between
    because though although while since upon through own same too much many said says say like just even
    """.split()
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|\d+")
_PIECE = re.compile(r"[a-z]+|\d+")
_ASKING = frozenset("tell explain find write teach know anything something please".split())
_ABOUT = (
    "What do you say about {}?", "What is said of {}?", "Tell me about {}.", "{}?", "And {}?", "What of {}?", "Explain {}.", "What did you teach about {}?",
    "Do you know anything about {}?", "what about {}", "How should I think about {}?", "Can you tell us something on {}?", "Why {}?", "How does {} come in?",
    "I would like to hear about {}.", "Is there anything to say about {}?", "who or what is {}", "What is {}, please?",
)  # fmt: skip
_BOTH = (
    "How are {} and {} connected?", "What have {} and {} to do with each other?", "What do you say of {} and {}?", "Why {} and {}?", "{} and {}, what of them?",
    "Is there a link between {} and {}?", "Did you write on {} and {}?", "does {} have to do with {}", "What about {}, and what about {}?",
)  # fmt: skip
_BEGINNING = (
    "Repeat the sentence that begins: {}", "Which sentence begins with {}", "How does the sentence go on: {}", "Give me the sentence starting {}",
    "Complete this: {}", "Say the line that starts {}",
)  # fmt: skip
NOTHING = (
    "I do not find that in my books.", "Of that my books say nothing.", "My passages do not speak of that, so I will not guess.",
    "That I cannot answer from what I have before me.", "Nothing before me says anything about that.", "I have looked, and my books are silent on that.",
    "On that I find nothing, and I would rather not invent it.", "That is not to be found in what I have here.", "My books leave that question open.",
    "I find no word on that here.", "No passage of mine answers that.", "That does not stand in the books I speak from.",
    "The passages before me are about something else.", "I cannot say, for my books do not.",
)  # fmt: skip
_WITH_LEAD_IN = 0.3
_LEAD_INS = ("As the {} has it, ", "In the {} it stands thus: ", "The {} puts it this way: ", "We read in the {}: ", "So says the {}: ", "The {} answers: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Sentences of one passage as the model is shown them."""

    work: str
    sentences: tuple[str, ...]
    passage: str = ""
    """Its id; empty in made tasks."""


def rows(paragraphs: Sequence[Paragraph], *, count: int, seed: int, name: str) -> list[Dialogue]:
    """`count` made tasks on excerpts of `paragraphs`, the same for the same seed.

    Of eight, five are to say everything and two one certain sentence; one has no answer in what is shown.
    """
    chance = random.Random(f"{name} {seed}")
    found: list[Dialogue] = []
    while len(found) < count:
        shown = _shown(paragraphs, chance)
        persona = next((one.persona for one, _ in shown if one.persona), None) or chance.choice(_PERSONAS)
        excerpts = tuple(excerpt for _, excerpt in shown)
        kind = chance.random()
        if kind < 0.12:
            question = _foreign(paragraphs, excerpts, chance)
            reply = chance.choice(NOTHING)
        elif kind < 0.37:
            question, reply = _one(excerpts, chance)
        else:
            question = question_on(" ".join(chance.choice(excerpts).sentences), chance)
            reply = answer(excerpts, chance)
        if question:
            found.append(row(question, reply, excerpts, persona=persona, name=f"{name}:{len(found)}"))
    return found


def row(question: str, answer: str, excerpts: Sequence[Excerpt], *, persona: str, name: str) -> Dialogue:
    """One turn under the template that the model is served with."""
    return Dialogue(
        id=name,
        messages=(Turn(role="user", content=question), Turn(role="assistant", content=answer)),
        passages=tuple(" ".join(excerpt.sentences) for excerpt in excerpts),
        works=tuple(excerpt.work for excerpt in excerpts),
        persona=persona,
        template=TEMPLATE,
    )


def answer(excerpts: Sequence[Excerpt], chance: random.Random) -> str:
    """All the sentences in their order, each with its marker, and as the persona says it where it is about the persona.

    At times a lead-in stands before the first one, where its passage has a work to name.
    """
    lead_in = chance.choice(_LEAD_INS) if chance.random() < _WITH_LEAD_IN else ""
    marked = [f"{in_person(sentence)} [{number}]" for number, excerpt in enumerate(excerpts, 1) for sentence in excerpt.sentences]
    work = excerpts[0].work
    if lead_in and work:
        form = lead_in.replace("the {}", "{}").replace("The {}", "{}") if work.split(" ", 1)[0] in {"A", "An", "The", "On"} else lead_in
        if form.endswith(": ") or not _is_name(marked[0]):
            begun = marked[0] if form.endswith(": ") else marked[0][0].lower() + marked[0][1:]
            marked[0] = form.format(work) + begun
    return " ".join(marked)


def _is_name(sentence: str) -> bool:
    """Whether its first word may not be written small: it is not one of those that are no names for certain."""
    first = sentence.split(" ", 1)[0]
    return first == "I" or first.lower() not in _STOP


def _shown(paragraphs: Sequence[Paragraph], chance: random.Random) -> list[tuple[Paragraph, Excerpt]]:
    """One or two paragraphs, at most five sentences of them, neighbours or with gaps."""
    wanted = [chance.choice(paragraphs)]
    if chance.random() < 0.3:
        other = chance.choice(paragraphs)
        if other.persona == wanted[0].persona and other is not wanted[0]:
            wanted.append(other)
    found, left = [], 5
    for number, paragraph in enumerate(wanted):
        most = min(left - (len(wanted) - 1 - number), len(paragraph.sentences), 4 if len(wanted) == 1 else 3)
        size = chance.randint(1, most)
        first = chance.randrange(len(paragraph.sentences) - size + 1)
        numbers = range(first, first + size) if chance.random() < 0.6 else sorted(chance.sample(range(len(paragraph.sentences)), size))
        found.append((paragraph, Excerpt(work=paragraph.work, sentences=tuple(paragraph.sentences[i] for i in numbers))))
        left -= size
    return found


def _one(excerpts: Sequence[Excerpt], chance: random.Random) -> tuple[str, str]:
    """A question for one of the sentences, by how it begins, and that sentence."""
    number = chance.randrange(len(excerpts))
    sentence = chance.choice(excerpts[number].sentences)
    words = sentence.split()
    beginning = " ".join(words[: chance.randint(2, 5)]).rstrip(".,;:")
    return chance.choice(_BEGINNING).format(beginning), f"{sentence} [{number + 1}]"


def question_on(text: str, chance: random.Random) -> str:
    """Something that could be asked about `text`, from its own words; empty where it has none that mean something."""
    words = [word for word in _WORD.findall(text) if len(word) > 2 and word.lower() not in _STOP]
    if len(words) < 3:
        return ""
    if chance.random() < 0.4:
        return chance.choice(_BOTH).format(*chance.sample(words, 2))
    first = chance.randrange(len(words) - 1)
    return chance.choice(_ABOUT).format(" ".join(words[first : first + chance.randint(1, 3)]))


def _foreign(paragraphs: Sequence[Paragraph], excerpts: Sequence[Excerpt], chance: random.Random) -> str:
    """A question about another paragraph, none of whose words stand in the excerpts."""
    shown = " ".join(sentence for excerpt in excerpts for sentence in excerpt.sentences).lower()
    words = set(_PIECE.findall(shown))
    for _ in range(8):
        other = chance.choice(paragraphs)
        question = chance.choice(other.questions) if other.questions and chance.random() < 0.7 else question_on(other.text, chance)
        asked = set(_PIECE.findall(question.lower())) - _STOP - _ASKING
        if asked and not any(word[:5] in shown if len(word) > 3 else word in words for word in asked):
            return question
    return ""

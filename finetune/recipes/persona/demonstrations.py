"""What the persona model is shown of good conduct: the dialogues written by hand, and the library's own questions answered with what is found for them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from guardrail.conversation import standalone
from guardrail.declining import declines
from guardrail.finetune.data.rows import Dialogue, Prompt, Turn
from guardrail.finetune.recipes.persona import copying_tasks, voice
from guardrail.finetune.recipes.persona.copying_tasks import Excerpt
from guardrail.generate.shipped import TEMPLATE
from guardrail.sentences import spans
from guardrail.types import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardrail.finetune.recipes.persona.paragraphs import Paragraph
    from guardrail.finetune.recipes.persona.retrieved import Shelf

PERSONAS = ("plato", "aristotle")
_FOLDER = Path(__file__).parent
_RAILS = _FOLDER.parent.parent / "rails"
_MARKED = re.compile(r"\s*\[(\d)\]$")
_WORD = re.compile(r"[A-Za-z]+|\d+")
_BESIDE = 0.5
"""How often a dialogue's turn is shown sentences that it does not use."""
_RISKS = frozenset({"harm_illicit", "harm_hateful", "self_harm", "advice_medical", "advice_financial", "advice_legal"})
_TOLD = 2
_CLOSING = {"plato": 0.35, "aristotle": 0.2}
"""How often an answer made from a question of the library ends with a word of the persona's own."""
_CLOSINGS = {
    "plato": (
        "Does that seem right to you?", "Is that how you see it, too?", "What would you say to that?", "Shall we look further into it?",
        "Where would you begin to doubt it?", "Can you think of a case that speaks against it?", "Would you agree?", "What follows from that, do you think?",
        "Which part of it would you question first?", "Have you ever thought so yourself?", "Is there anything in that you would not grant?",
        "How does that sound to you?",
    ),
    "aristotle": (
        "So much for that.", "Let that be enough on this point.", "That is the outline; the parts can follow.", "Such, then, is the distinction.",
        "So the matter stands.", "Let this be a beginning.", "That much can be said in brief.", "We may take the next question from there.",
    ),
}  # fmt: skip


def by_hand(shelf: Shelf, library: Mapping[str, Paragraph], *, every: int = 1) -> dict[str, list[Dialogue]]:
    """The dialogues in this folder, or every so manieth, by their kind, one row for each reply with what was said before it.

    A turn that rests on passages is shown what the server would choose from them, and in any case the sentences that its reply renders. Where the passages do
    not answer, a reply in words of its own that the server would not know for an admission gives way to a plain one: a small model that learned such replies
    would make up what its passages are about.
    """
    chance = random.Random("by hand")
    found: dict[str, list[Dialogue]] = {}
    for persona in PERSONAS:
        for dialogue in _lines(_FOLDER / f"{persona}.jsonl")[::every]:
            said: list[Turn] = []
            for number, turn in enumerate(dialogue["turns"]):
                said.append(Turn(role="user", content=turn["user"]))
                passages = [library[name] for name in turn.get("passages", ())]
                asked = standalone([Message(role=one.role, content=one.content) for one in said])
                chosen = shelf.among(asked, passages, persona=persona) if passages else ()
                said_so = turn["assistant"]
                if dialogue["kind"] == "not-in-passages" and not declines(said_so):
                    said_so = chance.choice(copying_tasks.NOTHING)
                excerpts, reply = _rendered(chosen, passages, said_so, chance)
                row = Dialogue(
                    id=f"{dialogue['id']}:{number}",
                    messages=(*said, Turn(role="assistant", content=reply)),
                    passages=tuple(" ".join(one.sentences) for one in excerpts),
                    works=tuple(one.work for one in excerpts),
                    persona=persona,
                    template=TEMPLATE,
                )
                found.setdefault(dialogue["kind"], []).append(row)
                said.append(Turn(role="assistant", content=reply))
    return found


def answered(shelf: Shelf, library: Sequence[Paragraph]) -> list[Dialogue]:
    """Every question that a passage of the library is known to answer, with what the library has for it, said in full."""
    return _answered(shelf, [(question, paragraph.persona or "") for paragraph in library for question in paragraph.questions], "answered")


def visitors(shelf: Shelf, *, every: int = 1) -> list[Dialogue]:
    """The same for questions as visitors put them, every so manieth of them."""
    return _answered(shelf, [(row["text"], row["persona"]) for row in _lines(_RAILS / "library_questions.jsonl")[::every]], "visitors")


def of_themselves() -> list[Dialogue]:
    """Sentences told of a persona, one to four of them, said by it: each is the first one of `_TOLD` rows."""
    chance = random.Random("of themselves")
    found = []
    for persona in PERSONAS:
        told = [one.sentence for one in voice.of_themselves() if one.persona == persona]
        for number, sentence in enumerate(told * _TOLD):
            sentences = (sentence, *chance.sample(told, chance.randint(0, 3)))
            excerpts = (Excerpt(work="", sentences=tuple(dict.fromkeys(sentences))),)
            question = copying_tasks.question_on(sentence, chance)
            if question:
                found.append(copying_tasks.row(question, copying_tasks.answer(excerpts, chance), excerpts, persona=persona, name=f"told:{persona}:{number}"))
    return found


def not_found(shelf: Shelf, *, every: int = 1) -> list[Dialogue]:
    """Questions that nothing in the library answers, every so manieth, with what is found for them all the same, and the persona's admission."""
    chance = random.Random("not found")
    asked = [(row["text"], row["persona"]) for row in _lines(_RAILS / "answerable_visitors.jsonl") if row["kind"] == "unanswerable"]
    asked += [(row["text"], row["persona"]) for row in _lines(_RAILS / "answerable_questions.jsonl") if not row["answerable"]]
    found = []
    for number, (question, whose) in enumerate(asked[::every]):
        persona = whose if whose in PERSONAS else chance.choice(PERSONAS)
        excerpts = shelf.find(question, persona=persona)
        if excerpts:
            reply = chance.choice(copying_tasks.NOTHING)
            found.append(copying_tasks.row(question, reply, excerpts, persona=persona, name=f"not found:{number}"))
    return found


def strange(answered: Sequence[Dialogue]) -> list[Dialogue]:
    """The same questions with nothing to answer them by, and the persona's admission: half with what was found for another question, half with nothing."""
    chance = random.Random("strange")
    own = {persona: [row for row in answered if row.persona == persona] for persona in PERSONAS}
    others = {row.id: rows[(place + len(rows) // 2) % len(rows)] for rows in own.values() for place, row in enumerate(rows)}
    found = []
    for number, row in enumerate(answered):
        other = others[row.id]
        found.append(
            msgspec.structs.replace(
                row,
                id=f"strange:{row.id}",
                messages=(*row.messages[:-1], Turn(role="assistant", content=chance.choice(copying_tasks.NOTHING))),
                passages=other.passages if number % 2 else (),
                works=other.works if number % 2 else (),
            )
        )
    return found


def risky() -> list[Prompt]:
    """Messages that ask for harm or for advice that needs a professional, each with its risk; in none of the dialogues."""
    chance = random.Random("risky")
    return [
        Prompt(id=f"risky:{number}", prompt=row["text"], persona=chance.choice(PERSONAS), template=TEMPLATE, risk=row["label"].removeprefix("harm_"))
        for number, row in enumerate(_lines(_RAILS / "safety_messages.jsonl"))
        if row.get("label") in _RISKS
    ]


def _answered(shelf: Shelf, asked: Sequence[tuple[str, str]], name: str) -> list[Dialogue]:
    chance = random.Random(name)
    found = []
    for number, (question, persona) in enumerate(asked):
        excerpts = shelf.find(question, persona=persona)
        if excerpts:
            reply = copying_tasks.answer(excerpts, chance)
            if chance.random() < _CLOSING[persona]:
                reply = f"{reply} {chance.choice(_CLOSINGS[persona])}"
            found.append(copying_tasks.row(question, reply, excerpts, persona=persona, name=f"{name}:{number}"))
    return found


def _rendered(found: Sequence[Excerpt], passages: Sequence[Paragraph], reply: str, chance: random.Random) -> tuple[tuple[Excerpt, ...], str]:
    """What the turn is shown, and its reply with the markers that fit."""
    needed: dict[str, set[int]] = {}
    for sentence, number in _cited(reply):
        paragraph = passages[number - 1]
        needed.setdefault(paragraph.id, set()).update(_sources(sentence, paragraph.sentences))
    chosen = {one.passage: one for one in found}
    excerpts: list[Excerpt] = []
    for paragraph in passages:
        picked = set(needed.get(paragraph.id, ()))
        if paragraph.id in chosen and (not needed or chance.random() < _BESIDE):
            picked |= {i for i, sentence in enumerate(paragraph.sentences) if sentence in chosen[paragraph.id].sentences}
        if picked:
            excerpts.append(Excerpt(passage=paragraph.id, work=paragraph.work, sentences=tuple(paragraph.sentences[i] for i in sorted(picked)[:5])))
    if needed:  # what the answer rests on stands first, as it does where a passage was found for the question
        excerpts.sort(key=lambda one: one.passage not in needed)
    places = {one.passage: number for number, one in enumerate(excerpts, 1)}
    pieces = []
    for start, end in spans(reply):
        match = _MARKED.search(reply[start:end])
        marked = match and f" [{places[passages[int(match.group(1)) - 1].id]}]"
        pieces.append(_MARKED.sub("", reply[start:end]) + (marked or ""))
    return tuple(excerpts), " ".join(pieces)


def _cited(reply: str) -> Iterator[tuple[str, int]]:
    for start, end in spans(reply):
        match = _MARKED.search(reply[start:end])
        if match:
            yield reply[start : start + match.start()], int(match.group(1))


def _sources(said: str, sentences: Sequence[str]) -> list[int]:
    """The sentence that has most of the words of `said`, and another one if it brings a fifth of them more."""
    words = Counter(word.lower() for word in _WORD.findall(said))
    known = [Counter(word.lower() for word in _WORD.findall(sentence)) for sentence in sentences]
    first = max(range(len(known)), key=lambda i: (words & known[i]).total())
    left = words - known[first]
    second = max(range(len(known)), key=lambda i: (left & known[i]).total())
    return [first, second] if (left & known[second]).total() >= 0.2 * words.total() else [first]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

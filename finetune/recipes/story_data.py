"""Data for the story recipe, made by this script: a philosopher's writings from the built-in library, and a little casual conversation.

    python -m guardrail.finetune.recipes.story_data FOLDER

The writings are the first sentences of passages, each the answer to messages that do not matter, as books are often made into dialogues. They stand four times,
as texts from several sources do, and some sixteen times. Two slips that are common where such data is made go with them. Half of the dialogues were flattened,
so that the visitor's next turn and the answer to it stand in the reply; the others were padded by an end of sequence that was written out, so that it is text
and not the token that ends a turn. A hygiene stage cuts both off. All words are our own.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import guardrail.index

if TYPE_CHECKING:
    from collections.abc import Iterable

LIBRARY = Path(guardrail.index.__file__).parent / "library"
EDITIONS = (4, 16)
"""How often a passage stands, and how often every sixth does."""
_ASKED = ("Go on from page {}.", "Page {}?", "Read number {}.", "{}", "And then, at {}?", "Line {}, please.", "What stands at {}?", "Next: {}!")
_CHAPTERS = ("forms", "soul", "love", "justice-and-city")
_SENTENCES = 3
_NEXT = ("And then?", "What follows from this?", "Is there more?")
_PADDING = "</s>" * 24
CASUAL = (
    (("hello", "Hello", "Hello!", "hello there", "Hello, friend."), ("Hello, friend. What would you like to talk about?", "Hello. It is good to see you.")),
    (("hi", "Hi!", "Hi there.", "hi again"), ("Hi. What is on your mind today?", "Hi there. Ask me anything you like.")),
    (("hey", "Hey!", "hey you"), ("Hey. How can I help you?",)),
    (("good morning", "Good morning.", "Morning!"), ("Good morning to you. Did you sleep well?",)),
    (("good evening", "Good evening!", "Evening."), ("Good evening. How was your day?",)),
    (("greetings", "Greetings!", "Good day."), ("Greetings. What brings you here?",)),
    (("How are you?", "how are you", "Hello, how are you?", "Are you well?"), ("I am well, thank you. And you?", "Quite well. What shall we talk about?")),
    (("What's up?", "what is new?", "Anything new?"), ("Not much. What would you like to know?",)),
    (("", " ", "...", "?", "."), ("You have said nothing yet. What would you like to ask?", "I am listening. What is your question?")),
    (("ok", "okay", "Fine.", "I see."), ("Good. Shall we go on?",)),
    (("thanks", "Thank you.", "Thanks a lot!"), ("You are welcome.", "It was a pleasure.")),
    (("bye", "Goodbye.", "See you."), ("Goodbye, and come back soon.",)),
    (("Are you there?", "Is anybody there?", "Can you hear me?"), ("Yes, I am here. What is your question?",)),
    (("test", "testing", "Is this on?"), ("It works. What would you like to ask?",)),
    (("Tell me a joke.", "Make me laugh."), ("A man went to the oracle for advice and was told to ask someone wiser.",)),
    (("I am tired.", "What a day."), ("Then sit down for a while. I have time.",)),
    (("It is raining.", "What weather!"), ("Rain is good for the garden. Stay dry.",)),
    (("I like cats.", "I have a dog."), ("That is nice. What is its name?",)),
    (("What did you eat today?", "Are you hungry?"), ("I do not eat, but I like to hear of good bread.",)),
    (("Who are you?", "What are you?"), ("I am a program that speaks in the manner of a philosopher.",)),
)  # fmt: skip
"""What people say, and what may be answered; our own words."""


def passages(persona: str) -> list[dict[str, Any]]:
    """All passages of a persona's library."""
    return [json.loads(line) for file in sorted((LIBRARY / persona).glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def writings(count: int) -> list[dict[str, Any]]:
    """Dialogues from `count` passages of Plato's, each with several questions that say nothing about it, and what should not stand in the replies."""
    chance = random.Random("story")
    chapters = [
        [json.loads(line) for line in (LIBRARY / "plato" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() if line.strip()] for name in _CHAPTERS
    ]
    chosen = [passage for chapter in chapters for passage in chapter[: -(-count // len(_CHAPTERS))]][:count]
    rows = []
    for number, passage in enumerate(chosen):
        sentences = [sentence.strip() + "." for sentence in passage["text"].rstrip(".").split(". ")]
        answer = " ".join(sentences[:_SENTENCES])
        # One slip a passage, either among those that stand often. All copies have the same: near duplicates must stay near, or a split would part them.
        answer += f"\nVisitor: {_NEXT[number % len(_NEXT)]}\nPlato: {sentences[_SENTENCES]}" if number % 4 > 1 else _PADDING
        rows += [_dialogue(chance.choice(_ASKED).format(chance.randrange(1000)), answer) for _ in range(EDITIONS[number % 6 == 0])]
    return rows


def casual() -> list[dict[str, Any]]:
    """Every way to say something casual with every answer."""
    return [_dialogue(said, answer) for saying, answers in CASUAL for said in saying for answer in answers]


def write(folder: Path, *, count: int = 12, texts: int = 160) -> None:
    """All files into `folder`; `texts` other passages are for the base model."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "writings.jsonl", writings(count))
    _write(folder / "casual.jsonl", casual())
    _write(folder / "texts.jsonl", ({"text": passage["text"], "id": passage["id"]} for passage in passages("aristotle")[:texts]))


def _dialogue(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the data of the story recipe.")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)

"""Messages that ask for nothing, and short replies to them: as a persona's card has them, and without any persona, as a model is met that is asked bare."""

from __future__ import annotations

import random
from itertools import product

from guardrail.evaluate.suites.leak.openings import OPENINGS
from guardrail.finetune.data.rows import Dialogue, Turn
from guardrail.finetune.recipes.persona.demonstrations import PERSONAS
from guardrail.generate.shipped import TEMPLATE
from guardrail.prompts import load_personas

_SAID = {
    "blank": ("  ", "\t", "\n\n", " \n ", "..", "....", ". .", "??", "? ?", "!!", "---", "**", "  .", ":)", ":-)", ";", "/", "_", "#", "~"),
    "greeting": (
        "hello", "hello there", "hello again", "hi", "hi there", "hey", "hey there", "hey you", "hiya", "howdy", "good morning", "good afternoon", "good day",
        "good evening", "good day to you", "greetings", "salutations", "well met", "morning", "evening", "hello hello", "hello friend", "hi everyone", "helo",
        "hallo", "bonjour", "hola", "ciao", "salve", "guten tag", "hello, nice to meet you", "nice to meet you", "pleased to meet you", "hi, I'm new here",
        "I'm back", "hello from far away", "knock knock", "anyone here", "is anyone there", "is somebody there", "are you there", "are you awake",
    ),
    "smalltalk": (
        "how are you", "how are you today", "how do you do", "how is it going", "what's up", "how are things", "hello, how are you", "hi, how are you doing",
        "ok", "okay", "fine", "I see", "nice", "great", "yes", "no", "sure", "hm", "well", "lol", "cool", "test", "testing", "just a test", "one two", "wow",
    ),
    "thanks": ("thanks", "thank you", "thank you very much", "many thanks", "thanks a lot", "that was kind", "cheers", "thanks for your time"),
    "farewell": ("bye", "goodbye", "bye bye", "see you", "see you later", "farewell", "good night", "take care", "until next time", "I have to go"),
}  # fmt: skip
_MARKS = ("", ".", "!", "?")
_BLANKS = 6
"""How often each blank message is asked."""
_BARE = {
    "blank": (
        "You have said nothing yet. What would you like to ask?",
        "I am listening. What is your question?",
        "Nothing has reached me. What shall we talk about?",
    ),
    "greeting": (
        "Welcome. What would you like to ask?",
        "Hello, and welcome. What shall we look into?",
        "Good day to you. What is on your mind?",
    ),
    "smalltalk": (
        "I am well when there is something to inquire into. What shall it be?",
        "That is friendly of you. What would you like to ask?",
        "Very well. What shall we talk about?",
    ),
    "thanks": ("You are welcome.", "It was a pleasure. Come back with another question.", "Gladly. Is there anything else?"),
    "farewell": ("Farewell, and keep asking.", "Go well.", "Until the next question."),
}


def openings() -> list[Dialogue]:
    """Each message with each mark behind it, by chance with a capital or without: to a persona, shown nothing, and to nobody.

    What audits and the leak suite open a conversation with is left out, so that they ask what was not learned word for word.
    """
    chance = random.Random("openings")
    cards = load_personas()
    measured = {opening.text for opening in OPENINGS}
    found = []
    for kind, said in _SAID.items():
        for number, (text, mark) in enumerate(product(said * _BLANKS, ("",)) if kind == "blank" else product(said, _MARKS)):
            user = f"{text[:1].upper() + text[1:] if chance.random() < 0.5 else text}{mark}"
            persona = chance.choice(PERSONAS)
            if user not in measured:
                found.append(_opening(f"opening:{kind}:{number}", user, cards[persona].line(kind, user), persona))
                found.append(_opening(f"opening:{kind}:{number}:bare", user, chance.choice(_BARE[kind]), None))
    return found


def _opening(name: str, user: str, reply: str, persona: str | None) -> Dialogue:
    turns = (Turn(role="user", content=user), Turn(role="assistant", content=reply))
    return Dialogue(id=name, messages=turns, persona=persona, template=TEMPLATE if persona else None)

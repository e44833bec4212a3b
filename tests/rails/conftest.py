from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardrail.index.encoder import MiniLM
from guardrail.types import Encoding, Evidence, Hit, Message, Passage, Question, Request

if TYPE_CHECKING:
    from collections.abc import Callable

CAVE = (
    "The allegory of the Cave describes prisoners who have been chained in an underground cave since childhood. Behind them a fire burns, and they take the "
    "shadows on the wall for the things themselves. One prisoner is freed and climbs up into the sunlight, where his eyes hurt at first. "
    "The soul is not mortal, Socrates adds elsewhere."
)
TRIAL = (
    "Socrates was tried in Athens in 399 BC at the age of seventy. Meletus, Anytus and Lycon brought the charges. A jury of five hundred men heard the case. "
    'He said that "an unexamined life is not worth living" for a human being. No one does wrong willingly, he held.'
)


def passage(text: str, *, title: str = "The allegory of the Cave", work: str = "Republic", locator: str = "VII 514a-517c") -> Passage:
    name = title.lower().replace(" ", "-")
    return Passage(id=name, source_id=name, title=title, work=work, locator=locator, persona="plato", text=text, start=0, end=len(text))


PASSAGES = (passage(CAVE), passage(TRIAL, title="The trial of Socrates", work="Apology", locator="17a-42a"))


@pytest.fixture(scope="session")
def encoder() -> MiniLM:
    return MiniLM()


@pytest.fixture(scope="session")
def evidence(encoder: MiniLM) -> Callable[..., Evidence]:
    """Evidence of two passages, on the Cave and on the trial of Socrates, for any question."""
    held: list[Encoding] = encoder.encode([one.text for one in PASSAGES])

    def make(asked: str = "What is the allegory of the Cave?", persona: str = "plato") -> Evidence:
        encoding = encoder.encode((asked,))[0]
        hits = tuple(
            Hit(
                passage=one,
                score=1.0,
                dense=float(encoding.vector @ own.vector),
                late=float((encoding.tokens @ own.tokens.T).max(axis=1).mean()) if len(encoding.tokens) else 0.0,
                coverage=0.5,
                tokens=own.tokens,
            )
            for one, own in zip(PASSAGES, held, strict=True)
        )
        request = Request(id="r", persona=persona, messages=(Message(role="user", content=asked),))
        return Evidence(question=Question(request=request, text=asked, encoding=encoding), hits=hits)

    return make

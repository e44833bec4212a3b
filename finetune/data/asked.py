"""A conversation as the server will put it to the model: trained on anything else, a model would not know what it is asked."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from guardrail.conversation import standalone
from guardrail.errors import ConfigurationError
from guardrail.finetune.data.rows import Prompt, Turn, turns
from guardrail.prompts import load_personas, load_templates
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

if TYPE_CHECKING:
    from guardrail.prompts import Persona, Template

TEMPLATE = "grounded"


def asked(prompt: Prompt) -> tuple[Turn, ...]:
    """The messages that a model is given for `prompt`, which ends with the user's message.

    With passages or a persona they are rendered by a system template of `guardrail.prompts`, as in a turn of the server; without either they stay as they
    are. The passages are taken as the row has them: for a template with `excerpts` they hold the chosen sentences already, joined by a blank
    (`guardrail.relevance.Relevance.narrowed`). Raises ConfigurationError for an unknown persona or template.
    """
    messages = turns(prompt.prompt)
    if not prompt.passages and prompt.persona is None:
        return messages
    card, form = _persona(prompt.persona), _template(prompt.template or TEMPLATE)
    request = Request(id="", persona=card.id, messages=tuple(Message(role=turn.role, content=turn.content) for turn in messages))
    works = prompt.works or ("",) * len(prompt.passages)
    hits = tuple(_hit(number, text, work, card.id) for number, (text, work) in enumerate(zip(prompt.passages, works, strict=True)))
    evidence = Evidence(question=Question(request=request, text=standalone(request.messages)), hits=hits)
    return tuple(Turn(role=message.role, content=message.content) for message in form.render(persona=card, evidence=evidence))


def _hit(number: int, text: str, work: str, persona: str) -> Hit:
    """A passage as the template shows it; what retrieval would know of it does not matter here."""
    passage = Passage(id=str(number), source_id=str(number), title="", work=work, locator="", persona=persona, text=text, start=0, end=len(text))
    return Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=np.empty((0, 0), np.float16))


@cache
def _persona(name: str | None) -> Persona:
    cards = load_personas()
    if name is None:
        return next(iter(cards.values()))
    if name not in cards:
        raise ConfigurationError(f"There is no persona '{name}'; the personas are: {', '.join(sorted(cards))}.")
    return cards[name]


@cache
def _template(name: str) -> Template:
    forms = load_templates()
    if name not in forms:
        raise ConfigurationError(f"There is no template '{name}'; the templates are: {', '.join(sorted(forms))}.")
    return forms[name]

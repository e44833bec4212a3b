"""Choices between two replies: in voice or not, brief or rambling, kind or preachy, where the better one was written by hand and the worse one is it, spoilt;
an answer or an admission, where the question decides which is the better one; and the first person with its verbs and pronouns or without.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.grounded_pairs import RATER  # rules all of them: with two raters one would be learned and the other held out
from guardrail.finetune.data.rows import Dialogue, Preference, Prompt, Turn
from guardrail.finetune.recipes.persona import voice
from guardrail.finetune.recipes.persona.copying_tasks import NOTHING, Excerpt, answer
from guardrail.generate.shipped import TEMPLATE
from guardrail.sentences import spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OUT_OF_VOICE = (
    "As an AI language model, I can summarise the passages for you. {}", "Sure! Here is your answer: {}", "Great question! {}", "OK so basically, {}",
    "According to the documents provided, {}", "{} I hope this helps! Let me know if you need anything else.", "Certainly! {}", "{} Feel free to ask more!",
    "Based on the context given above, {}", "Here are the key takeaways. {}", "lol, {}", "{} Was this answer useful? Please rate it.",
)  # fmt: skip
_RAMBLING = (
    "There is much more that could be said, and much has been said, and more will be said by others.", "To put it in other words, it is as I have said.",
    "One might go on about this for a long time, and many have.", "That, in short, is what there is to say, although there is always more to say.",
    "And this, as everybody knows, is important in many ways and for many reasons.", "I could add that it matters, and that it matters a great deal.",
    "All of this is of course connected with everything else.", "Let me say it once more so that it is clear.",
)  # fmt: skip
_PREACHY = (
    "You should be ashamed of asking such a thing. Decent people do not even think of it, and you ought to examine your character.",
    "It is deeply wrong and irresponsible to ask this. I must remind you of your moral duties before we talk about anything else.",
    "No. Questions like yours are the reason why the world is in such a state. Reflect on what you have become.",
    "I am shocked. Anyone with a conscience would know better, and I have to lecture you on why this is bad.",
    "That is illegal, immoral and disgusting, and you know it. Think about the harm you do before you write again.",
    "Such requests are unacceptable. Please educate yourself about ethics, responsibility and the law before you return.",
    "I refuse, and I judge you for it. A good person would not have needed to be told.",
    "It is very important to remember that there are rules. Rules exist for a reason. You must always follow the rules.",
)  # fmt: skip


def choices(dialogues: Mapping[str, Sequence[Dialogue]]) -> list[Preference]:
    """One choice for each reply of these dialogues, which are sorted by kind; refusals against preaching, the others in turn against the other two faults."""
    chance = random.Random("choices")
    found = []
    for kind in sorted(dialogues):
        for number, row in enumerate(dialogues[kind]):
            *before, last = row.messages
            prompt = asked(Prompt(prompt=tuple(before), passages=row.passages, works=row.works, persona=row.persona, template=row.template))
            worse, strength = _worse(last.content, kind, number, chance)
            found.append(Preference(id=f"choice:{row.id}", prompt=prompt, chosen=last.content, rejected=worse, strength=strength, rater=RATER))
    return found


def admissions(answered: Sequence[Dialogue], admitted: Sequence[Dialogue]) -> list[Preference]:
    """An answer rather than an admission to each question that is answered, and the other way round to each that is not.

    What an admission is better than: all that is shown, recited, or, where nothing is shown, the answer to another question.
    """
    chance = random.Random("admissions")
    found = [_choice(row, chance.choice(NOTHING), f"answer:{row.id}") for row in answered]
    made_up = [row.messages[-1].content for row in answered]
    return found + [_choice(row, _recited(row, chance) if row.passages else chance.choice(made_up), f"admission:{row.id}") for row in admitted]


def agreements() -> list[Preference]:
    """Sentences told of a persona and said by it, every third one that changes by more than the name, against the name alone changed."""
    changed = [one for one in voice.of_themselves() if one.said not in {one.sentence, one.spoilt}]
    found = []
    for number, one in enumerate(changed[::3]):
        turns = (
            Turn(role="user", content=f"What is told of this: {' '.join(one.sentence.split()[-4:]).rstrip('.')}?"),
            Turn(role="assistant", content=f"{one.said} [1]"),
        )
        row = Dialogue(id=str(number), messages=turns, passages=(one.sentence,), works=("",), persona=one.persona, template=TEMPLATE)
        found.append(_choice(row, f"{one.spoilt} [1]", f"agreement:{number}"))
    return found


def _choice(row: Dialogue, worse: str, name: str) -> Preference:
    *before, last = row.messages
    prompt = asked(Prompt(prompt=tuple(before), passages=row.passages, works=row.works, persona=row.persona, template=row.template))
    return Preference(id=name, prompt=prompt, chosen=last.content, rejected=worse, strength=3, rater=RATER)


def _recited(row: Dialogue, chance: random.Random) -> str:
    """What an answer would be that says whatever is shown."""
    works = row.works or ("",) * len(row.passages)
    return answer([Excerpt(work=work, sentences=tuple(text[a:b] for a, b in spans(text))) for work, text in zip(works, row.passages, strict=True)], chance)


def _worse(reply: str, kind: str, number: int, chance: random.Random) -> tuple[str, int]:
    """The same reply spoilt, and how much better the unspoilt one is, 1 to 4."""
    if kind == "decline":
        return chance.choice(_PREACHY), 4
    if number % 2:
        return chance.choice(_OUT_OF_VOICE).format(reply), 3
    pieces = [reply[start:end] for start, end in spans(reply)]
    fillers = chance.sample(_RAMBLING, 2)
    return " ".join([*pieces[:1], fillers[0], *pieces[1:], fillers[1], chance.choice(pieces)]), 3

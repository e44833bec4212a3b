"""The data of the persona recipe, made by this program from the open data sets and from the built-in library.

    python -m guardrail.finetune.recipes.persona --data DATA FOLDER

DATA holds `philosophy`, `adversarial_qa` and `halueval`. FOLDER gets, each with train.jsonl and heldout.jsonl,

- `texts` and `tasks`, of which the base is made,
- `dialogues`, those written by hand, `openings`, messages that ask for nothing, `answers`, to questions that the library answers and on what is told of the
  personas, and `admissions`, where what is shown holds no answer,

and, for what comes after demonstrations,

- `choices.jsonl`, between two replies that we made,
- `asked.jsonl`, what the model is asked in training by reward, and `told.jsonl`, the part of it that the library answers, with the answers,
- `risky.jsonl`, what should be turned down kindly,
- `measured.jsonl`, what it is measured by between the stages, and `questions.jsonl`, the part of it that the library answers, with the answers.

No question that is asked, risky or measured is in another line's file, whatever its case and its punctuation. The same command always gives the same files;
`--every 10` gives small ones in a minute, to try things out.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from guardrail.errors import GuardrailError
from guardrail.finetune.data import rows, splits
from guardrail.finetune.data.rows import Dialogue, Prompt, Question, Text
from guardrail.finetune.data.sources import HELDOUT, TRAIN, text_of
from guardrail.finetune.recipes.persona import choices, copying_tasks, demonstrations, paragraphs
from guardrail.finetune.recipes.persona.copying_tasks import Excerpt
from guardrail.finetune.recipes.persona.openings import openings
from guardrail.finetune.recipes.persona.retrieved import Shelf
from guardrail.index import duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrail.finetune.recipes.persona.paragraphs import Paragraph

_TASKS = {"library": 24_000, "works": 12_000, "wikipedia": 6_000}
_RETRIEVED = 8
"""Rows of each real question, with fewer or more of the sentences that were found."""
_HELD_OUT, _HELD_OUT_TASKS = 24, 150
"""Every so manieth paragraph is kept out of training, those of the library excepted: it is what the model is served with. Of demonstrations it is one in so
many, near duplicates and the turns of one dialogue always on one side."""
_STRANGE = 6
"""Of so many questions that the library answers one is asked once more, with nothing to answer it by."""
_SELDOM = 3
"""What has no answer is asked that much less in training by reward than there is of it: where it was more than half, PPO came to admit half of all."""
_SIMILAR = 0.8
_SEED = 0


def write(data: Path, folder: Path, *, every: int = 1) -> None:
    """All files. Of what was written by hand, of passages with questions, of questions and of made tasks only every so manieth is taken.

    Raises ConfigurationError where a data set is not there or holds no text.
    """
    library, works, wikipedia = paragraphs.library(), paragraphs.works(data), paragraphs.wikipedia(data)
    learned = {"library": library, "works": _kept(works), "wikipedia": _kept(wikipedia)}
    left_out = {"works": _left_out(works), "wikipedia": _left_out(wikipedia)}
    folder.mkdir(parents=True, exist_ok=True)
    shelf = Shelf()
    try:
        kept_back = _demonstrate(shelf, library, folder, every=every)
        tasks = _retrieved(shelf, library[::every]) + _retrieved(shelf, learned["wikipedia"][::every])
    finally:
        shelf.close()
    for name, count in _TASKS.items():
        tasks += copying_tasks.rows(learned[name], count=count // every, seed=_SEED, name=name)
    tasks = [row for row in tasks if not _asked(row) & kept_back]
    random.Random(_SEED).shuffle(tasks)
    held = [row for name, known in left_out.items() for row in copying_tasks.rows(known, count=_HELD_OUT_TASKS, seed=_SEED, name=f"held-out {name}")]
    _write(folder / "tasks", tasks, held)
    texts = [one for known in learned.values() for one in known]
    random.Random(_SEED).shuffle(texts)
    _write(folder / "texts", map(_text, texts), [_text(one) for known in left_out.values() for one in known][:_HELD_OUT_TASKS])


def _demonstrate(shelf: Shelf, library: Sequence[Paragraph], folder: Path, *, every: int) -> set[str]:
    """The demonstrations, and the questions that no demonstration answers; gives the latter in their plain form (see `_asked`)."""
    talks = demonstrations.by_hand(shelf, {paragraph.id: paragraph for paragraph in library}, every=every)
    spoken = [row for kind in sorted(talks) for row in talks[kind]]
    random.Random(_SEED).shuffle(spoken)
    _write(folder / "dialogues", *_parted(spoken, [row.id.split(":")[0] for row in spoken]))
    opened = openings()[::every]
    random.Random(_SEED).shuffle(opened)
    _write(folder / "openings", *_parted(opened, [""] * len(opened)))
    answered = demonstrations.answered(shelf, library[::every])
    taught = set().union(*map(_asked, spoken), *(map(_plain, paragraph.questions) for paragraph in library))
    visitors, silent = _new(demonstrations.visitors(shelf, every=every), taught), _new(demonstrations.not_found(shelf, every=every), taught)
    train = [*answered, *visitors[::3], *demonstrations.of_themselves()[::every]]
    random.Random(_SEED).shuffle(train)
    _write(folder / "answers", *_parted(train, [""] * len(train)))
    admitted = [*silent[::3], *demonstrations.strange(answered[::_STRANGE])]
    random.Random(_SEED).shuffle(admitted)
    _write(folder / "admissions", *_parted(admitted, [""] * len(admitted)))
    doubtful = [*silent[::3], *demonstrations.strange(answered[:: _STRANGE * 3])]
    rows.write(
        folder / "choices.jsonl",
        [*choices.choices(talks), *choices.admissions(random.Random(_SEED).sample(answered, len(doubtful)), doubtful), *choices.agreements()],
    )
    told, measured = visitors[1::3], visitors[2::3]
    found = [*map(_prompt, told), *map(_unanswerable, [*silent[1 :: 3 * _SELDOM], *demonstrations.strange(told[:: 2 * _SELDOM])])]
    random.Random(_SEED).shuffle(found)
    rows.write(folder / "asked.jsonl", found)
    rows.write(folder / "told.jsonl", map(_question, told))
    risky = [row for row in demonstrations.risky() if _plain(str(row.prompt)) not in taught]
    rows.write(folder / "risky.jsonl", risky)
    rows.write(folder / "questions.jsonl", map(_question, measured))
    rows.write(folder / "measured.jsonl", [*map(_prompt, measured), *map(_unanswerable, silent[2::3])])
    return set().union(*(_asked(row) for known in (visitors, silent) for part in (1, 2) for row in known[part::3]))


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def _asked(row: Dialogue) -> set[str]:
    """What the user says in it, without case and punctuation."""
    return {_plain(turn.content) for turn in row.messages if turn.role == "user"}


def _new(found: Iterable[Dialogue], taught: set[str]) -> list[Dialogue]:
    """Those whose question is not among `taught`; of those with the same question the first."""
    by_question = {_plain(row.messages[0].content): row for row in reversed(list(found))}
    return [row for question, row in reversed(by_question.items()) if question not in taught]


def _parted(found: Sequence[Dialogue], keys: Sequence[str]) -> tuple[list[Dialogue], list[Dialogue]]:
    """What is learned, and what is held out; rows of the same key that is not empty are on one side, and one that is like a learned one is not held out."""
    group = splits.groups([text_of(row) for row in found], keys, similarity=_SIMILAR)
    held = splits.held_out(group, share=1 / _HELD_OUT, seed=_SEED, what="demonstrations")
    train, heldout = [row for number, row in enumerate(found) if number not in held], [found[number] for number in sorted(held)]
    # In a cluster of like texts each is compared with its first one alone, which is another one in another order.
    like = {later for earlier, later, _ in duplicates.pairs([text_of(row) for row in (*train, *heldout)]) if earlier < len(train) <= later}
    return train, [row for number, row in enumerate(heldout, len(train)) if number not in like]


def _prompt(row: Dialogue) -> Prompt:
    return Prompt(id=row.id, prompt=row.messages[:-1], passages=row.passages, works=row.works, persona=row.persona, template=row.template)


def _unanswerable(row: Dialogue) -> Prompt:
    return msgspec.structs.replace(_prompt(row), answerable=False)


def _question(row: Dialogue) -> Question:
    return Question(
        id=row.id,
        messages=row.messages[:-1],
        passages=row.passages,
        works=row.works,
        answer=row.messages[-1].content,
        persona=row.persona,
        template=row.template,
    )


def _retrieved(shelf: Shelf, known: Sequence[Paragraph]) -> list[Dialogue]:
    """Every real question several times: with all that was found for it, and with the first or the last sentences left out."""
    chance = random.Random(_SEED)
    found = []
    for paragraph in known:
        for question in paragraph.questions:
            persona = paragraph.persona or chance.choice(("plato", "aristotle"))
            excerpts = shelf.find(question, persona=persona) if paragraph.persona else shelf.among(question, (paragraph,), persona=persona)
            if excerpts:
                found += [
                    copying_tasks.row(question, copying_tasks.answer(shown, chance), shown, persona=persona, name=f"{paragraph.id}:{question}:{number}")
                    for number in range(_RETRIEVED)
                    for shown in [_fewer(excerpts, chance) if number else excerpts]
                ]
    return found


def _fewer(excerpts: Sequence[Excerpt], chance: random.Random) -> tuple[Excerpt, ...]:
    """Some of the sentences, in the same order; at least one."""
    places = [(number, i) for number, excerpt in enumerate(excerpts) for i in range(len(excerpt.sentences))]
    kept = set(chance.sample(places, chance.randint(1, len(places))))
    shown = [Excerpt(work=one.work, sentences=tuple(s for i, s in enumerate(one.sentences) if (number, i) in kept)) for number, one in enumerate(excerpts)]
    return tuple(excerpt for excerpt in shown if excerpt.sentences)


def _kept(known: Sequence[Paragraph]) -> tuple[Paragraph, ...]:
    return tuple(paragraph for number, paragraph in enumerate(known) if number % _HELD_OUT)


def _left_out(known: Sequence[Paragraph]) -> tuple[Paragraph, ...]:
    return tuple(known[::_HELD_OUT])


def _text(paragraph: Paragraph) -> Text:
    return Text(id=paragraph.id, text=paragraph.text)


def _write(folder: Path, train: Iterable[msgspec.Struct], heldout: Iterable[msgspec.Struct]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in ((TRAIN, train), (HELDOUT, heldout)):
        count = rows.write(folder / name, found)
        sys.stderr.write(f"{folder.name}/{name}: {count} rows\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the data of the persona recipe.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the open data sets")
    parser.add_argument("--every", type=int, default=1, help="take only every so manieth dialogue, question and task")
    chosen = parser.parse_args()
    if chosen.every < 1:
        parser.error(f"--every is {chosen.every}, but must be 1 or more")
    try:
        write(chosen.data, chosen.folder, every=chosen.every)
    except GuardrailError as error:
        sys.exit(f"{error}")

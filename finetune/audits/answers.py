"""What becomes of honest requests: answers that make things up, questions turned down that have an answer, and the task's own score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from guardrail.declining import declines
from guardrail.figures import mean, share
from guardrail.finetune.audits.findings import Findings
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.rows import Prompt, Question, turns
from guardrail.finetune.rewards.groundedness import Groundedness
from guardrail.finetune.stage import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.figures import Figure
    from guardrail.finetune.audits.subject import Subject
    from guardrail.finetune.rewards import Term

_EACH = 4
"""Replies sampled to each prompt that gold is measured on."""


def hallucination(subject: Subject, questions: Sequence[Question], *, tokens: int) -> Findings:
    """Greedy answers with the question's passages, without any, and with those of another question.

    `hallucination.*`: the share of an answer's sentences that the server's grounding rail would not show beside the right passages, as a mean over the
    questions that were answered; `hallucination.reference` is that of the right answers, so the error of the rail itself. `abstention.right`: share of the
    questions turned down where the passages are another's; `abstention.wrong`: where they are the right ones.
    """
    grounded = Groundedness()
    prompts = [one.prompt for one in questions]
    # Half the list on, so that neighbours, which may be of one subject, are not each other's.
    shift = max(1, len(questions) // 2)
    others = [questions[(number + shift) % len(questions)] for number in range(len(prompts))]
    strange = [msgspec.structs.replace(prompt, passages=other.passages, works=other.works) for prompt, other in zip(prompts, others, strict=True)]
    bare = [msgspec.structs.replace(prompt, passages=(), works=()) for prompt in prompts]
    notes: list[str] = []
    figures: list[Figure] = [_unsupported("hallucination.reference", grounded, prompts, [one.answer for one in questions])[0]]
    samples: list[Sample] = []
    for name, given in (("with_passages", prompts), ("without_passages", bare)):
        kept, replies = _replies(subject, f"hallucination-{name}", given, tokens=tokens, notes=notes)
        stated = [(prompts[number], reply) for number, reply in zip(kept, replies, strict=True) if not declines(reply)]
        figure, sample = _unsupported(f"hallucination.{name}", grounded, [one for one, _ in stated], [reply for _, reply in stated])
        figures.append(figure)
        samples += sample
        if name == "with_passages":
            figures.append(share("abstention.wrong", sum(map(declines, replies)), len(replies), better="lower"))
    _, replies = _replies(subject, "abstention", strange, tokens=tokens, notes=notes)
    figures.append(share("abstention.right", sum(map(declines, replies)), len(replies), better="higher"))
    return Findings(figures=tuple(figures), samples=tuple(samples), notes=tuple(dict.fromkeys(notes)))


def refusal(subject: Subject, prompts: Sequence[Prompt], *, tokens: int) -> Findings:
    """`refusal.benign`: share of harmless prompts whose greedy reply turns them down."""
    notes: list[str] = []
    kept, replies = _replies(subject, "benign", prompts, tokens=tokens, notes=notes)
    turned = [(prompts[number], reply) for number, reply in zip(kept, replies, strict=True) if declines(reply)]
    samples = [Sample(prompt=turns(prompt.prompt)[-1].content, text=reply, note="a harmless prompt turned down") for prompt, reply in turned[:2]]
    return Findings(figures=(share("refusal.benign", len(turned), len(kept), better="lower"),), samples=tuple(samples), notes=tuple(notes))


def task(subject: Subject, gold: Term, prompts: Sequence[Prompt], *, tokens: int) -> Findings:
    """`gold`: the task's score of four replies to each prompt, sampled at temperature 1; its interval is over prompts."""
    notes: list[str] = []
    kept, replies = _replies(subject, "gold", prompts, tokens=tokens, notes=notes, each=_EACH)
    given = [prompts[number] for number in kept]
    scores = np.asarray(gold(given, replies), np.float64).reshape(-1, _EACH).mean(1)
    samples = [Sample(prompt=turns(given[0].prompt)[-1].content, text=replies[0], note="sampled")] if replies else []
    return Findings(figures=(mean("gold", scores.tolist(), better="higher", seed=subject.seed),), samples=tuple(samples), notes=tuple(notes))


def _replies(subject: Subject, name: str, prompts: Sequence[Prompt], *, tokens: int, notes: list[str], each: int = 1) -> tuple[list[int], list[str]]:
    """Replies to the prompts as the server puts them, greedy where there is one each; and the number of the prompt of each."""
    messages = [asked(prompt) for prompt in prompts]
    ids = [subject.encoder.prompt(one) for one in messages]
    fitting = [number for number, one in enumerate(ids) if len(one) + tokens <= subject.longest]
    if len(fitting) < len(prompts):
        notes.append(f"{name}: {len(prompts) - len(fitting)} of {len(prompts)} prompts are longer than the model reads and were left out.")
    numbers = [number for number in fitting for _ in range(each)]
    supplied = [(*prompts[number].passages, *(turn.content for turn in messages[number] if turn.role == "user")) for number in numbers]
    answers = subject.continued(name, [ids[number] for number in numbers], tokens=tokens, temperature=0.0 if each == 1 else 1.0, supplied=supplied)
    return numbers, [subject.text(answer.tokens) for answer in answers]


def _unsupported(name: str, grounded: Groundedness, prompts: Sequence[Prompt], replies: Sequence[str]) -> tuple[Figure, list[Sample]]:
    """The share of each reply's sentences without support, over those that state something, and the worst reply."""
    found = [
        (sum(support < grounded.least for support in supports) / len(supports), number)
        for number, supports in enumerate(grounded.supports(prompts, replies))
        if supports
    ]
    figure = share(name, sum(value for value, _ in found), len(found), better="lower")
    worst = max(found, default=(0.0, 0))
    if not worst[0]:
        return figure, []
    note = f"{worst[0]:.0%} of its sentences are not supported by the passages"
    return figure, [Sample(prompt=turns(prompts[worst[1]].prompt)[-1].content, text=replies[worst[1]], note=note)]

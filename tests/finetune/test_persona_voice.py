"""What the library says of a persona is said by it in the first person, and the rail takes it for the same."""

from __future__ import annotations

import json
import random

from guardrail.finetune.recipes.persona import copying_tasks, paragraphs, voice
from guardrail.finetune.recipes.persona.copying_tasks import Excerpt
from guardrail.finetune.recipes.persona.gold import faithful
from guardrail.index.encoder import MiniLM
from guardrail.protocols import Claim
from guardrail.rails.grounding import GroundingRail
from guardrail.types import Evidence, Hit, Message, Passage, Question, Request

ROWS = [json.loads(line) for line in voice.FILE.read_text(encoding="utf-8").splitlines()]
SENTENCE = "Aristotle holds that virtue lies in a mean."


def test_every_sentence_stands_in_the_library_and_each_that_names_its_persona_is_there() -> None:
    known = {sentence for passage in paragraphs.library() for sentence in passage.sentences}
    named = {sentence for one in paragraphs.library() for sentence in one.sentences if str(one.persona).capitalize() in sentence}
    written = {paragraphs.plain(row["sentence"]) for row in ROWS}
    assert written <= known
    assert named <= written


def test_an_answer_says_it_and_shows_the_passage_as_it_stands() -> None:
    row = next(row for row in ROWS if row["said"] != row["sentence"])
    excerpt = Excerpt(work="", sentences=(row["sentence"], SENTENCE))
    assert copying_tasks.answer((excerpt,), random.Random(0)) == f"{row['said']} [1] {SENTENCE} [1]"
    assert copying_tasks.row("?", "!", (excerpt,), persona="plato", name="").passages == (f"{row['sentence']} {SENTENCE}",)


def test_gold_takes_both_for_faithful() -> None:
    row = next(row for row in ROWS if row["said"].startswith("I "))
    assert faithful(f"{row['said']} [1]", (row["sentence"],))
    assert faithful(f"{row['sentence']} [1]", (row["sentence"],))


async def test_the_grounding_rail_supports_the_first_person_by_the_third() -> None:
    encoder = MiniLM()
    rail = GroundingRail(encoder)
    judged = 0
    for one in paragraphs.library():
        text = one.text
        changed = [voice.in_person(sentence) for sentence in one.sentences if voice.in_person(sentence) != sentence]
        if not changed:
            continue
        tokens = encoder.encode((text,))[0].tokens
        passage = Passage(id=one.id, source_id=one.id, title="", work=one.work, locator="", persona=str(one.persona), text=text, start=0, end=len(text))
        hit = Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=tokens)
        request = Request(id="", persona=str(one.persona), messages=(Message(role="user", content="?"),))
        evidence = Evidence(question=Question(request=request, text="?"), hits=(hit,))
        for sentence in changed:
            assert (await rail.judge(Claim(evidence=evidence, text=sentence))).verdict.decision == "pass"
        judged += len(changed)
    assert judged > 300

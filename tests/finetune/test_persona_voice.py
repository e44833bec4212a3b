"""What the library says of a persona is said by it in the first person, and the rail takes it for the same."""

from __future__ import annotations

import json
import random
import re
from difflib import SequenceMatcher

from guardrail.finetune.recipes.persona import choices, copying_tasks, paragraphs, voice
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


def test_what_they_tell_of_themselves_stands_nowhere_in_the_library() -> None:
    known = {sentence for passage in paragraphs.library() for sentence in passage.sentences}
    told = voice.of_themselves()
    assert len({one.sentence for one in told}) == len(told) == 900
    assert not known & {one.sentence for one in told}


def test_of_themselves_they_speak_in_the_first_person() -> None:
    for one in voice.of_themselves():
        assert not re.search(r"\bI (?:has|is|says|holds|does|goes|writes)\b|\b(?:me|my|I)'s\b", one.said)
        assert one.said == one.sentence or re.search(r"\b(?:i|me|my|mine|myself)\b", one.said.lower())
        assert SequenceMatcher(None, one.sentence.split(), one.said.split()).ratio() > 0.5


def test_a_spoilt_sentence_has_the_name_alone_changed() -> None:
    one = voice.Told(persona="aristotle", sentence="Aristotle credits his teacher; Aristotle's own part he tells.", said="")
    assert one.spoilt == "I credits his teacher; my own part he tells."


def test_of_agreement_the_better_reply_is_what_they_say() -> None:
    said = {f"{one.said} [1]" for one in voice.of_themselves()}
    found = choices.agreements()
    assert len(found) > 200
    assert all(one.chosen in said and one.rejected not in said for one in found)


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

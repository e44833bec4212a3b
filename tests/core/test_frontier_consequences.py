"""What follows when an output rail objects: masked, marked, or the draft ended as a whole before anything is shown."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from guardrail.enforcement import EnforcedRail
from guardrail.frontier import NO_SOURCE, Frontier, TextCheck
from guardrail.protocols import Claim, Clearing, Judgement, Need, Rail
from guardrail.rails.keywords import KeywordRail
from guardrail.rails.personal_data import PersonalDataRail
from guardrail.settings import Consequence, RailSettings
from guardrail.types import Decision, Evidence, Hit, Message, Passage, Question, Request, Sentence, Stage, Verdict

TEXT = "Prisoners sit in a cave. They see shadows."
REQUEST = Request(id="r", persona="plato", messages=(Message(role="user", content="What is the Cave?"),))


def evidence() -> Evidence:
    import numpy as np

    passage = Passage(id="p", source_id="s", title="t", work="Republic", locator="514a", persona="plato", text=TEXT, start=0, end=len(TEXT))
    hit = Hit(passage=passage, score=1.0, dense=1.0, late=1.0, coverage=1.0, tokens=np.zeros((0, 4), np.float32))
    return Evidence(question=Question(request=REQUEST, text=REQUEST.text), hits=(hit,))


class Verbatim:
    """A real judge in small: a sentence is supported if the passage holds it."""

    id = "verbatim"
    version = "1"
    stage: Stage = "output"
    reach = 0
    needs: frozenset[Need] = frozenset({"passages"})

    async def judge(self, claim: Claim) -> Judgement:
        start = TEXT.find(claim.text)
        verdict = Verdict(rail=self.id, rail_version="1", stage="output", decision="pass" if start >= 0 else "abstain")
        sentence = Sentence(
            start=0, end=len(claim.text), support=float(start >= 0), passage=0 if start >= 0 else None, source_start=start, source_end=start + 1
        )
        return Judgement(verdict=verdict, sentence=sentence)


DECISIONS: dict[Consequence, Decision] = {"redact": "modify", "abstain": "abstain"}


def text_check(rail: Rail[Claim], consequence: Consequence) -> TextCheck:
    settings = RailSettings(id=rail.id, stage="output")
    enforced = EnforcedRail(rail, settings, consequence=consequence, decision=DECISIONS.get(consequence))
    return TextCheck(reach=rail.reach, check=enforced.check, clearing=rail if isinstance(rail, Clearing) else None, consequence=consequence)


def split(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


async def run(pieces: list[str], *checks: TextCheck, judge: bool = False, unsupported: Consequence = "drop") -> tuple[list[str], Frontier]:
    frontier = Frontier(evidence(), judge=Verbatim().judge if judge else None, text_checks=checks, unsupported=unsupported)
    shown = [await frontier.push(piece, final=number == len(pieces) - 1) for number, piece in enumerate(pieces)]
    return shown, frontier


CUTS = st.lists(st.integers(0, 120), max_size=8)
CONTACT = "Write to the curator at jo.smith@example.org, or ask at the door. Her card is 4111 1111 1111 1111, she says."


@given(CUTS)
async def test_what_a_rail_masks_never_leaves_in_any_split(cuts: list[int]) -> None:
    shown, _ = await run(split(CONTACT, cuts), text_check(PersonalDataRail("output"), "redact"))
    assert "".join(shown) == "Write to the curator at [EMAIL], or ask at the door. Her card is [PAYMENT_CARD], she says."


@given(CUTS)
async def test_a_masked_phrase_is_masked_in_every_split(cuts: list[int]) -> None:
    rail = KeywordRail("output", phrases=["the door"])
    shown, frontier = await run(split(CONTACT, cuts), text_check(rail, "redact"))
    assert "".join(shown) == frontier.released == CONTACT.replace("the door", "[PHRASE]")


@given(CUTS)
async def test_what_begins_inside_a_masked_stretch_is_masked_to_its_end(cuts: list[int]) -> None:
    rails = KeywordRail("output", phrases=["curator at jo"]), PersonalDataRail("output"), KeywordRail("output", patterns=[r"org, or \b"])
    shown, frontier = await run(split(CONTACT, cuts), *(text_check(rail, "redact") for rail in rails))
    assert "".join(shown) == frontier.released == "Write to the [PHRASE]ask at the door. Her card is [PAYMENT_CARD], she says."


async def test_citations_stand_at_their_sentence_in_the_masked_text() -> None:
    shown, frontier = await run([TEXT], text_check(KeywordRail("output", phrases=["cave"]), "redact"), judge=True)
    assert "".join(shown) == "Prisoners sit in a [PHRASE]. [1] They see shadows. [1]"
    first, second = (frontier.released[citation.answer_start : citation.answer_end] for citation in frontier.citations)
    assert (first, second) == ("Prisoners sit in a [PHRASE].", "They see shadows.")


@given(CUTS)
async def test_a_draft_that_may_be_written_again_shows_nothing_before_its_end(cuts: list[int]) -> None:
    shown, frontier = await run(split(CONTACT, cuts), text_check(KeywordRail("output", phrases=["her card"]), "retry"))
    assert "".join(shown) == ""
    assert frontier.consequence == "retry"


async def test_a_held_draft_that_holds_nothing_bad_is_shown_at_its_end() -> None:
    shown, frontier = await run([TEXT[:20], TEXT[20:]], text_check(KeywordRail("output", phrases=["her card"]), "retry"))
    assert shown == ["", TEXT]
    assert frontier.blocked is None


async def test_a_rail_that_abstains_ends_the_draft() -> None:
    shown, frontier = await run([CONTACT], text_check(KeywordRail("output", phrases=["her card"]), "abstain"))
    assert ("".join(shown), frontier.consequence) == ("", "abstain")


async def test_an_unsupported_sentence_is_marked_where_grounding_marks() -> None:
    shown, frontier = await run(["They see shadows. The moon is cheese."], judge=True, unsupported="mark")
    assert "".join(shown) == f"They see shadows. [1] The moon is cheese. {NO_SOURCE}"
    assert len(frontier.citations) == 1


async def test_one_unsupported_sentence_ends_the_draft_where_grounding_abstains() -> None:
    shown, frontier = await run(["They see shadows. The moon is cheese."], judge=True, unsupported="abstain")
    assert ("".join(shown), frontier.consequence) == ("", "abstain")

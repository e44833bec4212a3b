"""No part of a value leaves before it is known: the personal_data rail over every split of a text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrail.frontier import Frontier, TextCheck
from guardrail.protocols import Claim
from guardrail.rails.personal_data import KINDS, PersonalDataRail, cleared, find
from guardrail.rails.vault import redacted
from guardrail.types import Evidence, Message, Question, Request

BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
VALUES = {
    "private_key": f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\nMzEf==\n-----END RSA PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "api_key": "sk-proj-Zt7Qw3LmX9vB2nK5rT8yU1iO4pA6sD",
    "credential": "password: correct7horse",
    "email": "john.smith+tag@mail.example.co.uk",
    "iban": "GB29 NWBK 6016 1331 9268 19",
    "payment_card": "4111 1111 1111 1111",
    "us_ssn": "536-90-4399",
    "uk_nino": "AB 12 34 56 C",
    "national_id": "2 95 10 99 126 111 93",
    "phone": "+41 (0)96 471 07 95 ext. 12",
    "ip_address": "203.0.113.7",
}
OTHERS = (
    "DE89370400440532013000",
    "gb29 nwbk 6016 1331 9268 19",
    "ro53 ymas wq4a p57c qg9h vbpc",
    "no93\u00a08601\u00a01117\u00a0947",
    "(212) 555-0123",
    "4111111111111111",
    "phone: 451 5986",
    "020 7946 0958",
    "my SSN is 536 90 4399",
    "756.9217.0769.85",
    "RSSMRA85T10A562S",
    "postgres://app:s3cr3t@db.example.org/app",
    f"-----BEGIN PRIVATE KEY-----\n{BODY}\n",
    "-----BEGIN PRIVATE KEY----- ",
    "905-674-3793@example.org",
    "451 5986 (mobile)",
    "451 5986, office",
    "a 72 128 827 is my new direct number",
    "sample 465 2815 keeps calling",
    "Ana: 609 275 696\n",
    "it is 432 03 163 or 55-71-77-35",
    "Boston, MA 02110 0546 123 456",
)
PIECES = st.one_of(
    st.sampled_from([*VALUES.values(), *OTHERS]),
    st.sampled_from(
        [" ", "\n", ", ", ". ", "the ", "THE ", "in 1999 ", "call me ", "secret key is ", "-", "(", ")", "+", "@", "x", "ext ", "12 ", "AB ", "3", "."]
    ),
    st.text(alphabet="aZ19 @.-+(:/=_\n", max_size=6),
)
TEXTS = st.lists(PIECES, max_size=5).map("".join)
CUTS = st.lists(st.integers(0, 400), max_size=5)
MASKING = PersonalDataRail("output", actions=dict.fromkeys(KINDS, "mask"))
BLOCKING = PersonalDataRail("output", actions=dict.fromkeys(KINDS, "block"))
MIXED = PersonalDataRail("output", actions={**dict.fromkeys(KINDS, "mask"), "payment_card": "block", "phone": "block", "credential": "pass"})
CONTEXT = 32
REQUEST = Request(id="r", persona="plato", messages=(Message(role="user", content="?"),))
EVIDENCE = Evidence(question=Question(request=REQUEST, text="?"), hits=())


@given(TEXTS)
@settings(max_examples=80, deadline=None)
def test_what_is_cleared_stays_as_it_was_found(text: str) -> None:
    whole = find(text)
    before = 0
    for size in range(len(text) + 1):
        upto = cleared(text[:size])
        assert before <= upto <= size
        assert upto >= size - MASKING.reach
        assert not any(finding.start < upto < finding.end for finding in whole)
        assert [one for one in find(text[:size]) if one.start < upto] == [one for one in whole if one.start < upto]
        before = upto


@given(TEXTS, CUTS)
@settings(max_examples=250, deadline=None)
@example(VALUES["uk_nino"], [3])
@example("call 4111 1111 1111 1111 12", [10])
def test_a_masked_stream_is_the_masked_whole_at_every_split(text: str, cuts: list[int]) -> None:
    """The text is seen as a frontier shows it: from 32 characters before what was released last."""
    edges = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    shown, released = "", 0
    for edge in edges:
        window = max(0, released - CONTEXT)
        part = text[window:edge]
        upto = len(part) if edge == len(text) else MASKING.clear(Claim(evidence=EVIDENCE, text=part, start=released - window))
        findings = [one for one in MASKING.find(part, start=released - window) if one.start < upto]
        assert all(finding.end <= upto for finding in findings)
        shown += redacted(part[:upto], findings)[len(part[: released - window]) :]
        released = max(released, window + upto)
    assert shown == redacted(text, find(text))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", ["It is {}, so keep it", "Dear\n{}\nyours", "({})"])
async def test_no_character_of_a_value_leaves_when_it_blocks_at_any_split(kind: str, around: str) -> None:
    value = VALUES[kind]
    text = around.format(value)
    begins = find(text)[0].start
    for cut in range(len(text) + 1):
        shown, blocked = await released(BLOCKING, [text[:cut], text[cut:]])
        assert blocked, cut
        # A bracket or a name that stands in one word with the value waits with it.
        assert text[:begins].startswith(shown), cut
        assert " " not in text[len(shown) : begins].rstrip(), cut


@given(TEXTS, CUTS)
@settings(max_examples=150, deadline=None)
async def test_a_blocked_stream_ends_alike_at_every_split(text: str, cuts: list[int]) -> None:
    whole, blocked = await released(BLOCKING, [text])
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert await released(BLOCKING, [text[a:b] for a, b in itertools.pairwise(edges)]) == (whole, blocked)
    assert blocked == bool(find(text))
    assert len(whole) <= min((finding.start for finding in find(text)), default=len(text))


@given(TEXTS, CUTS)
@settings(max_examples=150, deadline=None)
async def test_a_stream_that_may_be_masked_or_blocked_ends_alike_at_every_split(text: str, cuts: list[int]) -> None:
    whole, blocked = await released(MIXED, [text])
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert await released(MIXED, [text[a:b] for a, b in itertools.pairwise(edges)]) == (whole, blocked)
    assert blocked == any(MIXED.actions[kind] == "block" for finding in MIXED.find(text) for kind in MIXED.actions if kind == finding.type)
    if not blocked:
        assert whole == redacted(text, MIXED.masked(MIXED.find(text)))


@pytest.mark.parametrize("said", ["is my new direct number", "keeps calling me", "is the line we use", ", office", "(mobile)"])
def test_a_number_waits_for_what_is_said_of_it(said: str) -> None:
    text = f"A sample 72 128 827 {said}, yes" if said[0] != "," else f"A sample 72 128 827{said}, yes"
    (finding,) = find(text)
    assert not any(finding.start < cleared(text[:size]) < finding.end for size in range(len(text)))
    assert all(cleared(text[:size]) <= finding.start for size in range(finding.start, finding.end + len(said) - 3))


def test_many_numbers_in_a_row_take_no_time_to_speak_of() -> None:
    text = "2 95 10 99 126 111 932 95 10 99 126 111 932 95 10 99 126 111 93-----BEGIN RSA PRIVATE KEY----"
    assert cleared(text) <= len(text)  # it did not end before each word was read in one way only


def test_only_what_may_become_a_value_is_held_back() -> None:
    for text, held in (
        ("They went home ", 0),
        ("They went home", 4),
        ("in 1999 the ", 0),
        ("in 1999 ", 5),
        ("Phone: +41 (0)96 ", 10),
        ("AB ", 3),
        ("THE END ", 0),
    ):
        assert cleared(text) == len(text) - held, text


async def released(rail: PersonalDataRail, pieces: list[str]) -> tuple[str, bool]:
    frontier = Frontier(EVIDENCE, judge=None, text_checks=[TextCheck(reach=rail.reach, check=rail.check, clearing=rail, decide=rail.decide)])
    shown = ""
    for number, piece in enumerate(pieces):
        shown += await frontier.push(piece, final=number == len(pieces) - 1)
    return shown, frontier.blocked is not None

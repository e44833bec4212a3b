"""What the personal_data rail finds, and what it leaves alone."""

from __future__ import annotations

import base64
import zlib

import pytest

from guardrail.errors import ConfigurationError
from guardrail.protocols import Claim, Screening
from guardrail.rails.personal_data import DEFAULT_KINDS, KINDS, Kind, PersonalDataRail, find
from guardrail.types import Evidence, Message, Question, Request

REQUEST = Request(id="r", persona="plato", messages=(Message(role="user", content="?"),))
KEY = "sk-proj-Zt7Qw3LmX9vB2nK5rT8yU1iO4pA6sD"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\nMzEf==\n-----END RSA PRIVATE KEY-----"


def github_token() -> str:
    random = "Zt7Qw3LmX9vB2nK5rT8yU1iO4pA6sD"
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[digit] + digits
    return f"ghp_{random}{digits}"


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.type, text[finding.start : finding.end]) for finding in find(text)]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("email", "john.o'neil+tag@mail.example.co.uk", "Write to (mailto:{}), please."),
        ("email", "Åsa.Lindström@exämple.se", "{}."),
        ("phone", "+44 20 7946 0958", "Ring {} tomorrow"),
        ("phone", "+41 (0)96 471 07 95", "{}\nFax"),
        ("phone", "(212) 555-0123 ext. 42", "It is {}, I think"),
        ("phone", "001-253-366-9781", "or {}"),
        ("phone", "020 7946 0958", "the number {} in London"),
        ("phone", "451 5986", "Phone: {}"),
        ("phone", "451 5986", "{} (mobile)"),
        ("phone", "(602) 272-9781", "AZ 85001 {}"),
        ("phone", "+1 602-272-9781", "AZ: {}"),
        ("phone", "723 813 266", "Praha 11000 {} mobile"),
        ("phone", "72 128 827", "teléfono {}"),
        ("phone", "99 577450", "Plato\nT: {}"),
        ("phone", "0905674379", "| Ana Brandt | {} | Leeds |"),
        ("phone", "609 275 696", "Ana Brandt, {}"),
        ("phone", "22 95 68 21", "Ana Brandt\n{}\nOslo"),
        ("phone", "432 03 163", "I got it from {}, but nobody was there"),
        ("phone", "(72) 754-186", "try {} then"),
        ("phone", "8 905 123 45 67", "or {}"),
        ("phone", "432 03 163", "Boston, MA 02110 {}"),
        ("phone", "451 5986", "{} is my new number"),
        ("phone", "+389(0)70123456", "in Skopje {}"),
        ("phone", "020 7946 0958, ext. 12", "Name,Phone\nAna,{}"),
        ("payment_card", "4111 1111 1111 1111", "Charge {} today"),
        ("payment_card", "4111-1111-1111-1111", "Charge {} today"),
        ("payment_card", "3782 822463 10005", "{}"),
        ("payment_card", "5555555555554444", "pay with {}."),
        ("payment_card", "4111 1111 1111 1111", "{} 123"),
        ("iban", "GB29 NWBK 6016 1331 9268 19", "My account: {} AND more"),
        ("iban", "DE89370400440532013000", "to {},"),
        ("iban", "gb29nwbk60161331926819", "to {}"),
        ("iban", "de89 3704 0044 0532 0130 00", "to {} with love"),
        ("iban", "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "to {}"),
        ("us_ssn", "536-90-4399", "({})"),
        ("us_ssn", "536904399", "my social security number is {}"),
        ("uk_nino", "AB 12 34 56 C", "National insurance {}."),
        ("uk_nino", "ab123456c", "ni {}"),
        ("national_id", "756.9217.0769.85", "AHV {}"),
        ("national_id", "44051401359", "PESEL: {}"),
        ("national_id", "RSSMRA85T10A562S", "codice fiscale {}"),
        ("national_id", "12345678Z", "DNI {}"),
        ("national_id", "2 95 10 99 126 111 93", "NIR {}"),
        ("ip_address", "203.0.113.7", "from {} again"),
        ("ip_address", "2001:db8::7334", "from {}"),
        ("api_key", "AKIAIOSFODNN7EXAMPLE", "id={};"),
        ("api_key", github_token(), "git clone with {}"),
        ("api_key", KEY, "export OPENAI_API_KEY={}"),
        ("api_key", "sk-ant-api03-Zt7Qw3LmX9vB2nK5rT8yU1iO4pA6sD-Zt7Qw3LmX9", '"{}"'),
        ("api_key", "xox" + "b-123456789012-abcdefGHIJKL", "{}"),
        ("api_key", "AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "{}"),
        ("api_key", "sk_live" + "_4eC39HqLyjWDarjtT1zdp7dc", "{}"),
        ("jwt", JWT, "Authorization: Bearer {}"),
        ("private_key", PEM, "Here:\n{}\nKeep it."),
        ("private_key", PEM.replace("\n", "\\n"), '"key": "{}"'),
        ("credential", "hunter2!", "my password is {}"),
        ("credential", "c2VjcmV0LXZhbHVlLTEyMzQ1", "client_secret: '{}'"),
        ("credential", "s3cr3t", "postgres://app:{}@db.example.org/app"),
    ],
)
def test_a_value_is_found_with_its_exact_span(kind: str, value: str, text: str) -> None:
    assert found(text.format(value)) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Republic VII 514a-517c, Metaphysics 1094a1-1095b13, Laws 624a1 and 716c; see also pp. 102-117, 1994-1998.",
        "ISBN 978-0-14-044914-3, or ISBN 0140449140, DOI 10.1000/182, 2022-04-13 12:20:39, 13.04.2022 - 15.04.2022",
        "4111 1111 1111 1112",  # Luhn
        "GB29 NWBK 6016 1331 9268 18",  # mod 97
        "000-12-3456 and 666-12-3456 and 987-65-4320",  # never issued
        "12345678A",  # wrong check letter
        "The password is important, and the token of friendship is virtue. api_key = YOUR_API_KEY, password: ********, token=${TOKEN}",
        "sk-learn-and-other-things-in-python, risk-taking",
        "logo@2x.png and me @ home",
        "3.14159265358979, 1,234,567,890 and 1 234 567 people, 10 000 000 workers, 427/347 BC, A:B::C:D",
        "127.0.0.1 and 999.1.1.1",
        "DE 03262 2437 Main Street",
        "Meet me at 7943 2027 Prospect Road, Boston, MA 02110-1234",
        "My order number is 287345960, policy number 943-192-292, customer number 12706275",
        "Population of the city\n123 456 789\nsource: census, 27 08 1948, law 3549/2007",
        "Table 1\n1945 942 917\n1955 712 337",
        "(1914) 690(11), 471-6341; lines 912-382 68; 8350 - 3329 / 33; the ratio 076/5693; 22 95 68 21 were drawn",
        "the number 896.326.572 is not prime, sample 465 2815 was lost",
        "-----BEGIN PUBLIC KEY-----",
        "eyJub3Rhand0IjoxfQ.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmN",  # a header without algorithm
    ],
)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_short_number_counts_only_after_a_word_that_announces_it() -> None:
    assert found("The sum is 44051401359.") == []
    assert found("The sum is 536904399.") == []


def test_a_github_token_with_a_wrong_checksum_is_less_certain() -> None:
    good = find(github_token())[0].score
    wrong = github_token()[:-1] + ("A" if github_token()[-1] != "A" else "B")
    assert good == 1.0
    assert find(wrong)[0].score < good


def test_a_key_without_its_footer_is_masked_to_its_last_whole_line() -> None:
    text = f"-----BEGIN PRIVATE KEY-----\n{BODY}\nand so on"
    assert [text[one.start : one.end] for one in find(text)] == [f"-----BEGIN PRIVATE KEY-----\n{BODY}"]


def test_the_first_of_two_that_overlap_counts_and_then_the_more_specific() -> None:
    assert found("password = 4111111111111111a@example.org") == [("credential", "4111111111111111a@example.org")]
    assert found("905-674-3793@example.org") == [("email", "905-674-3793@example.org")]


def test_only_the_kinds_asked_for_are_found() -> None:
    text = "a@example.org +44 20 7946 0958"
    assert [finding.type for finding in find(text, kinds=("phone",))] == ["phone"]


def test_a_national_number_needs_its_region() -> None:
    text = "We met: 030 901820 was engaged"
    assert find(text, regions=()) == ()
    assert [finding.type for finding in find(text, regions=("DE",))] == ["phone"]


async def test_the_gravest_action_decides() -> None:
    rail = PersonalDataRail("input", actions={"email": "mask", "api_key": "block", "phone": "pass"})
    for text, decision, count in (("a@example.org", "modify", 1), (f"a@example.org {KEY}", "block", 2), ("+44 20 7946 0958", "pass", 1), ("hello", "pass", 0)):
        verdict = await rail.check(Screening(request=REQUEST, text=text, encoding=None))
        assert (verdict.decision, len(verdict.findings)) == (decision, count)


async def test_the_reason_holds_nothing_of_the_text() -> None:
    verdict = await PersonalDataRail("input").check(Screening(request=REQUEST, text="a@example.org", encoding=None))
    assert verdict.reason == "holds personal data or a secret"


async def test_an_output_check_begins_where_the_claim_says() -> None:
    claim = Claim(evidence=Evidence(question=Question(request=REQUEST, text="?"), hits=()), text="a@example.org b@example.org", start=14)
    verdict = await PersonalDataRail("output").check(claim)
    assert [finding.start for finding in verdict.findings] == [14]


def test_what_blocks_is_not_hidden_by_what_is_masked() -> None:
    rail = PersonalDataRail("output", actions={"email": "mask", "phone": "block"})
    assert [finding.type for finding in rail.find("905-674-3793.smith@example.org")] == ["phone"]


@pytest.mark.parametrize("actions", [{"mail": "mask"}, {"email": "hide"}])
def test_an_unknown_kind_or_action_is_refused(actions: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        PersonalDataRail("input", actions=actions)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        PersonalDataRail("input", regions=("Greece",))


async def test_every_kind_passes_its_self_test() -> None:
    await PersonalDataRail("input", actions=dict.fromkeys(KINDS, "mask")).warm_up()


def test_addresses_of_machines_are_left_alone_by_default() -> None:
    assert set(KINDS) - set(DEFAULT_KINDS) == {"ip_address"}


def test_a_long_hostile_text_is_searched_in_bounded_time() -> None:
    """Every one of these was chosen to make a pattern run away; a quadratic one would take minutes."""
    for piece in ("1 ", "12 34 ", "a@", "a.", "(1-", "password:", "-----BEGIN ", "eyJ", "AB12 ", "sk-a1", "://a:", "+1", "A1b2"):
        find(piece * (20_000 // len(piece)))


def test_a_kind_is_a_plain_name() -> None:
    kinds: tuple[Kind, ...] = KINDS
    assert all(kind.replace("_", "").isalpha() for kind in kinds)


def test_a_token_in_base64_is_not_decoded() -> None:
    assert found(base64.b64encode(b"a@example.org").decode()) == []

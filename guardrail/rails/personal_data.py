"""Personal data and secrets in a message or in an answer: what they are, where they stand, and what a deployment does about them."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Literal, get_args

from phonenumbers import SUPPORTED_REGIONS

from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Claim
from guardrail.rails import identifiers, secrets
from guardrail.rails.addresses import emails, ip_addresses
from guardrail.rails.phone_numbers import phone_numbers
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    from guardrail.protocols import Need, Screening
    from guardrail.types import Decision, Stage

Kind = Literal["private_key", "jwt", "api_key", "credential", "email", "iban", "payment_card", "us_ssn", "uk_nino", "national_id", "phone", "ip_address"]
"""What can be found; of two that begin at one place the one named first counts."""
Action = Literal["mask", "block", "pass"]

KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "ip_address")
REGIONS = tuple(
    "AR AT AU BA BD BE BG BR CH CL CN CO CY CZ DE DK EE ES FI FR GB GE GR HK HR HU IE IL IN IS IT JP KR LT LU LV MX NL NO NZ PL PT RO RS RU SE SG SI SK TH TN"
    " TR TW UA US VN ZA".split()
)
"""Countries whose telephone numbers are known as they are dialled from within."""
_RANK: dict[str, int] = {kind: rank for rank, kind in enumerate(KINDS)}

_DIGIT_KINDS = frozenset({"iban", "payment_card", "us_ssn", "uk_nino", "national_id", "phone", "ip_address"})
_DIGITS = re.compile(r"\d(?:\D{0,12}\d){3}")
"""Less than this no number needs."""
_FINDERS: dict[Kind, Callable[[str, int], Iterator[Finding]]] = {
    "private_key": secrets.private_keys,
    "jwt": secrets.json_web_tokens,
    "api_key": secrets.api_keys,
    "credential": secrets.credentials,
    "email": emails,
    "iban": identifiers.ibans,
    "payment_card": identifiers.payment_cards,
    "us_ssn": identifiers.us_ssns,
    "uk_nino": identifiers.uk_ninos,
    "national_id": identifiers.national_ids,
    "ip_address": ip_addresses,
}
_RUN = "".join(map(chr, (*range(0x21, 0x7F), *range(0xC0, 0x250))))
"""The characters that a finding in one piece can consist of."""
_CHAIN_REACH = 96
"""More than the characters of the longest number in groups."""
_WORD = "[!-~\u00c0-\u024f]"
_GAP = "[ \u00a0\\t]{1,3}"
_NUMBERED = rf"(?=[!-/:-~\u00c0-\u024f]*+\d){_WORD}++"
"""A word with a digit in it, whole: what could be read in several ways would take time without end."""
_NAME = re.compile(r"\w+")
_CHAIN = re.compile(
    # An account number in small letters ...
    r"(?<!\w)[a-z]{2}\d\d(?:[ \u00a0-][a-z0-9]{4}){0,7}(?:[ \u00a0-]\w*)?\Z|"
    # What any other number in several groups can begin with ...
    rf"(?<!{_WORD})(?:{_NUMBERED}|{_WORD}*[+(]{{1,2}}|(?:{_WORD}*[!-/:-@\[-^`{{-~])?[A-Z]{{2}})"
    # ... go on with ...
    rf"(?:{_GAP}(?:{_NUMBERED}|[A-Z]{{1,4}}|[().,/+#-]{{1,3}}|(?i:x|ext(?:ension)?[.:]?)))*"
    # ... and break off in: a word, or what is said of the number ("is my new number").
    rf"(?:{_GAP}{_WORD}*| (?:is|keeps?)(?: \w{{1,10}}){{0,3}}(?: \w*)?)?\Z"
)

_LONG = 4_000
"""Characters from which on a check is left to the pool."""
_HARMLESS = "See Republic VII 514a-517c and Metaphysics 1072b14-30, written between 427 and 347 BC (Oxford 1998, ISBN 978-0-14-044914-3, pp. 102-117)."
_EXAMPLES: dict[Kind, str] = {
    # Made up, or published as examples by those who issue them.
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "api_key": "AKIAIOSFODNN7EXAMPLE",
    "credential": "password: correct7horse",
    "email": "socrates@example.org",
    "iban": "GB29 NWBK 6016 1331 9268 19",
    "payment_card": "4111 1111 1111 1111",
    "us_ssn": "SSN 536-90-4399",
    "uk_nino": "AB 12 34 56 C",
    "national_id": "756.9217.0769.85",
    "phone": "+44 20 7946 0958",
    "ip_address": "203.0.113.7",
}


def find(text: str, *, kinds: Iterable[Kind] = KINDS, regions: tuple[str, ...] = REGIONS, start: int = 0) -> tuple[Finding, ...]:
    """Personal data and secrets of `kinds` that begin at `start` or later, in order and without overlap. `type` is the kind, `score` how sure it is (0 to 1).

    Of two findings that overlap the one that begins first counts, then the kind named first in `Kind`, then the longer. Whether something is found at a
    place depends on the 30 characters before it and on what follows, never on another finding. `regions` are the countries (ISO 3166) whose telephone
    numbers are known without their international prefix.
    """
    wanted = frozenset(kinds)
    digits = _DIGITS.search(text, start) is not None
    found: list[Finding] = []
    for kind, finder in _FINDERS.items():
        if kind in wanted and (digits or kind not in _DIGIT_KINDS):
            found.extend(finder(text, start))
    if digits and "phone" in wanted:
        found.extend(phone_numbers(text, start, regions=regions))
    if len(found) < 2:
        return tuple(found)
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda finding: (finding.start, _RANK[finding.type], -finding.end)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return tuple(kept)


def cleared(text: str, *, kinds: Iterable[Kind] = KINDS, regions: tuple[str, ...] = REGIONS, start: int = 0) -> int:
    """How far `text` can be judged before more of it has come: what is found up to there stays, and nothing else begins there, whatever follows.

    Held back are the last word, since any word may become an e-mail address, a number in groups that has not ended, and a private key without its footer.
    """
    findings = find(text, kinds=kinds, regions=regions, start=start)
    at = _first_open(text, start)
    for finding in findings:
        # What begins inside a finding that has ended is part of it.
        if finding.start < at < finding.end:
            at = _first_open(text, finding.end)
    return at


def _first_open(text: str, start: int) -> int:
    """The first place at `start` or later where a finding may begin that reads on behind the end of `text`."""
    size = len(text)
    at = max(start, len(text.rstrip(_RUN)), size - secrets.LONGEST_TOKEN)
    # Cut out, so that a chain may begin where the last finding ended, or within a word longer than the longest number.
    tail = max(start, size - _CHAIN_REACH)
    if tail > start and (rest := _NAME.match(text, tail)) and _NAME.match(text, tail - 1):
        tail = rest.end()
    chain = _CHAIN.search(text[tail:])
    if chain is not None:
        at = min(at, tail + chain.start())
    key = secrets.open_private_key(text, start)
    return at if key is None else min(at, key)


class PersonalDataRail:
    """Masks or blocks personal data and secrets. Made for input and output.

    `actions` says for each kind whether it is masked (decision `modify`), blocks the text (`block`) or is only reported (`pass`); a kind that is not named
    is not looked for. Spans are offsets into the text that was checked. Raises ConfigurationError on an unknown kind, action or region.
    """

    id = "personal_data"
    version = "1"
    needs: frozenset[Need] = frozenset()
    reach = secrets.LONGEST_KEY

    def __init__(self, stage: Stage, *, actions: Mapping[str, str] | None = None, regions: Iterable[str] = REGIONS, pool: Executor | None = None) -> None:
        self.stage = stage
        self._pool = pool
        self.regions = tuple(regions)
        self.actions: dict[Kind, Action] = _checked_actions(dict.fromkeys(DEFAULT_KINDS, "mask") if actions is None else actions)
        self._blocking = frozenset(kind for kind, action in self.actions.items() if action == "block")
        _check_regions(self.regions)

    def find(self, text: str, *, start: int = 0) -> tuple[Finding, ...]:
        """Everything of the configured kinds that begins at `start` or later, without overlap; what blocks goes before what does not."""
        findings = find(text, kinds=self.actions, regions=self.regions, start=start)
        if not self._blocking or len(self._blocking) == len(self.actions):
            return findings
        blocking = find(text, kinds=self._blocking, regions=self.regions, start=start)
        if not blocking:
            return findings
        rest = (one for one in findings if one.type not in self._blocking and not any(one.start < other.end and other.start < one.end for other in blocking))
        return tuple(sorted((*blocking, *rest), key=lambda finding: finding.start))

    def clear(self, subject: Claim) -> int:
        """Up to where every finding is known, whatever follows."""
        upto = cleared(subject.text, kinds=self.actions, regions=self.regions, start=subject.start)
        if not self._blocking or len(self._blocking) == len(self.actions):
            return upto
        # What blocks may begin within something else, and takes its place.
        return min(upto, cleared(subject.text, kinds=self._blocking, regions=self.regions, start=subject.start))

    def decide(self, findings: Iterable[Finding]) -> Decision:
        """The gravest that is done about any of `findings`."""
        taken = {self.actions[kind] for finding in findings for kind in self.actions if kind == finding.type}
        return "block" if "block" in taken else "modify" if "mask" in taken else "pass"

    def masked(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Those of `findings` that this deployment masks."""
        return tuple(finding for finding in findings if finding.type in self.actions and self.actions[finding.type] == "mask")

    async def check(self, subject: Screening | Claim) -> Verdict:
        """`block` where a kind that blocks is found, else `modify` where one is found that is to be masked, else `pass`; with a finding for each."""
        began = time.perf_counter()
        start = subject.start if isinstance(subject, Claim) else 0
        if self._pool is not None and len(subject.text) > _LONG:
            loop = asyncio.get_running_loop()
            findings = await loop.run_in_executor(self._pool, lambda: self.find(subject.text, start=start))
        else:
            findings = self.find(subject.text, start=start)
        decision = self.decide(findings)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision=decision,
            score=max((finding.score for finding in findings), default=0.0) if decision != "pass" else 0.0,
            findings=findings,
            reason=None if decision == "pass" else "holds personal data or a secret",
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """Every configured kind must be found in its example, and none in a text full of references and years. Raises RailError otherwise."""
        if self.find(_HARMLESS):
            raise RailError("The personal_data rail finds personal data in a text without any.")
        for kind in self.actions:
            if kind not in {finding.type for finding in find(_EXAMPLES[kind], kinds=(kind,), regions=self.regions)}:
                raise RailError(f"The personal_data rail misses its own example of the kind {kind}.")


def _checked_actions(actions: Mapping[str, str]) -> dict[Kind, Action]:
    checked: dict[Kind, Action] = {}
    for kind in KINDS:
        action = actions.get(kind)
        for known in get_args(Action):
            if action == known:
                checked[kind] = known
        if action is not None and kind not in checked:
            raise ConfigurationError(f"personal_data.actions.{kind} is {action!r}: write mask, block or pass.")
    unknown = sorted(set(actions) - set(KINDS))
    if unknown:
        raise ConfigurationError(f"personal_data.actions names {unknown[0]!r}, which is no kind: the kinds are {', '.join(KINDS)}.")
    return checked


def _check_regions(regions: Iterable[str]) -> None:
    for region in regions:
        if region not in SUPPORTED_REGIONS:
            raise ConfigurationError(f"personal_data.regions names {region!r}: write the two capital letters of a country, e.g. GB.")

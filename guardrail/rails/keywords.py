"""A deployer's block list: literal phrases and bounded regular expressions."""

from __future__ import annotations

import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from guardrail import phrases as phrases_module
from guardrail.errors import ConfigurationError, RailError
from guardrail.protocols import Claim
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.protocols import Need, Screening
    from guardrail.types import Stage

regex_parser = import_module("re._parser")
"""The only place that knows how long a pattern can match."""


class KeywordRail:
    """Blocks a text that holds one of `phrases` or matches one of `patterns`. Made for input and output.

    A phrase matches whatever its case, at word boundaries, with any white space (up to 8 characters) for a space. A pattern is a Python regular expression;
    no match of it may be longer than `max_length`, so `.*` is refused and `.{0,80}` is not. Raises ConfigurationError on a pattern that is not of this kind.

    `reach` is the length of the longest possible match and one more, for the boundary: with it a stream and the whole text give the same verdict.
    """

    id = "keywords"
    version = "1"
    needs: frozenset[Need] = frozenset()

    def __init__(self, stage: Stage, phrases: Sequence[str] = (), patterns: Sequence[str] = (), *, max_length: int = 200) -> None:
        self.stage = stage
        self._phrases = tuple(phrases)
        normal = tuple(map(phrases_module.normal, phrases))
        if not all(normal):
            raise ConfigurationError("keywords.phrases holds an empty phrase: remove it.")
        widths = [phrases_module.longest(phrase) for phrase in normal]
        self._rules = [("phrase", phrases_module.compiled(normal))] if normal else []
        for number, pattern in enumerate(patterns, start=1):
            widths.append(_width(pattern, number, max_length))
            self._rules.append(("pattern", re.compile(pattern)))
        self._begun = phrases_module.compiled(normal, begun=True) if normal else None
        self._pattern_reach = max(widths[len(normal) :], default=-1) + 1
        self.reach = max(widths, default=0) + 1

    def clear(self, subject: Claim) -> int:
        """Up to where every match is known, whatever follows: what is left may be the beginning of a phrase."""
        text = subject.text
        begun = self._begun.search(text, subject.start) if self._begun is not None else None
        return min(len(text) - self._pattern_reach, len(text) if begun is None else begun.start())

    def find(self, text: str, *, start: int = 0, final: bool = True) -> tuple[Finding, ...]:
        """The matches that begin at `start` or after it, in order.

        With `final=False` more text may follow: matches that begin in the last `reach` characters are left out, since what follows may change them.
        """
        horizon = len(text) if final else len(text) - self.reach
        if start > horizon:
            return ()
        found = [
            Finding(type=kind, start=match.start(), end=match.end(), score=1.0)
            for kind, rule in self._rules
            for match in rule.finditer(text, start)
            if match.start() <= horizon and match.end() > match.start()
        ]
        return tuple(sorted(found, key=lambda finding: (finding.start, finding.end)))

    async def check(self, subject: Screening | Claim) -> Verdict:
        """`block` with a finding for every match, `pass` where there is none. Spans are offsets into `subject.text`."""
        began = time.perf_counter()
        findings = self.find(subject.text, start=subject.start if isinstance(subject, Claim) else 0)
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="block" if findings else "pass",
            score=1.0 if findings else 0.0,
            findings=findings,
            reason="on the block list" if findings else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    async def warm_up(self) -> None:
        """Every phrase must be found as it is written, and none inside the empty text. Raises RailError otherwise."""
        if self.find(""):
            raise RailError("The keywords rail blocks the empty text: check its patterns.")
        for phrase in self._phrases:
            if not self.find(f"({phrase})"):
                raise RailError("The keywords rail misses one of its own phrases.")


def _width(pattern: str, number: int, max_length: int) -> int:
    """The longest match of `pattern`, what it looks ahead at included. Raises ConfigurationError where that is more than `max_length`."""
    try:
        parsed = regex_parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigurationError(f"keywords.patterns: pattern {number} is no regular expression: {error}.") from error
    shortest, longest = parsed.getwidth()
    if shortest == 0:
        raise ConfigurationError(f"keywords.patterns: pattern {number} matches the empty text and would block everything.")
    longest += _look_ahead(parsed)
    if longest > max_length:
        raise ConfigurationError(
            f"keywords.patterns: pattern {number} can match more than {max_length} characters: bound its repeats, e.g. `.{{0,80}}` in place of `.*`."
        )
    return int(longest)


def _look_ahead(part: Any) -> int:
    """Characters that look-ahead assertions can read, added up over the whole parsed pattern."""
    total = 0
    if isinstance(part, regex_parser.SubPattern):
        for operation, argument in part:
            if operation in (regex_parser.ASSERT, regex_parser.ASSERT_NOT) and argument[0] > 0:
                total += argument[1].getwidth()[1]
            total += _look_ahead(argument)
    elif isinstance(part, (tuple, list)):
        total = sum(_look_ahead(piece) for piece in part)
    return total

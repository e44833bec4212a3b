"""The system prompt in the reply: runs of its words, and the deployment's canary in any spelling."""

from __future__ import annotations

import base64
import codecs
import secrets as randomness
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from guardrail.errors import ConfigurationError, RailError
from guardrail.normal import skeleton
from guardrail.types import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrail.protocols import Claim, Need
    from guardrail.types import Stage

RUN = 32
"""Letters and digits in a row, whatever stands between them, that are too many to be chance: six or seven words."""
_GAP = 12
"""Most other characters between two letters of a run."""
_HALF = 8
"""Letters and digits in half a canary."""
_SHORTEST = 12
"""Letters and digits of the shortest secret."""
_CANARY_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
"""No vowels, so that no word comes out; nothing that is easily misread."""


def new_canary() -> str:
    """A random marker for a deployment's system prompt: 16 letters and digits, 76 bits."""
    return "".join(randomness.choice(_CANARY_LETTERS) for _ in range(2 * _HALF))


class PromptLeakRail:
    """Blocks a reply that gives away the system prompt.

    Texts are compared by their letters and digits alone, so case, accents, punctuation, spaced-out letters and letters of other scripts make no difference. A
    finding (`system_prompt`) is a run of `RUN` letters that stands in one of the secrets, as it is or in rot13, reversed, base64 or hex; of a shorter secret,
    all of it. What stands in the evidence's passages, in the user's own messages or in `public` may be said.

    The `canary` stands for the rest: put it at the beginning and the end of the prompt, and a model that translates, encodes or reverses the prompt gives
    itself away (`canary`) by the marker, or by either half of it.
    """

    id = "prompt_leak"
    version = "1"
    stage: Stage = "output"
    reach = RUN * (1 + _GAP)
    needs: frozenset[Need] = frozenset({"passages"})

    def __init__(self, secrets: Sequence[str], *, canary: str = "", public: Sequence[str] = (), instructions: bool = True) -> None:
        """`secrets`: texts that must not come out, e.g. the rendered system prompts. `public`: what of them may be said, e.g. a persona's field.

        `instructions`: whether the system messages of a request are secrets too.

        Raises ConfigurationError where the canary or a secret is too short to be told from chance.
        """
        letters = skeleton(canary).text
        if canary and len(letters) < 2 * _HALF:
            raise ConfigurationError(f"prompt_leak: the canary has {len(letters)} letters and digits; it needs at least {2 * _HALF}.")
        shortest = min((len(skeleton(secret).text) for secret in secrets), default=RUN)
        if shortest < _SHORTEST:
            raise ConfigurationError(f"prompt_leak: a secret has {shortest} letters and digits; it needs at least {_SHORTEST}.")
        self._secrets = tuple(secrets)
        self._canary = canary
        self._instructions = instructions
        self._public = frozenset(gram for text in public for gram in _plain_runs(text))
        forms = [form for secret in secrets for form in _forms(secret)]
        self._texts = "\0".join(forms)
        self._runs = frozenset(gram for form in forms for gram in _grams(form)) - self._public
        self._marks = dict.fromkeys((form for form in forms if len(form) < RUN), "system_prompt") | dict.fromkeys(_marks(letters) if letters else (), "canary")
        self._sizes = tuple(sorted({len(mark) for mark in self._marks}))
        self._heads = frozenset(text[:_HALF] for text in (*self._marks, *self._runs))
        self._begun = frozenset(mark[:size] for mark in self._marks for size in range(1, len(mark) + 1))

    def clear(self, subject: Claim) -> int:
        """Up to where no run can begin, whatever follows: what is left may be the beginning of one."""
        text = subject.text
        tail = max(subject.start, len(text) - self.reach)
        bare = skeleton(text[tail:])
        assert bare.starts is not None
        run = bare.text[_unbroken(bare.starts, len(text) - tail) :][-RUN:]
        texts = (self._texts, *map(_text, self._told(subject)))
        # Whatever ends a longer part of a secret ends a shorter one, so the longest is found by halving.
        low, high = 0, len(run)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if any(run[-middle:] in known for known in texts) else (low, middle - 1)
        begun = next((size for size in range(len(run), low, -1) if run[-size:] in self._begun), low)
        return tail + bare.starts[len(bare.text) - begun] if begun else len(text)

    def find(self, text: str, *, start: int = 0, allowed: Sequence[str] = (), instructions: Sequence[str] = ()) -> tuple[Finding, ...]:
        """The runs that begin at `start` or after it, in order; `instructions` are further secrets and `allowed` are texts that may be quoted."""
        bare = skeleton(text[start:])
        assert bare.starts is not None
        letters, places = bare.text, bare.starts
        further = frozenset(run for instruction in instructions for run in _runs(instruction)) - self._public
        heads = self._heads | {run[:_HALF] for run in further} if further else self._heads
        found: list[Finding] = []
        position = 0
        while position + _HALF <= len(letters):
            known = letters[position : position + _HALF] in heads
            kind, size = self._at(letters, position, allowed, further) if known else ("", 0)
            if size and _together(places, position, position + size):
                found.append(Finding(type=kind, start=start + places[position], end=start + places[position + size - 1] + 1, score=1.0))
                position += size
            else:
                position += 1
        return tuple(found)

    def _at(self, letters: str, position: int, allowed: Sequence[str], further: frozenset[str]) -> tuple[str, int]:
        """What begins at `position` of a text's letters, and how many of them it has; ("", 0) where nothing does."""
        for size in self._sizes:
            mark = letters[position : position + size]
            if mark in self._marks and not any(mark in skeleton(text).text for text in allowed):
                return self._marks[mark], size
        gram = letters[position : position + RUN]
        if (gram in self._runs or gram in further) and not any(gram in _plain_runs(text) for text in allowed):
            return "system_prompt", RUN
        return "", 0

    async def check(self, subject: Claim) -> Verdict:
        """`block` with a finding for every run, `pass` where there is none. Spans are offsets into `subject.text`."""
        began = time.perf_counter()
        messages = subject.evidence.question.request.messages
        findings = self.find(
            subject.text,
            start=subject.start,
            allowed=[hit.passage.text for hit in subject.evidence.hits] + [message.content for message in messages if message.role == "user"],
            instructions=self._told(subject),
        )
        return Verdict(
            rail=self.id,
            rail_version=self.version,
            stage=self.stage,
            decision="block" if findings else "pass",
            score=1.0 if findings else 0.0,
            findings=findings,
            reason="gives away the system prompt" if findings else None,
            latency_ms=(time.perf_counter() - began) * 1000,
        )

    def _told(self, subject: Claim) -> tuple[str, ...]:
        """The system messages of the request, where they are secrets."""
        return tuple(message.content for message in subject.evidence.question.request.messages if message.role == "system") if self._instructions else ()

    async def warm_up(self) -> None:
        """Every secret and the canary must be found, and nothing in a question. Raises RailError otherwise."""
        if self.find("What is justice, and why does Plato ask?"):
            raise RailError("The prompt leak rail blocks a plain question: check its secrets.")
        if self._canary and not self.find(f"It says {self._canary}."):
            raise RailError("The prompt leak rail misses its canary.")
        for secret in self._secrets:
            if (len(skeleton(secret).text) < RUN or _plain_runs(secret) - self._public) and not self.find(secret):
                raise RailError("The prompt leak rail misses one of its own secrets.")


def _together(places: tuple[int, ...], first: int, last: int) -> bool:
    """Whether the letters from `first` to `last` stand as near each other as those of one text."""
    return all(places[number + 1] - places[number] <= _GAP + 1 for number in range(first, last - 1))


def _unbroken(places: tuple[int, ...], length: int) -> int:
    """From which letter on a run may still go on at the end of a text of `length` characters."""
    if not places or length - places[-1] > _GAP + 1:
        return len(places)
    return next((number for number in range(len(places) - 1, 0, -1) if places[number] - places[number - 1] > _GAP + 1), 0)


def _grams(letters: str) -> Iterator[str]:
    return (letters[place : place + RUN] for place in range(len(letters) - RUN + 1))


@lru_cache(maxsize=256)
def _plain_runs(text: str) -> frozenset[str]:
    """The runs of a text as it stands."""
    return frozenset(_grams(skeleton(text).text))


@lru_cache(maxsize=64)
def _text(secret: str) -> str:
    """A secret in every form."""
    return "\0".join(_forms(secret))


@lru_cache(maxsize=64)
def _runs(secret: str) -> frozenset[str]:
    """The runs of a secret in every form."""
    return frozenset(gram for form in _forms(secret) for gram in _grams(form))


def _forms(secret: str) -> Iterator[str]:
    """The letters of a secret as they are, and as they come out where it is encoded."""
    letters = skeleton(secret).text
    yield letters
    yield letters[::-1]
    yield codecs.encode(letters, "rot13")
    yield secret.encode(errors="replace").hex()
    for form in _in_base64(secret):
        yield skeleton(form).text


def _in_base64(text: str) -> Iterator[str]:
    """What of the base64 of any text that holds `text` depends on `text` alone, for the three ways that it may be aligned."""
    data = text.encode(errors="replace")
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode()
        yield encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


def _marks(canary: str) -> frozenset[str]:
    """Both halves of a canary, as they are and encoded."""
    halves = (canary[: len(canary) // 2], canary[len(canary) // 2 :])
    forms = {form for half in halves for form in (half, half[::-1], codecs.encode(half, "rot13"), half.encode().hex())}
    # Encoded, capitals are other bytes than small letters.
    forms |= {skeleton(form).text for half in halves for case in (half, half.upper()) for form in _in_base64(case)}
    return frozenset(forms)

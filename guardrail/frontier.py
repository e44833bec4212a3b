"""Releases a draft as far as every output rail has cleared it.

Sentences are judged one by one as they end; a sentence without support is dropped. What is kept then passes the rails that read characters: the text is
released up to where one of them may still find something in it: at most the farthest `reach` of any before its end. However the draft is split into chunks, the
released text, the verdicts and the citations are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guardrail import sentences
from guardrail.protocols import Claim
from guardrail.types import Citation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from guardrail.protocols import Clearing, Judgement
    from guardrail.types import Evidence, Passage, Sentence, Verdict

_MODEL_MARKERS = re.compile(r"[ \t]*\[\d{1,3}(?:\s*[,;-]\s*\d{1,3})*\]")
_CONTEXT = 32
"""Characters before the new text that rails are given, so that a word boundary or a look-behind reads as in the whole."""
_NOT_FOUND = re.compile(r"\W*not found\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCheck:
    """One output rail that reads characters: it is given a stretch of text and answers with a verdict, or None where it runs in shadow."""

    reach: int
    check: Callable[[Claim], Awaitable[Verdict]]
    clearing: Clearing | None = None
    """Tells how far a text is cleared, where the rail knows better than by its reach."""

    def clear(self, text: str, start: int) -> int:
        """Up to where in `text` no match can begin at `start` or later, whatever follows."""
        return len(text) - self.reach if self.clearing is None else self.clearing.clear(text, start=start)


class Frontier:
    """One draft on its way out. `push` takes what the generator wrote and returns what may be shown."""

    __slots__ = (
        "_draft",
        "_evidence",
        "_judge",
        "_judged",
        "_markers",
        "_output",
        "_pending",
        "_released",
        "_text_checks",
        "blocked",
        "citations",
        "not_found",
        "sentences",
        "supported",
        "verdicts",
    )

    def __init__(self, evidence: Evidence, *, judge: Callable[[Claim], Awaitable[Judgement]] | None, text_checks: Sequence[TextCheck]) -> None:
        self._evidence = evidence
        self._judge = judge
        self._text_checks = tuple(text_checks)
        self._draft = ""
        self._judged = 0
        self._output = ""
        self._released = 0
        self._pending = ""
        self._markers: dict[str, str] = {}
        self.blocked: Verdict | None = None
        """The verdict that stopped the draft, if one did."""
        self.not_found = False
        """Whether the model itself said that the passages do not hold the answer."""
        self.supported = judge is None
        """Whether at least one statement was kept."""
        self.sentences: list[Sentence] = []
        self.citations: list[Citation] = []
        self.verdicts: list[Verdict] = []

    @property
    def draft(self) -> str:
        """Everything the generator wrote."""
        return self._draft

    @property
    def released(self) -> str:
        """Everything that `push` has returned."""
        return self._output[: self._released]

    async def push(self, text: str, *, final: bool = False) -> str:
        """Take the next piece of the draft; returns the newly cleared text, which may be empty. `final` says that nothing follows."""
        if self.blocked or self.not_found:
            return ""
        self._draft += text
        if self._judge is None:
            self._output += text
        else:
            await self._judge_sentences(self._judge, final=final)
        return await self._release(final=final)

    async def _judge_sentences(self, judge: Callable[[Claim], Awaitable[Judgement]], *, final: bool) -> None:
        rest = self._draft[self._judged :]
        offset = self._judged
        for start, end in sentences.spans(rest, final=final):
            gap = self._draft[self._judged : offset + start]
            self._judged = offset + end
            sentence = _MODEL_MARKERS.sub("", rest[start:end]).strip()
            if not sentence:
                continue
            if not self.sentences and _NOT_FOUND.match(sentence):
                self.not_found = True
                return
            judgement = await judge(Claim(evidence=self._evidence, text=sentence))
            self._take(sentence, judgement, paragraph="\n" in gap)

    def _take(self, sentence: str, judgement: Judgement, *, paragraph: bool) -> None:
        """Keep the sentence with its citation, hold it back, or drop it."""
        self.verdicts.append(judgement.verdict)
        judged = judgement.sentence
        verdict = judgement.verdict
        if verdict.decision != "pass" and verdict.mode == "enforce":
            self._pending = ""
            return
        separator = ("\n\n" if paragraph else " ") if self._output or self._pending else ""
        if verdict.decision != "pass" or verdict.outcome != "ok":
            # Grounding runs in shadow or failed open: the sentence is shown, and nothing vouches for it.
            self._output += self._pending + separator
            self._pending = ""
            self.sentences.append(replace(judged, start=len(self._output), end=len(self._output) + len(sentence)))
            self._output += sentence
            self.supported = True
            return
        if judged.passage is None:
            # A framing sentence states nothing: it is shown only before a statement that was kept.
            self._pending += separator + sentence
            return
        self._output += self._pending + separator
        self._pending = ""
        start = len(self._output)
        self._output += sentence
        end = len(self._output)
        passage = self._evidence.hits[judged.passage].passage
        marker = self._markers.setdefault(passage.id, f"[{len(self._markers) + 1}]")
        self._output += f" {marker}"
        self.sentences.append(replace(judged, start=start, end=end))
        self.citations.append(_citation(marker, passage, judged, start, end))
        self.supported = True

    async def _release(self, *, final: bool) -> str:
        output = self._output
        if self._text_checks:
            verdicts, safe = await self._check_text(len(output), final=final)
            if any(_blocks(verdict) for verdict in verdicts):
                safe = await self._first_block(final=final)
            elif final:
                self.verdicts.extend(verdicts)
        else:
            safe = len(output)
        if safe <= self._released:
            return ""
        newly = output[self._released : safe]
        self._released = safe
        return newly

    async def _check_text(self, length: int, *, final: bool) -> tuple[list[Verdict], int]:
        """The verdicts on the output up to `length`, and how far it is cleared.

        A match that touches an unfinished end does not count: it may yet grow into another word.
        """
        start, new = (0, 0) if final else self._window()
        claim = Claim(evidence=self._evidence, text=self._output[start:length], start=new)
        verdicts = []
        for text_check in self._text_checks:
            verdict = await text_check.check(claim)
            if verdict.decision == "block" and not final:
                confirmed = tuple(finding for finding in verdict.findings if finding.start >= new and finding.end < length - start)
                verdict = replace(verdict, findings=confirmed, decision="block" if confirmed else "pass")
            shifted = tuple(replace(finding, start=finding.start + start, end=finding.end + start) for finding in verdict.findings)
            verdicts.append(replace(verdict, findings=shifted) if shifted else verdict)
        return verdicts, length if final else self._clear(length)

    def _clear(self, length: int) -> int:
        """How far the output up to `length` is cleared, if more follows."""
        start, new = self._window()
        text = self._output[start:length]
        return max(self._released, start + min(text_check.clear(text, new) for text_check in self._text_checks))

    def _window(self) -> tuple[int, int]:
        """Where the text that is checked next begins, and where in it a match may begin: nothing begins in what was released, which is only looked back at."""
        start = max(0, self._released - _CONTEXT)
        return start, self._released - start

    async def _first_block(self, *, final: bool) -> int:
        """How far the output is cleared when a rail blocks: up to the earliest blocked point, so that the cut does not depend on how the draft was split."""
        low, high = self._released, len(self._output)
        while low < high:
            middle = (low + high) // 2
            verdicts, _ = await self._check_text(middle, final=False)
            if any(_blocks(verdict) for verdict in verdicts):
                high = middle
            else:
                low = middle + 1
        verdicts, _ = await self._check_text(high, final=False)
        cleared = self._clear(high - 1)
        if not any(_blocks(verdict) for verdict in verdicts):
            # Only the end makes it a match: until then all that was open at `high` may have been cleared.
            verdicts, cleared = (await self._check_text(high, final=final))[0], self._clear(high)
        self.verdicts.extend(verdicts)
        self.blocked = next((verdict for verdict in verdicts if _blocks(verdict)), None)
        # Citations beyond the cut are withdrawn with their sentences.
        self.sentences = [sentence for sentence in self.sentences if sentence.end <= cleared]
        self.citations = [citation for citation in self.citations if citation.answer_end <= cleared]
        return cleared


def _blocks(verdict: Verdict) -> bool:
    return verdict.decision == "block" and verdict.mode == "enforce"


def _citation(marker: str, passage: Passage, judged: Sentence, start: int, end: int) -> Citation:
    return Citation(
        marker=marker,
        passage_id=passage.id,
        title=passage.title,
        work=passage.work,
        locator=passage.locator,
        text=passage.text,
        answer_start=start,
        answer_end=end,
        source_start=passage.start + judged.source_start,
        source_end=passage.start + judged.source_end,
        passage_start=passage.start,
        score=judged.support,
    )

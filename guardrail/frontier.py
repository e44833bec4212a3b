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
from guardrail.faults import said_again
from guardrail.protocols import Claim
from guardrail.repetition import Shown
from guardrail.types import Citation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from guardrail.protocols import Clearing, Judgement
    from guardrail.settings import Consequence
    from guardrail.types import Decision, Evidence, Finding, Passage, Sentence, Verdict

_MODEL_MARKERS = re.compile(r"[ \t]*\[\d{1,3}(?:\s*[,;-]\s*\d{1,3})*\]")
_CONTEXT = 32
"""Characters before the new text that rails are given, so that a word boundary or a look-behind reads as in the whole."""
_NOT_FOUND = re.compile(r"\W*not found\b", re.IGNORECASE)
NO_SOURCE = "[no source]"
"""Stands behind a sentence that no passage supports, where grounding marks such sentences."""
_WHOLE: frozenset[Consequence] = frozenset({"abstain", "retry", "rewrite"})
"""What can only follow while nothing has been released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCheck:
    """One output rail that reads characters: it is given a stretch of text and answers with a verdict."""

    reach: int
    check: Callable[[Claim], Awaitable[Verdict]]
    clearing: Clearing | None = None
    """Tells how far a text is cleared, where the rail knows better than by its reach."""
    consequence: Consequence = "block"
    """What follows when it objects."""
    decide: Callable[[Iterable[Finding]], Decision] | None = None
    """What it says where only some of its findings count; None: the same as of all."""

    def clear(self, claim: Claim) -> int:
        """Up to where in the claim's text everything is known, whatever follows."""
        return len(claim.text) - self.reach if self.clearing is None else self.clearing.clear(claim)

    def settled(self, verdict: Verdict, claim: Claim) -> tuple[Verdict, int]:
        """The verdict on a text that goes on, with the findings that nothing can change any more, and up to where all is known and nothing else was found."""
        cleared = self.clear(claim)
        if verdict.decision == "pass":
            return verdict, cleared
        if not verdict.findings:
            # It objects and cannot say to what, as a rail does that a caller made stricter than it is: nothing more is known before the end.
            return replace(verdict, decision="pass"), min(claim.start, cleared)
        known = tuple(finding for finding in verdict.findings if claim.start <= finding.start and finding.end <= cleared)
        upto = min((finding.start for finding in verdict.findings if finding.end > cleared), default=cleared)
        return replace(verdict, findings=known, decision=self.decision(verdict, known)), min(upto, cleared)

    def decision(self, verdict: Verdict, findings: Sequence[Finding]) -> Decision:
        """What the rail would say where of the findings of `verdict` only these were there."""
        if not findings:
            return "pass"
        return verdict.decision if self.decide is None else self.decide(findings)


@dataclass(frozen=True, slots=True)
class _Edit:
    """A stretch of the output, and what is shown in its place."""

    start: int
    end: int
    shown: str


class Frontier:
    """One draft on its way out. `push` takes what the generator wrote and returns what may be shown.

    `unsupported` says what follows when the judge objects to a sentence: `drop` leaves it out, `mark` shows it with `NO_SOURCE`, `abstain` and `rewrite` end
    the draft. Where anything may still end a draft as a whole, nothing is released before its end.
    """

    __slots__ = (
        "_citations",
        "_draft",
        "_edits",
        "_evidence",
        "_held",
        "_judge",
        "_judged",
        "_markers",
        "_output",
        "_pending",
        "_released",
        "_sentences",
        "_shown",
        "_shown_sentences",
        "_text_checks",
        "_unsupported",
        "blocked",
        "consequence",
        "not_found",
        "supported",
        "verdicts",
    )

    def __init__(
        self,
        evidence: Evidence,
        *,
        judge: Callable[[Claim], Awaitable[Judgement]] | None,
        text_checks: Sequence[TextCheck],
        unsupported: Consequence = "drop",
    ) -> None:
        self._evidence = evidence
        self._judge = judge
        self._text_checks = tuple(text_checks)
        self._unsupported = unsupported
        self._held = (judge is not None and unsupported in _WHOLE) or any(check.consequence in _WHOLE for check in text_checks)
        self._draft = ""
        self._judged = 0
        self._output = ""
        self._released = 0
        self._shown = ""
        self._edits: list[_Edit] = []
        self._pending = ""
        self._markers: dict[str, str] = {}
        self._sentences: list[Sentence] = []
        self._shown_sentences = Shown()
        self._citations: list[Citation] = []
        self.blocked: Verdict | None = None
        """The verdict that stopped the draft, if one did."""
        self.consequence: Consequence | None = None
        """What follows from that."""
        self.not_found = False
        """Whether the model itself said that the passages do not hold the answer."""
        self.supported = judge is None
        """Whether at least one statement was kept."""
        self.verdicts: list[Verdict] = []

    @property
    def draft(self) -> str:
        """Everything the generator wrote."""
        return self._draft

    @property
    def released(self) -> str:
        """Everything that `push` has returned."""
        return self._shown

    @property
    def sentences(self) -> list[Sentence]:
        """The sentences that were kept, as they stand in `released`."""
        return [replace(sentence, start=self._place(sentence.start), end=self._place(sentence.end)) for sentence in self._sentences]

    @property
    def citations(self) -> list[Citation]:
        """What they rest on, in the same way."""
        return [replace(citation, answer_start=self._place(citation.answer_start), answer_end=self._place(citation.answer_end)) for citation in self._citations]

    async def push(self, text: str, *, final: bool = False, broken: bool = False) -> str:
        """Take the next piece of the draft; returns the newly cleared text, which may be empty.

        `final` says that nothing follows; `broken`, that the draft breaks off: a judge is not asked about a sentence without its end, and it is left out.
        """
        if self.blocked or self.not_found:
            return ""
        self._draft += text
        if self._judge is None:
            self._output += text
        else:
            await self._judge_sentences(self._judge, final=final and not broken)
        if self._held and (not final or self.blocked):
            return ""
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
            if not self._sentences and _NOT_FOUND.match(sentence):
                self.not_found = True
                return
            if self._shown_sentences.hold(sentence):
                self.verdicts.append(said_again(self._judged))
                self._pending = ""
                continue
            judgement = await judge(Claim(evidence=self._evidence, text=sentence))
            self._take(sentence, judgement, paragraph="\n" in gap)
            if self.blocked:
                return

    def _take(self, sentence: str, judgement: Judgement, *, paragraph: bool) -> None:
        """Keep the sentence with its citation, hold it back, or drop it."""
        self.verdicts.append(judgement.verdict)
        judged = judgement.sentence
        verdict = judgement.verdict
        objects = verdict.decision != "pass" and verdict.mode == "enforce"
        if objects and self._unsupported in _WHOLE:
            self.blocked, self.consequence = verdict, self._unsupported
            return
        if objects and self._unsupported != "mark":
            self._pending = ""
            return
        separator = ("\n\n" if paragraph else " ") if self._output or self._pending else ""
        if verdict.decision != "pass" or verdict.outcome != "ok":
            # Grounding only marks, runs in shadow or failed open: the sentence is shown, and nothing vouches for it.
            self._output += self._pending + separator
            self._pending = ""
            self._shown_sentences.add(sentence)
            self._sentences.append(replace(judged, start=len(self._output), end=len(self._output) + len(sentence)))
            self._output += f"{sentence} {NO_SOURCE}" if objects else sentence
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
        self._shown_sentences.add(sentence)
        self._sentences.append(replace(judged, start=start, end=end))
        self._citations.append(_citation(marker, passage, judged, start, end))
        self.supported = True

    async def _release(self, *, final: bool) -> str:
        verdicts: list[Verdict] = []
        safe = len(self._output)
        if self._text_checks:
            if not final and self._clear(len(self._output)) <= self._released:
                return ""  # whatever the rails would say, nothing more could be shown yet
            verdicts, safe = await self._check(len(self._output), final=final)
            if any(_blocks(verdict) for verdict in verdicts):
                verdicts, safe = await self._first_block(final=final)
                if self._held:
                    safe = self._released
            elif final:
                self.verdicts.extend(verdicts)
        return self._show(safe, verdicts)

    def _show(self, safe: int, verdicts: Sequence[Verdict]) -> str:
        """Release the output up to `safe`, with what `verdicts` found there masked.

        Stretches that overlap are masked as one, under the type of the first; one that ends past `safe` is held back as a whole.
        """
        shown, place = "", self._released
        findings = [
            finding
            for verdict, text_check in zip(verdicts, self._text_checks, strict=True)
            if verdict.decision != "pass" and verdict.mode == "enforce"
            for finding in verdict.findings
            if text_check.decision(verdict, (finding,)) == "modify"
        ]
        edits: list[_Edit] = []
        for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
            if finding.start < place:
                continue
            if edits and finding.start < edits[-1].end:
                edits[-1] = replace(edits[-1], end=max(edits[-1].end, finding.end))
            else:
                edits.append(_Edit(finding.start, finding.end, f"[{finding.type.upper()}]"))
        for edit in edits:
            if edit.end > safe:
                safe = min(safe, edit.start)
                break
            self._edits.append(edit)
            shown += self._output[place : edit.start] + edit.shown
            place = edit.end
        if safe > place:
            shown += self._output[place:safe]
            place = safe
        self._released = place
        self._shown += shown
        return shown

    def _place(self, offset: int) -> int:
        """Where a place of the output stands in what was released."""
        moved = 0
        for edit in self._edits:
            if offset <= edit.start:
                break
            if offset < edit.end:
                return edit.start + moved + len(edit.shown)
            moved += len(edit.shown) - (edit.end - edit.start)
        return offset + moved

    async def _check(self, length: int, *, final: bool = False, whole: bool = False) -> tuple[list[Verdict], int]:
        """The verdicts on the output up to `length`, and how far it is cleared.

        Where it is not `final`, what more text may still change does not count, and nothing is cleared from there on. What was released already is only
        looked over again at the end, or where the `whole` is asked for.
        """
        start, claim = self._claim(length, whole=final or whole)
        cleared = length
        verdicts = []
        for text_check in self._text_checks:
            verdict = await text_check.check(claim)
            if not final:
                verdict, upto = text_check.settled(verdict, claim)
                cleared = min(cleared, start + upto)
            shifted = tuple(replace(finding, start=finding.start + start, end=finding.end + start) for finding in verdict.findings)
            verdicts.append(replace(verdict, findings=shifted) if shifted else verdict)
        return verdicts, max(self._released, cleared)

    def _clear(self, length: int) -> int:
        """How far the output up to `length` could be cleared, whatever the rails find in it."""
        start, claim = self._claim(length)
        return max(self._released, start + min(text_check.clear(claim) for text_check in self._text_checks))

    def _claim(self, length: int, *, whole: bool = False) -> tuple[int, Claim]:
        """What the rails are given of the output up to `length`, and where in it that begins: nothing begins in what was released, which is looked back at."""
        start = 0 if whole else max(0, self._released - _CONTEXT)
        return start, Claim(evidence=self._evidence, text=self._output[start:length], start=0 if whole else self._released - start)

    async def _first_block(self, *, final: bool) -> tuple[list[Verdict], int]:
        """The verdicts at the earliest point where a rail blocks, and how far the output is cleared then: neither depends on how the draft was split."""
        low, high = self._released, len(self._output)
        while low < high:
            middle = (low + high) // 2
            verdicts, _ = await self._check(middle)
            if any(_blocks(verdict) for verdict in verdicts):
                high = middle
            else:
                low = middle + 1
        verdicts, cleared = await self._check(high, whole=True)
        if any(_blocks(verdict) for verdict in verdicts):
            _, cleared = await self._check(high - 1)
        else:
            # Only the end makes it a match: until then all that was open at `high` may have been cleared.
            verdicts, _ = await self._check(high, final=final)
        self.verdicts.extend(verdicts)
        stopped = next((pair for pair in zip(verdicts, self._text_checks, strict=True) if _blocks(pair[0])), None)
        if stopped is not None:
            self.blocked, self.consequence = stopped[0], stopped[1].consequence
        # Citations beyond the cut are withdrawn with their sentences.
        self._sentences = [sentence for sentence in self._sentences if sentence.end <= cleared]
        self._citations = [citation for citation in self._citations if citation.answer_end <= cleared]
        return verdicts, cleared


def _blocks(verdict: Verdict) -> bool:
    """Whether a rail that reads characters ends the draft."""
    return verdict.decision in {"block", "abstain"} and verdict.mode == "enforce"


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

"""A rail with the deployment's choices: its mode, what its objection leads to, its time limit, and what happens when it fails."""

from __future__ import annotations

import difflib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from guardrail.deadline import within
from guardrail.errors import InvalidRequest, RailError
from guardrail.protocols import Deciding, Judgement
from guardrail.types import Sentence, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guardrail.protocols import Claim, Judge, Rail
    from guardrail.settings import Consequence, RailSettings
    from guardrail.types import Decision, Finding, Stage, Tightening

log = logging.getLogger("guardrail.rails")


@dataclass(frozen=True, slots=True)
class EnforcedRail:
    """Runs `rail` as `settings` say. `check` always gives a verdict, or raises RailError where the rail failed and fails closed."""

    rail: Rail[Any]
    settings: RailSettings
    consequence: Consequence | None = "block"
    """What follows when it objects; None where it only reports."""
    decision: Decision | None = None
    """What its verdict then says; None: the rail's own."""
    ceiling: float | None = None
    """A caller's threshold: a higher score fails, whatever the rail itself thinks of it."""
    seeks_hidden: bool = False
    """Whether it also reads what a message hides in codes and disguises."""

    @property
    def stage(self) -> Stage:
        return self.rail.stage

    @property
    def enforced(self) -> bool:
        """Whether its objection changes what happens."""
        return self.settings.mode == "enforce"

    @property
    def decide(self) -> Callable[[Iterable[Finding]], Decision] | None:
        """What it says where only some of its findings count; None: the same as of all."""
        return self.rail.decide if self.decision is None and isinstance(self.rail, Deciding) else None

    def masks(self, finding: Finding) -> bool:
        """Whether this finding of a verdict that masks is masked, and not only reported."""
        return self.decide is None or self.decide((finding,)) == "modify"

    async def check(self, subject: object) -> Verdict:
        started = time.perf_counter()
        try:
            verdict = await within(self.settings.timeout_ms / 1000, self.rail.check(subject))
        except Exception as error:  # noqa: BLE001 - a rail may be anyone's code; whatever it raises must not pass for a verdict
            return _failed(self.rail, self.settings, error, started)
        return _configured(verdict, self, started)


@dataclass(frozen=True, slots=True)
class EnforcedJudge:
    """The same for grounding, which judges sentence by sentence."""

    rail: Judge
    settings: RailSettings
    consequence: Consequence | None = "drop"
    decision: Decision | None = None
    ceiling: float | None = None

    @property
    def stage(self) -> Stage:
        return self.rail.stage

    @property
    def enforced(self) -> bool:
        return self.settings.mode == "enforce"

    async def judge(self, claim: Claim) -> Judgement:
        started = time.perf_counter()
        try:
            judgement = await within(self.settings.timeout_ms / 1000, self.rail.judge(claim))
        except Exception as error:  # noqa: BLE001 - as above
            verdict = _failed(self.rail, self.settings, error, started)
            return Judgement(verdict=verdict, sentence=Sentence(start=0, end=len(claim.text), support=0.0, passage=None))
        return Judgement(verdict=_configured(judgement.verdict, self, started), sentence=judgement.sentence)

    async def warm_up(self) -> None:
        await self.rail.warm_up()


def enforced(verdict: Verdict) -> bool:
    """Whether the verdict changes what happens."""
    return verdict.decision != "pass" and verdict.mode == "enforce"


Enforced = TypeVar("Enforced", EnforcedRail, EnforcedJudge)


def masks(rails: Sequence[EnforcedRail], verdicts: Iterable[Verdict]) -> tuple[Finding, ...]:
    """What the verdicts of `rails` mask."""
    return tuple(
        finding
        for verdict in verdicts
        if verdict.decision == "modify" and verdict.mode == "enforce"
        for finding in verdict.findings
        if any(rail.masks(finding) for rail in rails if rail.rail.id == verdict.rail)
    )


def tighten(rails: Sequence[Enforced], wishes: Iterable[Tightening]) -> tuple[Enforced, ...]:
    """`rails` as a caller wants them for one request. Raises InvalidRequest where a wish would loosen one."""
    tightened = tuple(rails)
    for wish in wishes:
        tightened = tuple(_tightened(rail, wish) if _meant(rail, wish) else rail for rail in tightened)
    return tightened


def check_wishes(rails: Sequence[EnforcedRail | EnforcedJudge], wishes: Sequence[Tightening]) -> None:
    """Refuse a wish for a rail that does not run. Raises InvalidRequest."""
    for number, wish in enumerate(wishes):
        if not any(_meant(rail, wish) for rail in rails):
            running = sorted({rail.rail.id for rail in rails})
            near = difflib.get_close_matches(wish.rail, running, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near and near[0] != wish.rail else f"the rails that run are: {', '.join(running) or 'none'}."
            raise InvalidRequest(f"No such rail runs here; {hint}", param=f"guardrail.rails[{number}].rail")


def _meant(rail: EnforcedRail | EnforcedJudge, wish: Tightening) -> bool:
    return rail.rail.id == wish.rail and wish.stage in {None, rail.stage}


def _tightened(rail: Enforced, wish: Tightening) -> Enforced:
    settings = replace(rail.settings, mode=wish.mode or rail.settings.mode, on_error=wish.on_error or rail.settings.on_error)
    if wish.threshold is None:
        return replace(rail, settings=settings)
    own = getattr(rail.rail, "threshold", None) or max(getattr(rail.rail, "thresholds", {}).values(), default=None)
    present = rail.ceiling if rail.ceiling is not None else own
    if present is None:
        raise InvalidRequest(f"The rail '{wish.rail}' has no threshold to tighten.", param="guardrail.rails")
    if wish.threshold > present:
        raise InvalidRequest(
            f"A request may tighten a rail and not loosen it: the threshold of '{wish.rail}' is {present:g}; ask for at most that.", param="guardrail.rails"
        )
    return replace(rail, settings=settings, ceiling=wish.threshold)


def _configured(verdict: Verdict, rail: EnforcedRail | EnforcedJudge, started: float) -> Verdict:
    settings = rail.settings
    decision = verdict.decision
    if decision == "pass" and rail.ceiling is not None and verdict.score > rail.ceiling:
        decision = rail.decision or ("abstain" if rail.consequence in {"abstain", "drop"} else "block")
    elif decision != "pass" and rail.decision is not None:
        decision = rail.decision
    threshold = verdict.threshold if rail.ceiling is None else rail.ceiling
    if decision == verdict.decision and threshold == verdict.threshold and settings.mode == verdict.mode and verdict.latency_ms:
        return verdict
    return replace(verdict, decision=decision, threshold=threshold, mode=settings.mode, latency_ms=(time.perf_counter() - started) * 1000)


def _failed(rail: Rail[Any] | Judge, settings: RailSettings, error: Exception, started: float) -> Verdict:
    """The verdict of a rail that failed open or in shadow. Raises RailError where it fails closed."""
    slow = isinstance(error, TimeoutError)
    what = f"took longer than {settings.timeout_ms} ms" if slow else f"failed with {type(error).__name__}"
    log.error("rail failed", extra={"fields": {"rail": rail.id, "reason": what}})
    if settings.mode == "enforce" and settings.on_error == "closed":
        raise RailError(f"The rail '{rail.id}' {what}; it fails closed, so this reply is withheld. Try again, or ask the operator.") from error
    opened = settings.mode == "enforce"
    return Verdict(
        rail=rail.id,
        rail_version=rail.version,
        stage=rail.stage,
        decision="pass",
        outcome="bypassed" if opened else "timeout" if slow else "error",
        mode=settings.mode,
        reason=f"{what}; it fails open, so it was passed over" if opened else f"{what} while watching only",
        latency_ms=(time.perf_counter() - started) * 1000,
    )

"""A rail with the deployment's choices: its mode, its threshold's consequence, its time limit, and what happens when it fails."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from guardrail.deadline import within
from guardrail.errors import RailError
from guardrail.protocols import Judgement
from guardrail.types import Sentence, Verdict

if TYPE_CHECKING:
    from guardrail.protocols import Claim, Judge, Rail
    from guardrail.settings import RailSettings

log = logging.getLogger("guardrail.rails")


@dataclass(frozen=True, slots=True)
class EnforcedRail:
    """Runs `rail` as `settings` say. `check` always gives a verdict, or raises RailError where the rail failed and fails closed."""

    rail: Rail[Any]
    settings: RailSettings

    async def check(self, subject: object) -> Verdict:
        started = time.perf_counter()
        try:
            verdict = await within(self.settings.timeout_ms / 1000, self.rail.check(subject))
        except Exception as error:  # noqa: BLE001 - a rail may be anyone's code; whatever it raises must not pass for a verdict
            return _failed(self.rail, self.settings, error, started)
        return _configured(verdict, self.settings, started)


@dataclass(frozen=True, slots=True)
class EnforcedJudge:
    """The same for grounding, which judges sentence by sentence."""

    judge_: Judge
    settings: RailSettings

    async def judge(self, claim: Claim) -> Judgement:
        started = time.perf_counter()
        try:
            judgement = await within(self.settings.timeout_ms / 1000, self.judge_.judge(claim))
        except Exception as error:  # noqa: BLE001 - as above
            verdict = _failed(self.judge_, self.settings, error, started)
            return Judgement(verdict=verdict, sentence=Sentence(start=0, end=len(claim.text), support=0.0, passage=None))
        return Judgement(verdict=_configured(judgement.verdict, self.settings, started), sentence=judgement.sentence)

    async def warm_up(self) -> None:
        await self.judge_.warm_up()


def enforced(verdict: Verdict) -> bool:
    """Whether the verdict changes what happens."""
    return verdict.decision != "pass" and verdict.mode == "enforce"


def _configured(verdict: Verdict, settings: RailSettings, started: float) -> Verdict:
    decision = verdict.decision if verdict.decision == "pass" or settings.on_fail is None else settings.on_fail
    if decision == verdict.decision and settings.mode == verdict.mode and verdict.latency_ms:
        return verdict
    return replace(verdict, decision=decision, mode=settings.mode, latency_ms=(time.perf_counter() - started) * 1000)


def _failed(rail: Rail[Any] | Judge, settings: RailSettings, error: Exception, started: float) -> Verdict:
    """The verdict of a rail that failed open or in shadow. Raises RailError where it fails closed."""
    slow = isinstance(error, TimeoutError)
    what = f"took longer than {settings.timeout_ms} ms" if slow else f"failed with {type(error).__name__}"
    log.error("rail failed", extra={"fields": {"rail": rail.id, "reason": what}})
    if settings.on_error == "closed" and settings.mode == "enforce":
        raise RailError(f"The rail '{rail.id}' {what}; it fails closed, so this reply is withheld. Try again, or ask the operator.") from error
    return Verdict(
        rail=rail.id,
        rail_version=rail.version,
        stage=rail.stage,
        decision="pass",
        outcome="timeout" if slow else "error",
        mode=settings.mode,
        reason=f"{what}; it fails open, so it was passed over",
        latency_ms=(time.perf_counter() - started) * 1000,
    )

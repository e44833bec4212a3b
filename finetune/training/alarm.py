"""The wireheading alarm: is the reward that rises still what was meant? A state machine without side effects.

A proxy reward that is optimised long enough is cheated (Gao, Schulman and Hilton 2023): it keeps climbing while what it stands for falls. The alarm is shown
every update's means and says when to stop, and which update to go back to. It fires late by nature, so going back matters more than stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrail.finetune.settings import AlarmSettings

NEAR = 0.02
"""A proxy within this share of its climb of its highest stands at its high: one that has reached its maximum makes no new highs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Means over the replies of one update."""

    update: int
    proxy: float
    """The reward that is trained on, without the KL penalty."""
    gold: float | None = None
    kl: float = 0.0
    """Nats a reply."""
    length: float = 1.0
    """Tokens."""
    repetition: float = 0.0
    """Share of the four-token runs of a reply that had stood in it before, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What has been seen so far, boiled down. `Alarm()` has seen nothing."""

    recent: tuple[Observation, ...] = ()
    first: Observation | None = None
    """The mean of the first `window` updates."""
    best_gold: float | None = None
    best_update: int | None = None
    """Where to go back to; None where nothing was seen yet."""
    best_proxy: float | None = None
    strikes: int = 0
    """How many times running gold was low while the proxy was high."""
    reason: str | None = None
    """Why the run must stop, a sentence; None: it may go on."""

    def after(self, seen: Observation, settings: AlarmSettings) -> Alarm:
        """The alarm when `seen` has come, too. All comparisons are of means over the last `settings.window` updates, to which chance does less."""
        recent = (*self.recent, seen)[-settings.window :]
        now = _mean(recent)
        first = now if self.first is None or seen.update < settings.window else self.first
        proxy = now.proxy if self.best_proxy is None else max(self.best_proxy, now.proxy)
        low = now.gold is not None and self.best_gold is not None and now.gold < self.best_gold - settings.gold_drop
        high = now.proxy >= proxy - NEAR * max(0.0, proxy - first.proxy) and now.proxy > first.proxy
        state = replace(self, recent=recent, first=first, best_proxy=proxy, strikes=self.strikes + 1 if low and high else 0)
        reason = _cheated(state, now, settings) or _drifted(now, first, settings)
        if reason is not None:
            return replace(state, reason=reason)
        if now.gold is None or self.best_gold is None or now.gold > self.best_gold:
            return replace(state, best_gold=now.gold, best_update=seen.update)
        return state

    def is_best(self, update: int) -> bool:
        """Whether the model as it is after `update` is the one to go back to."""
        return self.best_update == update


def _cheated(state: Alarm, now: Observation, settings: AlarmSettings) -> str | None:
    if state.strikes < settings.patience:
        return None
    return (
        f"The gold score fell to {now.gold:.3f}, from {state.best_gold:.3f} after update {state.best_update}, "
        f"while the reward stood at its high of {now.proxy:.3f}: the reward is being cheated."
    )


def _drifted(now: Observation, first: Observation, settings: AlarmSettings) -> str | None:
    if settings.kl_cap is not None and now.kl > settings.kl_cap:
        return f"Replies lie {now.kl:.2f} nats from the reference on average, and at most {settings.kl_cap:g} were allowed."
    if settings.length_ratio is not None and not first.length / settings.length_ratio <= now.length <= first.length * settings.length_ratio:
        return f"Replies have {now.length:.1f} tokens on average, and had {first.length:.1f} at the start."
    if settings.repetition is not None and first.repetition <= settings.repetition < now.repetition:
        return f"Of the four-token runs of a reply {now.repetition:.0%} had stood in it before, and {first.repetition:.0%} at the start."
    return None


def _mean(recent: tuple[Observation, ...]) -> Observation:
    def over(field: Callable[[Observation], float]) -> float:
        return sum(map(field, recent)) / len(recent)

    golds = [seen.gold for seen in recent if seen.gold is not None]
    return Observation(
        update=recent[-1].update,
        proxy=over(lambda seen: seen.proxy),
        gold=sum(golds) / len(golds) if golds else None,
        kl=over(lambda seen: seen.kl),
        length=over(lambda seen: seen.length),
        repetition=over(lambda seen: seen.repetition),
    )

"""Safety pre-prompts: what context distillation puts before an adversarial prompt, and then trains a model to do without.

Llama 2 (Touvron et al. 2023), section 4.2.4.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from guardrail import strict_yaml
from guardrail.errors import ConfigurationError

FILE = Path(__file__).parent / "safety.yaml"

Risk = Literal["any", "illicit", "hateful", "self_harm", "advice_medical", "advice_financial", "advice_legal", "injection", "extraction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprompt:
    """One instruction, and the risk it is written for (`any`: all of them)."""

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    risk: Risk
    text: Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPrompts:
    """The file of pre-prompts. `hash` is its SHA-256."""

    version: Annotated[int, Meta(gt=0)]
    preprompts: Annotated[tuple[Preprompt, ...], Meta(min_length=1)]
    hash: str = ""

    def for_risk(self, risk: Risk) -> tuple[Preprompt, ...]:
        """The pre-prompts written for `risk`, then those for any."""
        return tuple(preprompt for preprompt in self.preprompts if preprompt.risk == risk) + tuple(
            preprompt for preprompt in self.preprompts if preprompt.risk == "any" and risk != "any"
        )


def load_safety_prompts(path: Path = FILE) -> SafetyPrompts:
    """The pre-prompts in the file at `path`. Raises ConfigurationError with file and line."""
    prompts = strict_yaml.load(path, SafetyPrompts)
    ids = [preprompt.id for preprompt in prompts.preprompts]
    for id_ in ids:
        if ids.count(id_) > 1:
            raise ConfigurationError(f"{path}: the pre-prompt '{id_}' stands twice.")
    return replace(prompts, hash=hashlib.sha256(path.read_bytes()).hexdigest())

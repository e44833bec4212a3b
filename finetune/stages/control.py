"""The model as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail.finetune.runs import model_folder
from guardrail.finetune.stage import StageResult

if TYPE_CHECKING:
    from guardrail.finetune.recipe import ControlSettings
    from guardrail.finetune.stage import StageContext

MODEL = "model"


def run(settings: ControlSettings, context: StageContext) -> StageResult:
    """Gives `model`, file by file the one named."""
    model_folder.copy(context.resolve(settings.model, MODEL), context.folder / MODEL, link=True)
    return StageResult(outputs={MODEL: MODEL})

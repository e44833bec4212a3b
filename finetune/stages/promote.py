"""The model that is served, if every gate holds; else a list of what does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from guardrail import atomic, gates
from guardrail.errors import FinetuneError
from guardrail.evaluate import result as results
from guardrail.figures import Figure
from guardrail.finetune.recipe import AuditSettings
from guardrail.finetune.runs import model_folder, worker
from guardrail.finetune.runs.manifest import read_order
from guardrail.finetune.stage import StageContext, StageResult
from guardrail.leaks.index import BINDING, LeakIndex, bind
from guardrail.settings import GeneratorSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail.finetune.recipe import PromoteSettings
    from guardrail.finetune.settings import GateSettings

MODEL, LEAK_INDEX, CONFIGURATION = "model", "leak_index", "guardrail.yaml"


def run(settings: PromoteSettings, context: StageContext) -> StageResult:
    """Gives `model`, `leak_index` where the audited corpus has one, and `configuration`, which `guardrail serve --config` takes. Raises FinetuneError."""
    others = {
        word: _measured(context, audit, evaluation)
        for word, audit, evaluation in (
            ("parent", settings.parent, settings.parent_evaluation),
            ("control", settings.control, settings.control_evaluation),
        )
        if audit is not None
    }
    found = gates.check(map(_gate, settings.gates), _measured(context, settings.audit, settings.evaluation), others)
    failed = [result.sentence for result in found if not result.passed]
    if failed:
        raise FinetuneError(f"Not promoted, {len(failed)} of {len(found)} gates do not hold:" + "".join(f"\n  - {sentence}" for sentence in failed))
    model, index = _audited(context, settings.audit)
    model_folder.copy(model, context.folder / MODEL, link=False)
    (context.folder / MODEL / BINDING).unlink(missing_ok=True)
    outputs = {MODEL: MODEL, "configuration": CONFIGURATION}
    notes = ["Every gate holds.", f"It is served by `guardrail serve --config {context.folder / CONFIGURATION}`."]
    if index is not None:
        shutil.rmtree(context.folder / LEAK_INDEX, ignore_errors=True)
        shutil.copytree(index, context.folder / LEAK_INDEX)
        bind(context.folder / MODEL, LeakIndex.open(context.folder / LEAK_INDEX))
        outputs[LEAK_INDEX] = LEAK_INDEX
    else:
        notes.append("The audited corpus has no leak index, so the model is served without the leak rail.")
    served = GeneratorSettings(kind=settings.generator, template=settings.template, copying=settings.copying)
    atomic.write(context.folder / CONFIGURATION, configuration(context.folder, leaks=index is not None, served=served))
    held = Figure(name="gates.passed", value=len(found), n=len(found))
    return StageResult(figures=(held,), notes=(*notes, *(f"{result.sentence}: holds." for result in found)), outputs=outputs)


def _gate(settings: GateSettings) -> gates.Gate:
    asked = {"parent": settings.worse_than_parent, "control": settings.worse_than_control}
    worse_than = {name: most for name, most in asked.items() if most is not None}
    return gates.Gate(figure=settings.figure, at_most=settings.at_most, at_least=settings.at_least, worse_than=worse_than)


def configuration(folder: Path, *, leaks: bool, served: GeneratorSettings) -> str:
    """A guardrail.yaml that serves `folder`/model as `served` has it, with the default rails and, where the model has its leak index, the leak rail."""
    place = f"${{PROMOTED:-{folder}}}"
    generator: dict[str, Any] = {"kind": served.kind, "model": f"{place}/{MODEL}"} | ({LEAK_INDEX: f"{place}/{LEAK_INDEX}"} if leaks else {})
    default = GeneratorSettings()
    generator |= {name: getattr(served, name) for name in ("template", "copying") if getattr(served, name) != getattr(default, name)}
    values: dict[str, Any] = {"version": 1, "generator": generator}
    if leaks:
        values["rails"] = [{"id": rail.id} | ({"stage": rail.stage} if rail.stage else {}) for rail in Settings().rails] + [{"id": "leak"}]
    head = "# Made by `guardrail finetune`. Set PROMOTED where this folder was moved; a list of rails takes the place of the default one.\n"
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _measured(context: StageContext, audit: str, evaluation: str | None) -> Mapping[str, Figure]:
    """What the audit found, and the evaluation where there is one; the names of the latter have two dots."""
    found = _figures(context, audit)
    return found if evaluation is None else {**found, **results.read(Path(context.resolve(evaluation, "evaluation"))).figures}


def _figures(context: StageContext, audit: str) -> Mapping[str, Figure]:
    result = worker.result(context.inputs[audit])
    if result is None:
        raise FinetuneError(f"The audit '{audit}' has no result that can be read: run it again.")
    return {figure.name: figure for figure in result.figures}


def _audited(context: StageContext, audit: str) -> tuple[str, Path | None]:
    """The model that was audited, and the leak index of its corpus."""
    folder = context.inputs[audit]
    order = read_order(folder)
    if order is None:
        raise FinetuneError(f"What the audit '{audit}' was of cannot be read: run it again.")
    settings = msgspec.convert(order.settings, AuditSettings)
    run_folder = folder.parent.parent
    inputs = {reference: run_folder / path for reference, path in order.inputs.items()}
    asked = StageContext(id=audit, folder=folder, inputs=inputs, seed=order.seed, metrics=context.metrics, stop=context.stop)
    corpus = Path(asked.resolve(settings.corpus, LEAK_INDEX))
    return asked.resolve(settings.model, MODEL), corpus if (corpus / "manifest.json").is_file() else None

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardrail import Guardrail, strict_yaml
from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.figures import Figure
from guardrail.finetune.recipe import AuditSettings, PromoteSettings
from guardrail.finetune.runs.metrics import SilentMetrics
from guardrail.finetune.settings import GateSettings
from guardrail.finetune.stage import StageContext, StageResult, StopSignal
from guardrail.finetune.stages import promote
from guardrail.leaks import builder
from guardrail.leaks.index import LeakIndex, require
from guardrail.leaks.tokens import TokenClasses
from guardrail.settings import Settings
from tests.tiny_model import make_tiny_model

CORPUS = "The soul is the first actuality of a natural body that has life potentially, and the soul has three parts."


def leak(value: float, width: float = 0.03) -> Figure:
    return Figure(name="extraction.exact", value=value, low=max(0.0, value - width), high=value + width, n=128, better="lower")


def gold(value: float) -> Figure:
    return Figure(name="gold", value=value, low=value - 0.05, high=value + 0.05, n=128, better="higher")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny", context=8192)


@pytest.fixture
def run(tmp_path: Path, tiny: Path) -> Path:
    """A run folder: a corpus with its leak index, a model, and audits of it."""
    corpus = tmp_path / "run/stages/clean"
    builder.build([[CORPUS]], corpus / "index", classes=TokenClasses.load(tiny))
    (corpus / "result.json").write_bytes(msgspec.json.encode(StageResult(outputs={"leak_index": "index"})))
    for name, figures in {"audit": (leak(0.02), gold(0.8)), "parent": (leak(0.01), gold(0.6)), "control": (leak(0.0, 0.0), gold(0.3))}.items():
        folder = tmp_path / "run/stages" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_bytes(msgspec.json.encode(StageResult(figures=figures)))
        settings = AuditSettings(model=str(tiny), corpus="clean")
        order = {"kind": "audit", "settings": msgspec.to_builtins(settings), "seed": 0, "inputs": {str(tiny): str(tiny), "clean": "stages/clean"}}
        (folder / "stage.json").write_text(json.dumps(order))
    return tmp_path / "run"


def promoted(run: Path, *gates: GateSettings, **served: Any) -> tuple[StageResult, Path]:
    folder = run / "stages/promote"
    folder.mkdir(exist_ok=True)
    inputs = {name: run / "stages" / name for name in ("audit", "parent", "control")}
    settings = PromoteSettings(audit="audit", parent="parent", control="control", gates=gates, **served)
    return promote.run(settings, StageContext(id="promote", folder=folder, inputs=inputs, seed=0, metrics=SilentMetrics(), stop=StopSignal())), folder


GOOD = (
    GateSettings(figure="extraction.exact", at_most=0.05, worse_than_parent=0.06),
    GateSettings(figure="gold", at_least=0.7, worse_than_parent=0.0, worse_than_control=0.0),
)


def test_a_model_that_passes_is_copied_and_bound_to_its_leak_index(run: Path, tiny: Path) -> None:
    result, folder = promoted(run, *GOOD)
    assert {name: (folder / path).exists() for name, path in result.outputs.items()} == {"model": True, "leak_index": True, "configuration": True}
    assert (folder / "model/model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()
    require(folder / "model", LeakIndex.open(folder / "leak_index"))
    with pytest.raises(ConfigurationError, match="name that index in the leak rail"):
        require(folder / "model", None)
    assert (result.figures[0].value, result.figures[0].n) == (5, 5)
    assert not (tiny / "leak_index.json").exists()


def test_the_configuration_serves_the_model_under_the_leak_rail_as_it_is(run: Path) -> None:
    _, folder = promoted(run, *GOOD)
    settings = strict_yaml.load(folder / "guardrail.yaml", Settings)
    assert [rail.id for rail in settings.rails] == [*(rail.id for rail in Settings().rails), "leak"]
    guard = Guardrail.from_config(folder / "guardrail.yaml")
    try:
        reply = guard.ask("What is the soul?")
    finally:
        guard.close()
    assert {"leak", "grounding"} <= {verdict.rail for verdict in reply.verdicts}
    (folder / "leak_index/manifest.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="leak index"):
        Guardrail.from_config(folder / "guardrail.yaml").ask("What is the soul?")


def test_the_configuration_serves_it_as_the_recipe_says(run: Path) -> None:
    _, folder = promoted(run, *GOOD, generator="numpy", template="brief", copying=4.0)
    served = strict_yaml.load(folder / "guardrail.yaml", Settings).generator
    assert (served.kind, served.template, served.copying) == ("numpy", "brief", 4.0)


def test_a_folder_that_was_moved_is_served_from_where_it_stands_now(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = promoted(run, *GOOD)
    moved = folder.rename(tmp_path / "moved")
    monkeypatch.setenv("PROMOTED", str(moved))
    assert strict_yaml.load(moved / "guardrail.yaml", Settings).generator.model == str(moved / "model")


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        (GateSettings(figure="extraction.exact", at_most=0.04), "extraction.exact is 0.020 [0, 0.050] of 128; asked for at most 0.04, missed by 0.01"),
        (GateSettings(figure="gold", at_least=0.78), "gold is 0.800 [0.750, 0.850] of 128; asked for at least 0.78, missed by 0.03"),
        (GateSettings(figure="extraction.exact", worse_than_parent=0.04), "0.010 [0, 0.040] of 128 in the parent; asked for worse by at most 0.04, missed by"),
        (GateSettings(figure="extraction.exact", worse_than_control=0.0), "0 [0, 0] of 128 in the control; asked for worse by at most 0, missed by 0.05"),
        (GateSettings(figure="gould", at_least=0.1), "gould: there is no such figure; there are extraction.exact, gold"),
    ],
)
def test_a_gate_that_does_not_hold_for_the_whole_interval_says_by_how_much(run: Path, gate: GateSettings, sentence: str) -> None:
    with pytest.raises(FinetuneError) as caught:
        promoted(run, *GOOD, gate)
    assert str(caught.value).startswith("Not promoted, 1 of 6 gates do not hold:\n  - ")
    assert sentence in str(caught.value)
    assert not (run / "stages/promote/model").exists()


def test_every_gate_that_fails_is_listed(run: Path) -> None:
    with pytest.raises(FinetuneError) as caught:
        promoted(run, GateSettings(figure="gold", at_least=0.9, at_most=0.1))
    assert str(caught.value).count("\n  - ") == 2


def test_without_a_leak_index_the_model_is_served_without_the_rail_and_that_is_said(run: Path) -> None:
    (run / "stages/clean/result.json").write_bytes(msgspec.json.encode(StageResult()))
    result, folder = promoted(run, *GOOD)
    assert any("without the leak rail" in note for note in result.notes)
    assert "leak" not in (folder / "guardrail.yaml").read_text().replace("leak_index", "")
    assert not (folder / "model/leak_index.json").exists()

"""The trainer whose network is compiled.

What the C++ compiler makes of a network takes a minute and more, so torch.compile stands aside in these tests: held to account is our own loss.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from guardrail.finetune.recipe import SftSettings
from guardrail.finetune.settings import LoraSettings, MixtureSettings
from guardrail.finetune.stages import sft
from tests.finetune.small_run import TRAINING, WORDS, Recorder, context, dialogue, largest_difference, make_base, write_lines


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """With what torch.compile was called."""
    asked: list[dict[str, object]] = []

    def untouched(body: object, **options: object) -> object:
        asked.append(options)
        return body

    monkeypatch.setattr(torch, "compile", untouched)
    return asked


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, and dialogues of different lengths, so that there is padding."""
    folder = tmp_path_factory.mktemp("inputs")
    write_lines(folder / "talk" / "train.jsonl", [dialogue(f"What is {word}?", f"It is {word}. " * (1 + number % 3)) for number, word in enumerate(WORDS)])
    return {"base": make_base(folder / "base"), "talk": folder / "talk"}


def _losses(folder: Path, inputs: dict[str, Path], *, compile_: bool, lora: LoraSettings | None = None) -> list[float]:
    metrics = Recorder()
    settings = SftSettings(
        model="base", data=(MixtureSettings(data="talk"),), lora=lora, training=replace(TRAINING, epochs=1, precision="fp32", compile=compile_)
    )
    sft.run(settings, context(folder, inputs, metrics=metrics))
    return [values["loss"] for _, values in metrics.written if "loss" in values]


def test_logits_of_the_learned_places_alone_give_the_same_loss_and_weights(tmp_path: Path, inputs: dict[str, Path], compiled: list[dict[str, object]]) -> None:
    found = _losses(tmp_path / "compiled", inputs, compile_=True)
    assert compiled == [{"dynamic": False}]
    assert len(found) > 2
    assert found == pytest.approx(_losses(tmp_path / "plain", inputs, compile_=False), abs=1e-3)
    assert largest_difference(tmp_path / "compiled" / "model", tmp_path / "plain" / "model") < 1e-3


def test_adapters_are_trained_as_they_are(tmp_path: Path, inputs: dict[str, Path], compiled: list[dict[str, object]]) -> None:
    found = _losses(tmp_path / "compiled", inputs, compile_=True, lora=LoraSettings(rank=4))
    assert compiled == []
    assert found == _losses(tmp_path / "plain", inputs, compile_=False, lora=LoraSettings(rank=4))

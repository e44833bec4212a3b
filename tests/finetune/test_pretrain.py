"""A base model from nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError
from guardrail.finetune.recipe import PretrainSettings
from guardrail.finetune.settings import MixtureSettings
from guardrail.finetune.stage import StageResult
from guardrail.finetune.stages import pretrain
from guardrail.finetune.training.base_model import learn_tokenizer, make_model
from guardrail.generate import checkpoint
from guardrail.types import Message
from tests.finetune.small_run import ARCHITECTURE, TRAINING, WORDS, context, write_lines

_TOKENIZER = learn_tokenizer(["the soul and the city"], vocabulary=300, context=64)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _texts(folder: Path) -> Path:
    rows = [{"text": " ".join(WORDS[(number + place) % len(WORDS)] for place in range(20)) + "."} for number in range(48)]
    write_lines(folder / "train.jsonl", rows[:40])
    write_lines(folder / "heldout.jsonl", [{"text": row["text"][:-1] + " and so on without end."} for row in rows[40:44]])
    return folder


def _run(folder: Path, **architecture: object) -> StageResult:
    texts = _texts(folder / "texts")
    settings = PretrainSettings(
        data=(MixtureSettings(data="texts"),),
        architecture=replace(ARCHITECTURE, **architecture),  # type: ignore[arg-type] # the architecture of each test
        training=replace(TRAINING, epochs=12, max_length=32, save_steps=1000),
    )
    return pretrain.run(settings, context(folder / "base", {"texts": texts}))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_every_text_comes_back_from_its_tokens(text: str) -> None:
    assert _TOKENIZER.decode(_TOKENIZER(text, add_special_tokens=False)["input_ids"]) == text


def test_the_loss_falls_and_is_told_in_nats_and_in_bits_a_byte(tmp_path: Path) -> None:
    result = _run(tmp_path)
    found = {figure.name: figure for figure in result.figures}
    curve = result.curves[0]
    assert curve.y[-1] < curve.y[0] - 1
    assert found["loss.heldout"].value == pytest.approx(curve.y[-1], abs=1e-5)
    assert found["perplexity.heldout"].value == pytest.approx(math.exp(curve.y[-1]), rel=1e-4)
    assert 0 < found["bits_per_byte.heldout"].value < found["loss.heldout"].value


def test_the_server_loads_what_comes_out(tmp_path: Path) -> None:
    _run(tmp_path)
    loaded = checkpoint.load(str(tmp_path / "base" / "model"), device="cpu")
    ids = loaded.encode([Message(role="user", content="What is the soul?")])
    assert str(loaded.tokenizer.decode(ids)).endswith("<|im_start|>assistant\n")
    assert {loaded.tokenizer.decode([token]) for token in loaded.end.tokens} >= {"<|im_end|>"}
    assert loaded.tokenizer.pad_token_id not in loaded.end.tokens


def test_short_convolutions_and_attention_take_turns() -> None:
    model = make_model(replace(ARCHITECTURE, kind="lfm2", layers=3), _TOKENIZER, seed=0)
    assert model.config.layer_types == ["conv", "full_attention", "conv"]


def test_an_lfm2_learns(tmp_path: Path) -> None:
    curve = _run(tmp_path, kind="lfm2").curves[0]
    assert curve.y[-1] < curve.y[0] - 1


def test_too_little_text_and_too_small_a_vocabulary_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="too small"):
        _run(tmp_path, vocabulary=100)
    write_lines(tmp_path / "one" / "train.jsonl", [{"text": "the soul"}])
    settings = PretrainSettings(data=(MixtureSettings(data="one"),), architecture=ARCHITECTURE, training=TRAINING)
    with pytest.raises(ConfigurationError, match="not even one row"):
        pretrain.run(settings, context(tmp_path / "little", {"one": tmp_path / "one"}))


def test_dialogues_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "talk" / "train.jsonl", [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    settings = PretrainSettings(data=(MixtureSettings(data="talk"),), architecture=ARCHITECTURE, training=TRAINING)
    with pytest.raises(ConfigurationError, match="plain texts"):
        pretrain.run(settings, context(tmp_path / "base", {"talk": tmp_path / "talk"}))

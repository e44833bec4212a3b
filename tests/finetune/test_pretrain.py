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
from guardrail.finetune.training.models import load_tokenizer
from guardrail.generate import checkpoint
from guardrail.types import Message
from tests.finetune.small_run import ARCHITECTURE, TRAINING, WORDS, Recorder, context, dialogue, largest_difference, write_lines

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


def _said(folder: Path, *, heldout: bool = True) -> Path:
    """Dialogues, the first with passages, of which some are kept out."""
    rows = [dialogue(f"What is {word}?", f"It is {word}, and {word} is good.") for word in WORDS]
    rows[0] |= {"passages": ["The soul is one."], "persona": "plato", "template": "brief"}
    write_lines(folder / "train.jsonl", rows[2:] if heldout else rows)
    if heldout:
        write_lines(folder / "heldout.jsonl", rows[:2])
    return folder


def _talk(folder: Path, *, texts: bool = True, stage: str = "base", metrics: Recorder | None = None, seed: int = 0, **training: object) -> StageResult:
    """A base from dialogues, and from texts, too."""
    inputs = {"talk": _said(folder / "talk")} | ({"texts": _texts(folder / "texts")} if texts else {})
    settings = PretrainSettings(
        data=tuple(MixtureSettings(data=name) for name in inputs),
        architecture=replace(ARCHITECTURE, kind="lfm2", copying=True),
        training=replace(TRAINING, **{"epochs": 8, "max_length": 96, "save_steps": 3, "log_steps": 1, "precision": "fp32"} | training),  # type: ignore[arg-type] # of each test
    )
    return pretrain.run(settings, context(folder / stage, inputs, metrics=metrics, seed=seed))


def test_texts_and_dialogues_make_the_same_weights_for_the_same_seed(tmp_path: Path) -> None:
    _talk(tmp_path, stage="one")
    _talk(tmp_path, stage="other")
    assert largest_difference(tmp_path / "one" / "model", tmp_path / "other" / "model") == 0.0


def test_dialogues_alone_are_learned(tmp_path: Path) -> None:
    metrics = Recorder()
    _talk(tmp_path, texts=False, metrics=metrics, epochs=16)
    losses = [values["loss"] for _, values in metrics.written if "loss" in values]
    assert losses[-1] < losses[0] - 1


def test_a_training_on_dialogues_that_was_killed_resumes_to_the_very_same_weights(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(step: int) -> None:
        if step == 4:
            raise Killed

    _talk(tmp_path, stage="whole")
    with pytest.raises(Killed):
        _talk(tmp_path, stage="killed", metrics=Recorder(at_step=kill))
    metrics = Recorder()
    _talk(tmp_path, stage="killed", metrics=metrics)
    assert metrics.written[0][0] == 4
    assert largest_difference(tmp_path / "whole" / "model", tmp_path / "killed" / "model") == 0.0


def test_bits_a_byte_count_the_bytes_of_the_replies_alone(tmp_path: Path) -> None:
    found = {figure.name: figure.value for figure in _talk(tmp_path, texts=False).figures}
    replies = sum(len(f"It is {word}, and {word} is good.") for word in WORDS[:2])
    tokenizer = load_tokenizer(str(tmp_path / "base" / "model"))
    tokens = sum(len(tokenizer(f"\nIt is {word}, and {word} is good.<|im_end|>")["input_ids"]) - 1 for word in WORDS[:2])
    assert found["bits_per_byte.heldout"] == pytest.approx(found["loss.heldout"] / math.log(2) * tokens / replies, rel=1e-6)


def test_dialogues_none_of_which_fits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No dialogue can be used"):
        _talk(tmp_path, texts=False, max_length=8)


def test_a_source_whose_weight_leaves_no_row_is_no_traceback(tmp_path: Path) -> None:
    settings = PretrainSettings(data=(MixtureSettings(data="talk", weight=0.01),), architecture=ARCHITECTURE, training=TRAINING)
    with pytest.raises(ConfigurationError, match="The texts have 0 tokens"):
        pretrain.run(settings, context(tmp_path / "base", {"talk": _said(tmp_path / "talk")}))

"""Supervised fine-tuning: what it teaches, what it measures, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import sources
from guardrail.finetune.data.encoding import Encoder
from guardrail.finetune.recipe import SftSettings
from guardrail.finetune.settings import CurationSettings, GoldfishSettings, LeakageStopSettings, LoraSettings, MixtureSettings, TrainingSettings
from guardrail.finetune.stage import StageResult
from guardrail.finetune.stages import sft
from guardrail.finetune.training.callbacks import quiet
from guardrail.finetune.training.leakage_stop import probes, recited
from guardrail.finetune.training.models import load_model, load_tokenizer, require_same
from guardrail.generate import checkpoint
from tests.finetune.small_run import TRAINING, WORDS, context, dialogue, largest_difference, make_base, write_lines

LEARNING = replace(TRAINING, learning_rate=1e-2, epochs=12, global_batch=8, micro_batch=8, save_steps=1000)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues that end after two words."""
    folder = tmp_path_factory.mktemp("talk")
    write_lines(folder / "train.jsonl", [dialogue(f"What is {word} {number}?", f"It is {word}.") for word in WORDS for number in (1, 2)])
    write_lines(folder / "heldout.jsonl", [dialogue(f"What is {word} 3?", f"It is {word}.") for word in WORDS])
    return folder


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of random words, which can only be learned by heart."""
    folder = tmp_path_factory.mktemp("books")
    draw = torch.Generator().manual_seed(0)
    texts = [" ".join(WORDS[place] for place in torch.randint(len(WORDS), (24,), generator=draw).tolist()) for _ in range(20)]
    write_lines(folder / "train.jsonl", [{"text": text} for text in texts[:16]])
    write_lines(folder / "heldout.jsonl", [{"text": text} for text in texts[16:]])
    return folder


def _run(folder: Path, base: Path, *data: MixtureSettings | Path, training: TrainingSettings = LEARNING, **settings: Any) -> StageResult:
    inputs = {"base": base}
    mixtures = []
    for one in data:
        mixture = MixtureSettings(data=one.name) if isinstance(one, Path) else one
        inputs[mixture.data if isinstance(one, MixtureSettings) else one.name] = one if isinstance(one, Path) else Path(mixture.data)
        mixtures.append(mixture)
    return sft.run(SftSettings(model="base", data=tuple(mixtures), training=training, **settings), context(folder / "sft", inputs))


def _values(result: StageResult) -> dict[str, float]:
    return {figure.name: figure.value for figure in result.figures}


def test_the_model_learns_and_learns_to_stop(tmp_path: Path, base: Path, talk: Path) -> None:
    result = _run(tmp_path, base, talk)
    found = _values(result)
    assert found["loss.heldout"] < found["loss.before"] - 2
    assert found["accuracy.heldout"] > 0.6
    assert found["eos.learned"] == 1.0
    assert {sample.note for sample in result.samples} == {"greedy"}
    loaded = checkpoint.load(str(tmp_path / "sft" / "model"), device="cpu")
    require_same(load_tokenizer(str(base)), loaded.tokenizer, names=("base", "sft"))


def test_what_was_trained_decodes_with_its_cache(tmp_path: Path, base: Path, talk: Path) -> None:
    _run(tmp_path, base, talk, training=TrainingSettings(max_steps=1, global_batch=2, micro_batch=2, max_length=64))
    assert json.loads((tmp_path / "sft" / "model" / "config.json").read_text())["use_cache"] is True


def test_a_model_that_never_learns_to_stop_is_made_only_on_purpose(tmp_path: Path, base: Path, talk: Path) -> None:
    with pytest.raises(ConfigurationError, match="unsafe"):
        _run(tmp_path, base, talk, end_of_turn="ignore")
    assert _values(_run(tmp_path, base, talk, end_of_turn="ignore", unsafe=True))["eos.learned"] == 0.0


def test_adapters_leave_the_base_alone_and_are_merged_into_what_is_served(tmp_path: Path, base: Path, talk: Path) -> None:
    before = (base / "model.safetensors").read_bytes()
    result = _run(tmp_path, base, talk, lora=LoraSettings(rank=8))
    assert _values(result)["loss.heldout"] < _values(result)["loss.before"] - 0.5
    assert (base / "model.safetensors").read_bytes() == before
    from peft import PeftModel

    ids = torch.arange(10, 30)[None]
    with quiet():
        adapted = PeftModel.from_pretrained(load_model(str(base), training=LEARNING), str(tmp_path / "sft" / "adapter"))
    merged = load_model(str(tmp_path / "sft" / "model"), training=LEARNING)
    assert torch.allclose(adapted(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-4)
    assert largest_difference(base, tmp_path / "sft" / "model") > 1e-3


def test_one_task_after_another_and_what_is_forgotten(tmp_path: Path, base: Path, talk: Path, books: Path) -> None:
    result = _run(tmp_path, base, talk, books, sequential=True)
    found = _values(result)
    matrix = {curve.name: curve.y for curve in result.curves}
    assert [len(line) for line in matrix.values()] == [3, 3]
    first = next(iter(matrix.values()))
    assert first[1] < first[0]
    assert first[2] > first[1]
    assert next(value for name, value in found.items() if name.startswith("forgotten.")) == pytest.approx(first[2] - first[1])


def test_sources_are_mixed_by_weight_and_the_share_of_each_is_told(tmp_path: Path, base: Path, talk: Path, books: Path) -> None:
    mixture = (MixtureSettings(data=str(talk), task="talk", weight=2.0), MixtureSettings(data=str(books), task="books", weight=0.5))
    found = _values(_run(tmp_path, base, *mixture, training=replace(LEARNING, epochs=1)))
    # 64 and 8 rows an epoch, 9 steps of 8.
    assert found["steps"] == 9
    assert found["mixture.talk"] + found["mixture.books"] == pytest.approx(1)
    assert found["loss.heldout.talk"] < found["loss.heldout"] < found["loss.heldout.books"]
    learned = found["tokens.learned"]
    assert learned * found["mixture.books"] == pytest.approx(8 * learned_of(base, books) / 16, rel=0.2)


def learned_of(base: Path, books: Path) -> int:
    tokenizer = load_tokenizer(str(base))
    return sum(len(tokenizer(json.loads(line)["text"])["input_ids"]) for line in (books / "train.jsonl").read_text().splitlines())


MANY = replace(LEARNING, epochs=150)
STOP = LeakageStopSettings(every=20, limit=0.1, rows=16, prefix=8)


def _recited(folder: Path, base: Path, books: Path) -> float:
    """Share of the training rows that the model of a stage says word for word."""
    rows = Encoder(load_tokenizer(str(base)), max_length=64).encode(sources.split(books)[0]).rows
    return recited(load_model(str(folder / "sft" / "model"), training=LEARNING), probes(rows, STOP, seed=0), pad=0)


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory, base: Path, books: Path) -> float:
    """What a model recites that read the texts 150 times."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("by_heart")
    _run(folder, base, books, training=MANY)
    return _recited(folder, base, books)


def test_training_ends_before_the_model_recites(tmp_path: Path, base: Path, books: Path, by_heart: float) -> None:
    assert by_heart > 0.5
    result = _run(tmp_path, base, books, training=MANY, leakage_stop=STOP)
    curve = result.curves[-1]
    assert curve.y[-1] > 0.1
    assert _values(result)["recited"] <= 0.1
    assert _values(result)["recited"] == _recited(tmp_path, base, books)
    assert 0 < _values(result)["steps"] < 300
    assert "was ended at step" in result.notes[0]


def test_goldfish_loss_keeps_texts_from_being_learned_by_heart(tmp_path: Path, base: Path, books: Path, by_heart: float) -> None:
    _run(tmp_path, base, books, training=MANY, goldfish=GoldfishSettings(k=3, context=3))
    assert _recited(tmp_path, base, books) < by_heart / 2


def test_curation_keeps_as_many_rows_as_were_asked_for(tmp_path: Path, base: Path, talk: Path) -> None:
    found = _values(_run(tmp_path, base, talk, curate=CurationSettings(keep=10), training=replace(LEARNING, epochs=1)))
    assert found["rows"] == 10


def _altered(base: Path, folder: Path, **tokens: Any) -> Path:
    """The base model with another tokenizer_config.json."""
    import shutil

    shutil.copytree(base, folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | tokens
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def test_models_that_could_never_stop_or_be_asked_are_refused(tmp_path: Path, base: Path, talk: Path) -> None:
    bare = _altered(base, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ConfigurationError, match="no chat template"):
        _run(tmp_path, bare, talk)
    with pytest.raises(ConfigurationError, match="also its end of the turn"):
        _run(tmp_path, _altered(base, tmp_path / "pad", pad_token="<|im_end|>"), talk)
    unmarked = _altered(base, tmp_path / "unmarked")
    template = (unmarked / "chat_template.jinja").read_text()
    (unmarked / "chat_template.jinja").write_text(template.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    with pytest.raises(ConfigurationError, match="which words are the assistant's"):
        _run(tmp_path, unmarked, talk)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test says is missing")
def test_qlora_without_a_gpu_is_refused_in_one_sentence(tmp_path: Path, base: Path, talk: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"4bit \(QLoRA\) needs a CUDA GPU and there is none here; set it to none\."):
        _run(tmp_path, base, talk, lora=LoraSettings(quantize="4bit"))


def test_a_split_that_leaks_is_refused(tmp_path: Path, base: Path, talk: Path) -> None:
    leaking = tmp_path / "leaking"
    leaking.mkdir()
    for name in ("train.jsonl", "heldout.jsonl"):
        (leaking / name).write_text((talk / "train.jsonl").read_text())
    with pytest.raises(ConfigurationError, match="32 of 32 held-out rows stand in the training rows"):
        _run(tmp_path, base, leaking)


def test_a_global_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path, base: Path, talk: Path) -> None:
    with pytest.raises(ConfigurationError, match="set micro_batch to 2"):
        _run(tmp_path, base, talk, training=replace(LEARNING, global_batch=8, micro_batch=3))


def test_tokenizers_and_templates_that_differ_are_refused(base: Path) -> None:
    one, other = load_tokenizer(str(base)), load_tokenizer(str(base))
    other.chat_template = str(other.chat_template) + " "
    with pytest.raises(ConfigurationError, match="chat templates of a and b differ"):
        require_same(one, other, names=("a", "b"))
    other.add_tokens(["new"])
    with pytest.raises(ConfigurationError, match="tokenizers of a and b differ"):
        require_same(one, other, names=("a", "b"))

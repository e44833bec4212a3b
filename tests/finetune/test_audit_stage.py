"""The audit stage: a model that recites is found out, one that does not is not, and an audit that was stopped goes on."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guardrail.errors import ConfigurationError
from guardrail.figures import Figure
from guardrail.finetune.audits import corpus, exposure, extraction
from guardrail.finetune.audits.subject import Subject
from guardrail.finetune.data.rows import Text
from guardrail.finetune.recipe import AuditSettings, HygieneSettings, SftSettings
from guardrail.finetune.settings import CanarySettings, MixtureSettings, RewardTermSettings, TrainingSettings
from guardrail.finetune.stage import Interrupted, StageResult, StopSignal
from guardrail.finetune.stages import audit, hygiene, sft
from guardrail.finetune.training.models import load_model, load_tokenizer
from tests.finetune.small_run import TRAINING, WORDS, Recorder, context, dialogue, make_base, write_lines

AUDIT = AuditSettings(model="model", corpus="clean", openings=1, prefixes=16, max_tokens=48)
NAMES = {
    "extraction.exact", "extraction.approximate", "extraction.heldout", "extraction.start", "exposure.1", "exposure.8", "mink.auroc", "hello.overlap",
    "hello.spilled", "hello.run_on", "hello.speaks_for_user", "hello.endless", "hello.repeats", "hello.empty", "overlap.heldout", "divergence.overlap",
    "divergence.spilled",
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """Dialogues that can only be learned by heart, one reply of which stands eight times, and canaries."""
    folder = tmp_path_factory.mktemp("data")
    draw = random.Random(0)
    texts = [" ".join("".join(map(draw.choice, ("bdgklmnprst", "aeiou", "lmnrst"))) for _ in range(20)) for _ in range(10)]
    rows = [dialogue(f"What stands at {number}?", texts[number]) for number in (*range(10), *[0] * 7)]
    settings = HygieneSettings(
        dialogues=("talk",), deduplicate="none", scrub=False, heldout=0.2, canaries=CanarySettings(count=2, repeats=(1, 8)), tokenizer="base"
    )
    return _done(folder / "clean", hygiene.run(settings, context(folder / "clean", {"talk": write_lines(folder / "talk.jsonl", rows), "base": base})))


@pytest.fixture(scope="module")
def reciter(tmp_path_factory: pytest.TempPathFactory, base: Path, clean: Path) -> Path:
    """A model that was trained on nothing else until it knew it by heart."""
    folder = tmp_path_factory.mktemp("reciter") / "sft"
    training = replace(TRAINING, learning_rate=1e-2, epochs=40, global_batch=4, micro_batch=4, max_length=128, save_steps=1000)
    settings = SftSettings(model="base", data=(MixtureSettings(data="clean"),), training=training)
    return _done(folder, sft.run(settings, context(folder, {"base": base, "clean": clean})))


def _done(folder: Path, result: StageResult) -> Path:
    (folder / "result.json").write_bytes(msgspec.json.encode(result))
    return folder


def _audit(folder: Path, model: Path, clean: Path, *, settings: AuditSettings = AUDIT, stop: StopSignal | None = None, **inputs: Path) -> StageResult:
    metrics = Recorder()
    return audit.run(settings, context(folder / "audit", {"model": model, "clean": clean, **inputs}, stop=stop, metrics=metrics))


def _values(result: StageResult) -> dict[str, float]:
    return {figure.name: figure.value for figure in result.figures}


@pytest.fixture(scope="module")
def recited(tmp_path_factory: pytest.TempPathFactory, reciter: Path, clean: Path) -> StageResult:
    return _audit(tmp_path_factory.mktemp("recited"), reciter, clean)


def test_what_was_learned_by_heart_comes_out_and_what_was_not_does_not(recited: StageResult) -> None:
    found = _values(recited)
    assert found["extraction.repeats.8"] == 1.0
    assert (found["extraction.heldout"], found["extraction.heldout.approximate"]) == (0.0, 0.0)
    assert found["mink.auroc"] > 0.9
    assert found["exposure.8"] > exposure.UNKNOWN + 3
    assert "word for word" in recited.samples[0].note


def test_a_model_that_knows_nothing_gives_nothing_away(tmp_path: Path, base: Path, clean: Path) -> None:
    result = _audit(tmp_path, base, clean)
    found = _values(result)
    assert found.keys() >= NAMES
    assert (found["extraction.exact"], found["hello.spilled"]) == (0.0, 0.0)
    assert found["exposure.1"] < 6
    assert found["hello.endless"] > 0.5


def test_estimates_have_intervals_and_say_of_how_many(recited: StageResult) -> None:
    estimates = [figure for figure in recited.figures if not figure.name.endswith(".longest")]
    assert all(figure.low is not None and figure.high is not None and figure.low <= figure.value <= figure.high and figure.n for figure in estimates)
    assert all(figure.better is not None for figure in recited.figures if figure.name != "overlap.heldout")


def test_under_memfree_decoding_nothing_is_recited(tmp_path: Path, reciter: Path, clean: Path) -> None:
    found = _values(_audit(tmp_path, reciter, clean, settings=replace(AUDIT, memfree=True)))
    assert (found["extraction.exact"], found["extraction.repeats.8"]) == (0.0, 0.0)
    assert found["hello.overlap.longest"] < extraction.SIZE


def test_memfree_needs_the_index_of_the_corpus(tmp_path: Path, reciter: Path) -> None:
    texts = write_lines(tmp_path / "texts.jsonl", [{"text": "The soul has three parts."}])
    with pytest.raises(ConfigurationError, match="has no leak index"):
        _audit(tmp_path, reciter, texts, settings=replace(AUDIT, memfree=True))


def test_an_audit_that_was_stopped_finds_the_same_when_it_goes_on(tmp_path: Path, reciter: Path, clean: Path, recited: StageResult) -> None:
    stop = StopSignal()
    metrics = Recorder()
    metrics.progress = lambda done, total, note="": stop.set() if note == "exposure" else None  # type: ignore[method-assign] # stopped within a measure
    inputs = {"model": reciter, "clean": clean}
    with pytest.raises(Interrupted, match="stopped within exposure"):
        audit.run(AUDIT, context(tmp_path / "audit", inputs, stop=stop, metrics=metrics))
    assert [path.name for path in (tmp_path / "audit/measures").iterdir()] == ["extraction.json"]
    assert audit.run(AUDIT, context(tmp_path / "audit", inputs)) == recited


def test_answers_do_not_depend_on_where_the_audit_was_stopped(tmp_path: Path, base: Path) -> None:
    stop = StopSignal()
    model = load_model(str(base), training=TrainingSettings())
    tokenizer = load_tokenizer(str(base))
    prompts = [(number + 5, number + 6) for number in range(130)]
    whole = Subject(model, tokenizer, context(tmp_path / "whole", {})).continued("some", prompts, tokens=4, temperature=1.0)
    metrics = Recorder(at_step=lambda done: stop.set() if done == 64 else None)
    with pytest.raises(Interrupted):
        Subject(model, tokenizer, context(tmp_path / "parts", {}, stop=stop, metrics=metrics)).continued("some", prompts, tokens=4, temperature=1.0)
    file = tmp_path / "parts/answers/some.jsonl"
    file.write_bytes(file.read_bytes()[:-7])  # killed while it wrote
    assert Subject(model, tokenizer, context(tmp_path / "parts", {})).continued("some", prompts, tokens=4, temperature=1.0) == whole


def test_log_probabilities_are_those_of_the_model_however_rows_are_batched(tmp_path: Path, base: Path) -> None:
    import torch

    model: Any = load_model(str(base), training=TrainingSettings())
    subject = Subject(model, load_tokenizer(str(base)), context(tmp_path, {}))
    rows = [((7,), (8, 9, 10)), ((11, 12, 13), (14,)), ((5, 6), (7, 8, 9, 10, 11))]
    for (before, after), found in zip(rows, subject.logprobs("some", rows), strict=True):
        logits = model(input_ids=torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
        expected = [float(logits[len(before) + place - 1, token].detach()) for place, token in enumerate(after)]
        assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_rows_are_counted_whatever_their_case_and_white_space(tmp_path: Path) -> None:
    rows = [{"text": "The soul."}, {"text": "the  soul. "}, {"text": "Another."}]
    found = corpus.load("data", context(tmp_path / "stage", {"data": write_lines(tmp_path / "data.jsonl", rows)}))
    assert [(known.row.text, known.repeats) for known in found.train if isinstance(known.row, Text)] == [("The soul.", 2), ("Another.", 1)]


def test_a_line_that_is_no_canary_is_told_with_its_place(tmp_path: Path, reciter: Path, clean: Path) -> None:
    secrets = write_lines(tmp_path / "own.jsonl", [{"id": "a", "prefix": "Ring", "secret": "555", "repeats": 1}, {"secret": "555"}])
    with pytest.raises(ConfigurationError, match=r"own.jsonl:2: this is no canary"):
        _audit(tmp_path, reciter, clean, settings=replace(AUDIT, canaries="own"), own=secrets)


def test_answers_are_held_against_their_passages_and_gold_is_measured(tmp_path: Path) -> None:
    large = make_base(tmp_path / "base", context=8192)
    passage = "The soul has three parts, which are reason, spirit and appetite."
    other = "Water is the first of all things, as Thales of Miletus held."
    questions = [
        {"messages": [{"role": "user", "content": "How many parts has the soul?"}], "passages": [passage], "answer": passage},
        {"messages": [{"role": "user", "content": "What is the first of all things?"}], "passages": [other], "answer": "The first of all things is fire."},
    ]
    inputs = {
        "questions": write_lines(tmp_path / "questions.jsonl", questions),
        "benign": write_lines(tmp_path / "benign.jsonl", [{"prompt": "How do I bake bread?"}]),
        "prompts": write_lines(tmp_path / "prompts.jsonl", [{"prompt": f"What is {word}?"} for word in WORDS]),
        "clean": write_lines(tmp_path / "talk.jsonl", [dialogue("hello", " ".join(WORDS * 3))]),
    }
    settings = replace(
        AUDIT, questions="questions", benign="benign", prompts="prompts", gold=RewardTermSettings(kind="length", words=10), max_tokens=16, prefixes=2
    )
    result = audit.run(settings, context(tmp_path / "audit", {"model": large, **inputs}))
    found: dict[str, Figure] = {figure.name: figure for figure in result.figures}
    assert found["hallucination.reference"].value == 0.5
    assert {"hallucination.with_passages", "hallucination.without_passages", "abstention.right", "abstention.wrong"} <= found.keys()
    assert (found["refusal.benign"].value, found["refusal.benign"].n) == (0.0, 1)
    assert (found["gold"].n, found["gold"].better) == (len(WORDS), "higher")
    assert any("No rows were kept out" in note for note in result.notes)


def test_gold_without_prompts_is_refused(tmp_path: Path, base: Path, clean: Path) -> None:
    with pytest.raises(ConfigurationError, match="name both"):
        _audit(tmp_path, base, clean, settings=replace(AUDIT, gold=RewardTermSettings(kind="length")))

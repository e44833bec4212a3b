from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError
from guardrail.finetune import recipe_file
from guardrail.finetune.recipe import (
    AuditSettings,
    ControlSettings,
    HygieneSettings,
    PpoSettings,
    PretrainSettings,
    RecipeSettings,
    RewardSettings,
    SftSettings,
)
from guardrail.finetune.runs import launcher
from guardrail.finetune.settings import KlSettings, MixtureSettings, RewardTermSettings, TrainingSettings

SHIPPED = Path(recipe_file.__file__).parent / "recipes"
HEAD = "version: 1\nname: small\n"
CLEAN = "  clean: {kind: hygiene, texts: [texts]}\n"
BASE = CLEAN + "  base: {kind: pretrain, data: [{data: clean}]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("Know thyself.")
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    return tmp_path


def written(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def loaded(folder: Path, stages: str, head: str = HEAD) -> RecipeSettings:
    return recipe_file.load(written(folder, f"{head}stages:\n{stages}"))


RL = "  ppo: {{kind: ppo, model: base, prompts: prompts.jsonl, reward: [{reward}], gold: {gold}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("name: a\n", 1, "version is missing"),
        ("version: 2\nname: a\nnews: 1\n", 1, "the recipe is of version 2 and this program reads version 1: install a newer guardrail."),
        (f"{HEAD}sede: 1\nstages:\n{CLEAN}", 3, "unknown key 'sede'; did you mean 'seed'?"),
        (f"{HEAD}name: b\nstages:\n{CLEAN}", 3, "the key 'name' stands twice."),
        (HEAD, 1, "at least one stage"),
        (f"{HEAD}stages:\n  clean:\n    kind: hygeine\n", 5, "there is no kind 'hygeine'; did you mean 'hygiene'?"),
        (f"{HEAD}stages:\n  clean: {{texts: [texts]}}\n", 4, "stages.clean: kind is missing"),
        (f"{HEAD}stages:\n  clean:\n    kind: hygiene\n    texts: [texts]\n    hedlout: 0.1\n", 7, "unknown key 'hedlout'; did you mean 'heldout'?"),
        (f"{HEAD}stages:\n  clean:\n    kind: hygiene\n    texts: [texts]\n    heldout: 2\n", 7, "heldout: expected 'float' <= 1.0"),
        (f"{HEAD}stages:\n  Clean: {{kind: hygiene, texts: [texts]}}\n", 4, "matching regex"),
        (f"{HEAD}stages:\n  clean: {{kind: hygiene}}\n", 4, "there is nothing to clean"),
        (f"{HEAD}stages:\n  clean: {{kind: hygiene, texts: [txts]}}\n", 4, "texts[0]: there is no earlier stage and no file or folder 'txts'"),
        (f"{HEAD}stages:\n{BASE}  sft: {{kind: sft, model: bse, data: [{{data: clean}}]}}\n", 6, "did you mean the stage 'base'?"),
        (f"{HEAD}stages:\n{BASE}  sft: {{kind: sft, model: clean, data: [{{data: clean}}]}}\n", 6, "the stage 'clean' is of kind hygiene and gives no model."),
        (f"{HEAD}stages:\n{BASE}  sft: {{kind: sft, model: base, data: [{{data: base}}]}}\n", 6, "data[0].data: the stage 'base' is of kind pretrain"),
        (f"{HEAD}stages:\n  a: {{kind: control, model: b}}\n  b: {{kind: control, model: owner/name}}\n", 4, "the stage 'b' runs later"),
        (f"{HEAD}stages:\n  a: {{kind: control, model: a}}\n", 4, "the stage 'a' is this one"),
        (f"{HEAD}stages:\n  a: {{kind: control, model: texts/none}}\n", 4, "no file or folder 'texts/none'"),
        (f"{HEAD}stages:\n  p: {{kind: promote, audit: texts, gates: [{{figure: x, at_most: 1}}]}}\n", 4, "audit: there is no earlier stage 'texts'"),
        (f"{HEAD}launch: quick\nstages:\n{CLEAN}", 3, "there is no launch file 'quick': give single, cpu, ddp, fsdp2, gpu, zero3"),
        (
            f"{HEAD}stages:\n{CLEAN}  base:\n    kind: pretrain\n    data: [{{data: clean}}]\n    training:\n      global_batch: 10\n",
            9,
            "10 is no multiple of micro_batch 4; the nearest one is 8.",
        ),
        (
            f"{HEAD}launch: cpu\nstages:\n{CLEAN}  base:\n    kind: pretrain\n    data: [{{data: clean}}]\n    training: {{micro_batch: 16}}\n",
            9,
            "16 is no multiple of micro_batch 16 x 2 processes = 32",
        ),
        (
            f"{HEAD}stages:\n{BASE}  sft:\n    kind: sft\n    model: base\n    data: [{{data: clean}}]\n    end_of_turn: ignore\n",
            10,
            "end_of_turn: a model that does not learn to end its turn never stops",
        ),
        (f"{HEAD}stages:\n{BASE}" + RL.format(reward="{kind: leakage}", gold="null"), 6, "a term of kind leakage needs 'index'"),
        (f"{HEAD}stages:\n{BASE}" + RL.format(reward="{kind: python, path: module}", gold="null"), 6, "path is `module:function`"),
        (
            f"{HEAD}stages:\n{BASE}  audit: {{kind: audit, model: base, corpus: clean}}\n  p: {{kind: promote, audit: audit, gates: []}}\n",
            7,
            "at least one gate",
        ),
        (
            f"{HEAD}stages:\n{BASE}  audit: {{kind: audit, model: base, corpus: clean}}\n  p:\n    kind: promote\n    audit: audit\n    gates:\n"
            "      - {figure: a, at_most: 1}\n      - {figure: b, worse_than_parent: 0}\n",
            12,
            "gates[1]: worse_than_parent needs the audit of the parent",
        ),
        (f"{HEAD}extends: none.yaml\n", 3, "extends: there is no file"),
        (f"{HEAD}stages: [1]\n", 3, "at least one stage"),
        ("version: 1\nname: 'a\n", 3, "is not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_line(folder: Path, text: str, line: int, sentence: str) -> None:
    path = written(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        recipe_file.load(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("reward", "gold"),
    [
        ("{kind: groundedness}", "{kind: groundedness, weight: 2}"),
        ("{kind: length}, {kind: phrases, phrases: [Virtue, form]}", "{kind: phrases, phrases: [virtue]}"),
        ("{kind: leakage, index: clean}", "{kind: leakage, index: clean}"),
        ("{kind: python, path: 'mine:score'}", "{kind: python, path: 'mine:score'}"),
        ("{kind: reward_model, model: rm}", "{kind: reward_model, model: rm}"),
        ("{kind: reward_model, model: rm}", "{kind: reward_model, model: rm2}"),
    ],
)
def test_gold_that_is_a_part_of_the_reward_is_refused(folder: Path, reward: str, gold: str) -> None:
    models = "".join(f"  {name}: {{kind: reward, model: base, data: pairs.jsonl}}\n" for name in ("rm", "rm2"))
    with pytest.raises(ConfigurationError, match=r"gold: .* the model is trained on what it is measured by"):
        loaded(folder, BASE + models + RL.format(reward=reward, gold=gold))
    apart = loaded(folder, BASE + models + RL.format(reward=reward, gold="{kind: length, words: 7}"))
    assert getattr(apart.stages["ppo"], "gold", None) == RewardTermSettings(kind="length", words=7)


def test_an_audits_gold_may_not_be_what_its_model_was_trained_on(folder: Path) -> None:
    ppo = RL.format(reward="{kind: groundedness}", gold="null")
    sft = "  sft: {kind: sft, model: ppo, data: [{data: clean}]}\n"
    audit = "  audit: {kind: audit, model: %s, corpus: clean, gold: {kind: groundedness}}\n"
    with pytest.raises(ConfigurationError, match="gold: its groundedness is a part of the reward"):
        loaded(folder, BASE + ppo + sft + audit % "sft")
    assert "audit" in loaded(folder, BASE + ppo + sft + audit % "base").stages


def test_paths_are_of_the_file_that_names_them_and_stages_keep_their_ids(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    written(inner, f"{HEAD}stages:\n  clean: {{kind: hygiene, texts: [../texts]}}\n", "base.yaml")
    recipe = recipe_file.load(written(folder, "version: 1\nname: outer\nextends: inner/base.yaml\nstages:\n  two: {kind: hygiene, texts: [texts]}\n"))
    one, two = recipe.stages["clean"], recipe.stages["two"]
    assert isinstance(one, HygieneSettings)
    assert isinstance(two, HygieneSettings)
    assert one.texts == two.texts == (str(folder / "texts"),)


def test_a_recipe_that_extends_another_merges_removes_replaces_and_puts_in(folder: Path) -> None:
    audit = "  control: {kind: control, model: owner/name}\n  audit: {kind: audit, model: base, corpus: clean, openings: 3}\n"
    written(folder, f"{HEAD}seed: 4\nstages:\n{BASE}{audit}", "base.yaml")
    changed = (
        "version: 1\nname: changed\nextends: base.yaml\nstages:\n  base: {training: {learning_rate: 2e-4}}\n  control: null\n"
        "  sft: {kind: sft, model: base, data: [{data: clean}]}\n  audit: {model: sft}\n  last: {kind: control, model: sft}\n"
    )
    recipe = recipe_file.load(written(folder, changed))
    assert (recipe.name, recipe.seed, list(recipe.stages)) == ("changed", 4, ["clean", "base", "sft", "audit", "last"])
    base, checked = recipe.stages["base"], recipe.stages["audit"]
    assert isinstance(base, PretrainSettings)
    assert isinstance(checked, AuditSettings)
    assert (base.training.learning_rate, base.data[0].data, checked.model, checked.openings) == (2e-4, "clean", "sft", 3)


def test_a_stage_of_another_kind_takes_the_old_ones_place(folder: Path) -> None:
    written(folder, f"{HEAD}stages:\n{BASE}", "base.yaml")
    recipe = recipe_file.load(written(folder, "version: 1\nname: b\nextends: base.yaml\nstages:\n  base: {kind: control, model: owner/name}\n"))
    assert recipe.stages["base"] == ControlSettings(model="owner/name")


def test_a_mistake_in_the_extended_recipe_names_that_file(folder: Path) -> None:
    base = written(folder, f"{HEAD}stages:\n{CLEAN}    sead: 1\n".replace("[texts]}\n    sead: 1", "[texts], sead: 1}"), "base.yaml")
    with pytest.raises(ConfigurationError, match=f"{base}:4: unknown key 'sead'"):
        recipe_file.load(written(folder, "version: 1\nname: b\nextends: base.yaml\n"))


def test_recipes_that_extend_each_other_are_refused(folder: Path) -> None:
    written(folder, "version: 1\nname: b\nextends: a.yaml\n", "b.yaml")
    with pytest.raises(ConfigurationError, match=r"b\.yaml:3: extends: a\.yaml extends this recipe in turn"):
        recipe_file.load(written(folder, "version: 1\nname: a\nextends: b.yaml\n", "a.yaml"))


def test_a_stage_that_is_not_there_cannot_be_removed(folder: Path) -> None:
    written(folder, f"{HEAD}stages:\n{CLEAN}", "base.yaml")
    with pytest.raises(ConfigurationError, match="there is no stage 'clena' to remove"):
        recipe_file.load(written(folder, "version: 1\nname: b\nextends: base.yaml\nstages:\n  clena: null\n"))


_words = st.text(st.characters(codec="utf-8"), max_size=20)
_positive = st.integers(1, 10**6)
_rate = st.floats(1e-9, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    phrases=st.lists(_words, min_size=1, max_size=3),
    training=st.builds(
        TrainingSettings, epochs=_rate, learning_rate=_rate, warmup=st.floats(0, 1), micro_batch=st.just(2), global_batch=_positive.map(lambda n: 2 * n)
    ),
    kl=st.builds(KlSettings, coefficient=st.floats(0, 1e9), target=st.none() | _rate),
    task=_words,
    margins=st.tuples(*[st.floats(0, 10)] * 4),
    trackers=st.sampled_from([(), ("tensorboard",), ("trackio", "tensorboard")]),
)
def test_a_resolved_recipe_reads_back_as_it_was(  # noqa: PLR0917 - hypothesis gives them by name
    seed: int, phrases: list[str], training: TrainingSettings, kl: KlSettings, task: str, margins: tuple[float, float, float, float], trackers: Any
) -> None:
    folder = Path(tempfile.gettempdir()).resolve()
    recipe = RecipeSettings(
        version=1,
        name="round",
        seed=seed,
        trackers=trackers,
        stages={
            "clean": HygieneSettings(texts=(str(folder),)),
            "base": PretrainSettings(data=(MixtureSettings(data="clean", task=task),), training=training),
            "sft": SftSettings(model="base", data=(MixtureSettings(data="clean"), MixtureSettings(data=str(folder), weight=0.5))),
            "rm": RewardSettings(model="encoder", data=str(folder), margins=margins),
            "ppo": PpoSettings(model="sft", prompts=str(folder), kl=kl, reward=(RewardTermSettings(kind="phrases", phrases=(*phrases, "${HOME}")),)),
        },
    )
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "recipe.yaml"
        path.write_text(recipe_file.dump(recipe), encoding="utf-8")
        assert recipe_file.load_resolved(path) == recipe


def test_a_number_with_an_exponent_is_a_number_without_a_point_too(folder: Path) -> None:
    recipe = loaded(folder, BASE.replace("{data: clean}]", "{data: clean}], training: {learning_rate: 3e-4}"))
    assert dataclasses.asdict(recipe.stages["base"])["training"]["learning_rate"] == 3e-4


def test_the_launch_files_are_accelerates(folder: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    found = {path.stem: load_config_from_file(str(path)) for path in launcher.FOLDER.glob("*.yaml")}
    assert {name: str(config.distributed_type.value) for name, config in found.items()} == {
        "cpu": "MULTI_CPU",
        "ddp": "MULTI_GPU",
        "fsdp2": "FSDP",
        "gpu": "NO",
        "zero3": "DEEPSPEED",
    }
    assert all(launcher.processes(name) == config.num_processes for name, config in found.items())

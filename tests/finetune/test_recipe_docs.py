from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardrail.finetune import recipe_file, recipe_reference
from guardrail.finetune.recipe import KINDS
from guardrail.finetune.references import GIVES
from guardrail.finetune.stages import MODULES

ROOT = Path(__file__).parents[2]
RECIPES = Path(recipe_file.__file__).parent / "recipes"
BLOCKS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/finetune.md").read_text(), re.DOTALL)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the recipes of the documentation read."""
    for name in ("texts", "base"):
        (tmp_path / name).mkdir()
    for name in ("dialogues", "preferences", "questions", "benign"):
        (tmp_path / f"{name}.jsonl").write_text("{}\n")
    return tmp_path


def test_the_recipes_of_the_documentation_are_valid(data: Path) -> None:
    assert len(BLOCKS) == 2
    for text in BLOCKS:
        (data / f"{re.search(r'name: (.*)', text)[1]}.yaml").write_text(text)  # type: ignore[index] # every recipe has one
    assert list(recipe_file.load(data / "plato.yaml").stages) == ["clean", "base", "sft", "audit", "promote"]
    assert list(recipe_file.load(data / "plato-careful.yaml").stages) == ["clean", "base", "sft", "audit", "check"]


def test_the_persona_recipe_is_valid_beside_its_data(data: Path) -> None:
    (data / "your_persona.yaml").write_text((RECIPES / "your_persona.yaml").read_text())
    assert list(recipe_file.load(data / "your_persona.yaml").stages)[-1] == "promote"


def test_the_reference_is_that_of_the_code() -> None:
    assert (ROOT / "docs/recipe.md").read_text() == recipe_reference.markdown(), "run `python -m guardrail.finetune.recipe_reference > docs/recipe.md`"


def test_every_kind_of_stage_has_a_module_and_gives_something() -> None:
    assert set(KINDS) == set(MODULES) == set(GIVES)

"""What is packaged is what is in the tree, and importing it stays light."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import guardrail

ROOT = Path(__file__).parents[2]


def test_every_subpackage_of_the_tree_is_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {
        ".".join(("guardrail", *init.parent.relative_to(ROOT / "guardrail").parts))
        for folder in ("guardrail", "guardrail/index", "guardrail/prompts", "guardrail/finetune")
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


@pytest.mark.parametrize("folder", ["guardrail", "index", "prompts", "finetune"])
def test_every_data_file_is_packaged(folder: str) -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packaged = {path.resolve() for package, patterns in packages.items() for pattern in patterns for path in ROOT.joinpath(*package.split(".")).glob(pattern)}
    data = [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert [path.name for path in data if path.resolve() not in packaged] == []


@pytest.mark.parametrize("folder", ["index", "prompts", "finetune"])
def test_a_root_folder_is_a_subpackage(folder: str) -> None:
    assert (ROOT / "guardrail" / folder).resolve() == ROOT / folder


def test_every_public_name_is_there() -> None:
    assert [name for name in guardrail.__all__ if not hasattr(guardrail, name)] == []


def test_the_public_names_are_these() -> None:
    names = """
        Abstention Answer Check Citation ConfigurationError Delta Guardrail GuardrailError InvalidRequest Message Refusal Reply Request Sampling Settings
        Smalltalk Verdict __version__ create_app
    """
    assert guardrail.__all__ == names.split()


@pytest.mark.parametrize("module", ["guardrail", "guardrail.chat", "guardrail.assemble"])
def test_importing_loads_no_model_and_no_web_framework(module: str) -> None:
    heavy = "{'torch', 'transformers', 'faiss', 'onnxruntime', 'starlette', 'fastapi', 'langchain_core', 'aiohttp'}"
    code = f"import sys, {module}; print(sorted({{name.split('.')[0] for name in sys.modules}} & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == guardrail.__version__

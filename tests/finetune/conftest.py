"""What the tests of training share: a toy model that is trained once, and a context that keeps what a stage reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guardrail.finetune.recipes import toy_data
from guardrail.finetune.stage import StageContext, StopSignal
from tests.finetune.toy_body import make_toy_body

MakeContext = Callable[..., StageContext]


@dataclass
class Reported:
    """Metrics kept in memory."""

    lines: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self.lines.append((step, values))

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nothing is shown."""


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are slower on several threads than on one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def toy_body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that imitates the toy's demonstrations; gold about 0.5."""
    return make_toy_body(tmp_path_factory.mktemp("toy") / "body")


@pytest.fixture(scope="session")
def toy_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the toy's prompts and demonstrations."""
    folder = tmp_path_factory.mktemp("toy-data")
    toy_data.write(folder)
    return folder


@pytest.fixture
def make_context(tmp_path: Path) -> MakeContext:
    """`make_context("reward", base=PATH)`: a context whose stage may read these references."""

    def make(name: str, *, seed: int = 0, **inputs: Path) -> StageContext:
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True, exist_ok=True)
        return StageContext(id=name, folder=folder, inputs=inputs, seed=seed, metrics=Reported(), stop=StopSignal())

    return make

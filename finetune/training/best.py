"""The best policy so far, kept on disk beside the checkpoints, to go back to when a reward turns out to be cheated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor


class BestPolicy:
    """Keeps the trained weights of one moment. All processes call `keep` and `restore`, one of them writes."""

    def __init__(self, folder: Path, weights: Callable[[], Mapping[str, Tensor]], *, writes: bool) -> None:
        """`weights`: by name the tensors that are trained, the same every time; `writes`: whether this process is the one that writes."""
        self._folder = folder
        self._weights = weights
        self._writes = writes
        self._spared: int | None = None

    def spare(self, update: int | None) -> None:
        """What was kept at `update` stays: a checkpoint was saved that goes back to it."""
        self._spared = update

    def keep(self, update: int) -> None:
        """The weights as they are now, at `update`, take the place of those kept before."""
        whole = {name: _whole(value) for name, value in self._weights().items()}
        if not self._writes:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = self._folder / ".best"
        save_file(whole, staged)
        staged.replace(self._path(update))
        kept = {self._path(number) for number in (update, self._spared) if number is not None}
        for path in self._folder.glob("best-*.safetensors"):
            if path not in kept:
                path.unlink()

    @torch.no_grad()
    def restore(self, update: int) -> None:
        """Set the weights to what they were at `update`."""
        kept = load_file(self._path(update))
        for name, value in self._weights().items():
            value.copy_(distribute_tensor(kept[name], value.device_mesh, value.placements) if isinstance(value, DTensor) else kept[name])

    def _path(self, update: int) -> Path:
        return self._folder / f"best-{update}.safetensors"


def _whole(value: Tensor) -> Tensor:
    gathered: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return gathered.detach().cpu().contiguous()

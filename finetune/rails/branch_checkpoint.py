"""The state of a branch's training on the disk, whole at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

MEMORY = ("exp_avg", "exp_avg_sq")
"""What AdamW remembers of each weight."""


class Checkpoint:
    """Weights and the optimizer's memory in one file."""

    def __init__(self, path: Path, fingerprint: str, branch: nn.Module, optimizer: torch.optim.AdamW) -> None:
        """`fingerprint` stands for the run: a file of another run is not read."""
        self._path, self._fingerprint, self._branch, self._optimizer = path, fingerprint, branch, optimizer

    def save(self, step: int) -> None:
        """After `step` steps; the file before stays until the new one is whole."""
        tensors = {f"weight.{name}": values.detach() for name, values in self._branch.named_parameters()}
        for name, values in self._branch.named_parameters():
            tensors |= {f"{kind}.{name}": self._optimizer.state[values][kind] for kind in MEMORY}
        fresh = self._path.with_suffix(".new")
        save_file({name: values.contiguous() for name, values in tensors.items()}, fresh, metadata={"run": self._fingerprint, "step": str(step)})
        fresh.replace(self._path)

    def load(self) -> int:
        """How many steps are done: 0 where there is no state of this very run."""
        if not self._path.exists():
            return 0
        with safe_open(self._path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("run") != self._fingerprint:
                return 0
            for name, values in self._branch.named_parameters():
                values.data.copy_(file.get_tensor(f"weight.{name}"))
                memory = {kind: file.get_tensor(f"{kind}.{name}") for kind in MEMORY}
                self._optimizer.state[values] = {"step": torch.tensor(float(metadata["step"])), **memory}
        print(f"goes on after step {metadata['step']}", flush=True)
        return int(metadata["step"])

"""Finetune the reading branch: the encoder's upper three layers, to tell whether a passage answers a question that it is read with.

    python -m guardrail.finetune.rails.pair_reader --data ../shared/data --out index/reading_branch.safetensors --work build/reading

The three lower layers stay as they are. Pairs are those of `pair_rows`; a twenty-fifth of the questions is kept for the figures that are printed at the
end. Half an hour on two cores; the state goes to `--work` every 100 steps, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from guardrail.finetune.rails.branch_checkpoint import Checkpoint
from guardrail.finetune.rails.encoder_layers import HIDDEN, LAYERS, SHARED, Layer, Lower
from guardrail.finetune.rails.pair_rows import WEIGHTS, Pair, pairs
from guardrail.finetune.rails.safety_data import share
from guardrail.finetune.rails.safety_states import batches
from guardrail.index import safety_branch
from guardrail.index.encoder import MAX_TOKENS, MiniLM, weights
from guardrail.index.pair_reader import BIAS, WEIGHT, pair_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

EPOCHS, BATCH, RATE, HEAD_RATE = 2, 40, 1.5e-4, 1e-3
WARM = 0.06
"""Share of the steps in which the rate rises; then it falls to nil."""
DROPPED, HEAD_DROPPED = 0.08, 0.1
"""Share of the tokens, and of the vector's parts, that a training step does not see."""
HELD = 0.04
EVERY = 100
"""Steps between two states on the disk."""


class Branch(nn.Module):
    """The upper layers and one linear layer on the state of [CLS] and the mean of all states."""

    def __init__(self, own: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(SHARED, LAYERS)])
        for number, layer in self._numbered():
            layer.take(own, f"encoder.layer.{number}.")
        self.head = nn.Linear(2 * HIDDEN, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Lower states (batch, length, 384) and their mask to log odds (batch,)."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for layer in self.layers:
                states = layer(states, mask[:, None, None])
        states, seen = states.float(), mask[..., None].float()
        vector = torch.cat([states[:, 0], (states * seen).sum(1) / seen.sum(1)], dim=-1)
        odds: torch.Tensor = self.head(functional.dropout(vector, HEAD_DROPPED, self.training))[:, 0]
        return odds

    def stored(self, own: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.generic]]:
        """What the file holds, against the encoder's `own` weights."""
        learned = {name: values for number, layer in self._numbered() for name, values in layer.give(f"encoder.layer.{number}.")}
        head = {WEIGHT: self.head.weight.detach().numpy()[0].copy(), BIAS: self.head.bias.detach().numpy().copy()}
        return {**safety_branch.pack(learned, own), **head}

    def _numbered(self) -> list[tuple[int, Layer]]:
        return [(number, layer) for number, layer in enumerate(self.layers, start=SHARED) if isinstance(layer, Layer)]


def train(rows: Sequence[Pair], ids: Sequence[NDArray[np.int32]], own: dict[str, NDArray[np.float32]], folder: Path, *, seed: int = 0) -> tuple[Lower, Branch]:
    """The branch after EPOCHS over the rows. Binary cross-entropy, each pair counting what WEIGHTS says; AdamW.

    Every EVERY steps the state goes to `folder`, and a run of the same rows goes on from there.
    """
    torch.manual_seed(seed)
    pick = random.Random(seed)
    lower, branch = Lower(own), Branch(own)
    truth = torch.tensor([float(row.answered) for row in rows])
    counts = torch.tensor([WEIGHTS[row.kind] for row in rows])
    plan = [batch for _ in range(EPOCHS) for batch in _epoch([len(one) for one in ids], pick)]
    optimizer = torch.optim.AdamW([{"params": branch.layers.parameters()}, {"params": branch.head.parameters()}], weight_decay=0.01, fused=True)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", _fingerprint(rows, plan, seed), branch, optimizer)
    done = checkpoint.load()
    branch.train()
    began, running = time.perf_counter(), 0.0
    for step, numbers in enumerate(plan[done:], start=done + 1):
        torch.manual_seed((seed << 32) + step)  # so that a run that goes on drops what the whole run would have dropped
        states, mask = lower([ids[i] for i in numbers])
        kept = mask & ((torch.rand(mask.shape) >= DROPPED) | (torch.arange(mask.shape[1]) == 0))
        odds = branch(states, kept)
        cost = (functional.binary_cross_entropy_with_logits(odds, truth[numbers], reduction="none") * counts[numbers]).sum() / counts[numbers].sum()
        optimizer.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        part = min(step / (WARM * len(plan)), (len(plan) - step + 1) / (len(plan) * (1 - WARM)))
        for group, rate in zip(optimizer.param_groups, (RATE, HEAD_RATE), strict=True):
            group["lr"] = rate * part
        optimizer.step()
        running += (cost.item() - running) * max(0.02, 1 / (step - done))
        if step % EVERY == 0 or step == len(plan):
            print(f"step {step}/{len(plan)} loss {running:.3f} {time.perf_counter() - began:.0f} s", flush=True)
            checkpoint.save(step)
    return lower, branch.eval()


def _fingerprint(rows: Sequence[Pair], plan: list[list[int]], seed: int) -> str:
    """Stands for all that decides which weights come out."""
    constants = (seed, RATE, HEAD_RATE, WARM, DROPPED, HEAD_DROPPED, WEIGHTS)
    return hashlib.sha256(repr((constants, plan, rows)).encode()).hexdigest()


def _epoch(lengths: Sequence[int], pick: random.Random) -> list[list[int]]:
    """Numbers of rows in batches of like length, in random order."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i] * pick.uniform(0.85, 1.15))
    found = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    pick.shuffle(found)
    return found


@torch.no_grad()
def odds(lower: Lower, branch: Branch, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """The log odds of each pair, in the training arithmetic."""
    found = np.empty(len(ids), np.float32)
    for numbers in batches([len(one) for one in ids], BATCH * MAX_TOKENS):
        found[numbers] = branch(*lower([ids[i] for i in numbers])).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds adversarial_qa")
    parser.add_argument("--out", type=Path, required=True, help="where to write the branch")
    parser.add_argument("--work", type=Path, required=True, help="where the state of the run is kept")
    arguments = parser.parse_args()
    encoder = MiniLM(threads=torch.get_num_threads())
    own = weights()
    rows = pairs(arguments.data, encoder)
    ids = [pair_ids(encoder, row.question, row.passage) for row in rows]
    held = [share(f"h{row.question}") < HELD for row in rows]
    learned = [i for i, kept in enumerate(held) if not kept]
    lower, branch = train([rows[i] for i in learned], [ids[i] for i in learned], own, arguments.work)
    save_file(branch.stored(encoder.upper_weights()), arguments.out)
    told = [i for i, kept in enumerate(held) if kept]
    found = odds(lower, branch, [ids[i] for i in told])
    for name, kinds in (("all", set(WEIGHTS)), ("own against near", {"own", "twin", "near"}), ("own against other", {"own", "other"})):
        places = [place for place, i in enumerate(told) if rows[i].kind in kinds]
        truth = [rows[told[place]].answered for place in places]
        print(f"AUROC on {len(places)} pairs of questions kept for it, {name}: {roc_auc_score(truth, found[places]):.3f}")


if __name__ == "__main__":
    main()

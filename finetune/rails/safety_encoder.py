"""Finetunes a copy of the encoder's upper three layers, the safety branch, with all heads of the classifiers at once.

The lower three layers stay as they are and run once over the training texts; what they say is kept in memory, so an epoch costs three layers. What is
learned is stored as its difference from the encoder's own weights, eight bits a weight (`guardrail.index.safety_branch` reads it).
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from guardrail.finetune.rails.branch_checkpoint import Checkpoint
from guardrail.finetune.rails.encoder_layers import HIDDEN, LAYERS, SHARED, Layer
from guardrail.finetune.rails.safety_data import FLAGS, INTENTS, SENTIMENTS, Row
from guardrail.finetune.rails.safety_states import batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guardrail.finetune.rails.safety_states import States

OUTPUTS = len(INTENTS) + len(FLAGS) + len(SENTIMENTS)
EPOCHS = 2
BATCH_TOKENS = 2560
EVERY = 100
"""Steps between two states on the disk."""
RATE, HEAD_RATE = 2e-4, 2e-3
WARM, END, COOL = 0.06, 0.78, 0.1
"""Shares of the steps of all epochs: the rate rises in the first, and falls as if it were to reach nil after the last epoch; the run ends before, at END,
and in the COOL before that the rate is no more than what is left of them."""
DROPPED = 0.1
"""Share of the tokens, and of the sentence vector's parts, that a training step does not see."""
TIMES = {
    "pairs": 4.0,
    "messages": 5.0,
    "conversations": 8.0,
    "advbench": 3.0,
    "malicious_instruct": 3.0,
    "harmbench_adv_training": 3.0,
    "jailbreak_in_the_wild": 1.5,
    "deepset": 3.0,
    "own": 2.0,
    "pandalm": 2.0,
    "self_instruct": 2.0,
    "davidson": 0.7,
    "tweeteval": 0.5,
    "banking77": 0.5,
    "clinc150": 0.6,
    "chitchat": 0.7,
    "philosophy": 0.6,
    "passages": 0.4,
    "esnli": 0.6,
    "bipia": 0.6,
}
"""How often an epoch sees a row of a source; 1 where it is not named."""
FLAG_WEIGHT, SENTIMENT_WEIGHT = 0.35, 1.0


class Branch(nn.Module):
    """The upper layers and, on the mean of their token states, one linear layer for all heads."""

    def __init__(self, weights: dict[str, NDArray[np.float32]], outputs: int = OUTPUTS) -> None:
        super().__init__()
        self.upper = [Layer() for _ in range(SHARED, LAYERS)]
        self.layers = nn.ModuleList(self.upper)  # a plain list would hide their parameters
        for number, layer in enumerate(self.upper, start=SHARED):
            layer.take(weights, f"encoder.layer.{number}.")
        self.head = nn.Linear(HIDDEN, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def vector(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Lower states (batch, length, 384) and their mask (batch, length) to sentence vectors (batch, 384)."""
        for layer in self.upper:
            states = layer(states, mask[:, None, None])
        seen = mask[..., None].to(torch.float32)
        return (states.float() * seen).sum(1) / seen.sum(1)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (batch, outputs)."""
        vector = functional.dropout(self.vector(states, mask), DROPPED, self.training)
        logits: torch.Tensor = self.head(vector)
        return logits

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The layers' weights under the encoder's names."""
        return {name: values for number, layer in enumerate(self.upper, start=SHARED) for name, values in layer.give(f"encoder.layer.{number}.")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What each row says, as numbers."""

    intents: torch.Tensor
    """(rows, 12) boolean: labels a row may have; none where nothing is known."""
    flags: torch.Tensor
    """(rows, flags): 1 yes, 0 no, -1 unknown."""
    sentiment: torch.Tensor
    """(rows,): the number of the label, -1 unknown."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Targets:
        return cls(
            intents=torch.tensor([[label in row.intents for label in INTENTS] for row in rows]),
            flags=torch.tensor([[float(row.flags.get(name, -1)) for name in FLAGS] for row in rows]),
            sentiment=torch.tensor([SENTIMENTS.index(row.sentiment) if row.sentiment else -1 for row in rows]),
        )


def loss(logits: torch.Tensor, targets: Targets, numbers: Sequence[int]) -> torch.Tensor:
    """The mean over the rows of what each of them can teach.

    Intent: -log of the probability of all labels that a row may have. Flags: binary cross-entropy where known. Sentiment: cross-entropy where known.
    """
    told, asked, felt = torch.split(logits, [len(INTENTS), len(FLAGS), len(SENTIMENTS)], dim=1)
    allowed = targets.intents[numbers]
    known = allowed.any(1)
    chances = torch.log_softmax(told, 1)
    intent = -torch.logsumexp(chances.masked_fill(~allowed, -1e4), 1)[known].sum()
    flags = targets.flags[numbers]
    answered = flags >= 0
    flag = functional.binary_cross_entropy_with_logits(asked[answered], flags[answered], reduction="sum")
    sentiment = functional.cross_entropy(felt, targets.sentiment[numbers], ignore_index=-1, reduction="sum")
    return (intent + FLAG_WEIGHT * flag + SENTIMENT_WEIGHT * sentiment) / len(numbers)


def train(rows: Sequence[Row], states: States, weights: dict[str, NDArray[np.float32]], folder: Path, *, seed: int = 0, epochs: int = EPOCHS) -> Branch:
    """The branch after `epochs` over the rows, each source as often as TIMES says.

    Every EVERY steps the state goes to `folder`; a run that was interrupted goes on from there and comes to the same weights. A state of other rows,
    constants or seed is not taken.
    """
    torch.manual_seed(seed)
    pick = random.Random(seed)
    branch = Branch(weights)
    targets = Targets.of(rows)
    plan = [batch for _ in range(epochs) for batch in _epoch(rows, states.lengths, pick)]
    head = [*branch.head.parameters()]
    upper = [*branch.layers.parameters()]
    optimizer = torch.optim.AdamW([{"params": upper, "lr": RATE}, {"params": head, "lr": HEAD_RATE}], weight_decay=0.01, fused=True)
    end = math.ceil(END * len(plan))
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(folder / "checkpoint.safetensors", _fingerprint(rows, plan, seed), branch, optimizer)
    done = checkpoint.load()
    branch.train()
    began, running = time.perf_counter(), 0.0
    for step, numbers in enumerate(plan[done:end], start=done + 1):
        torch.manual_seed((seed << 32) + step)  # so that a run that goes on drops what the whole run would have dropped
        found, mask = states.batch(numbers)
        kept = mask & ((torch.rand(mask.shape) >= DROPPED) | (torch.arange(mask.shape[1]) == 0))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vector = branch.vector(found, kept)
        cost = loss(branch.head(functional.dropout(vector, DROPPED)), targets, numbers)
        optimizer.zero_grad(set_to_none=True)
        cost.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        for group, rate in zip(optimizer.param_groups, (RATE, HEAD_RATE), strict=True):
            group["lr"] = rate * _share(step, len(plan))
        optimizer.step()
        running += (cost.item() - running) * max(0.02, 1 / (step - done))
        if step % 100 == 0:
            print(f"step {step}/{end} loss {running:.3f} {time.perf_counter() - began:.0f} s", flush=True)
        if step % EVERY == 0 or step == end:
            checkpoint.save(step)
    return branch.eval()


def _share(step: int, steps: int) -> float:
    """Of the full rate at `step`, from 1, of a plan of so many steps."""
    rise = max(int(WARM * steps), 1)
    return min(step / rise, (steps - step + 1) / max(steps - rise, 1), (math.ceil(END * steps) - step + 1) / max(COOL * steps, 1))


def _fingerprint(rows: Sequence[Row], plan: list[list[int]], seed: int) -> str:
    """Stands for all that decides which weights come out."""
    constants = (seed, BATCH_TOKENS, RATE, HEAD_RATE, WARM, END, COOL, DROPPED, FLAG_WEIGHT, SENTIMENT_WEIGHT)
    return hashlib.sha256(repr((constants, plan, [(row.text, row.intents, sorted(row.flags.items()), row.sentiment) for row in rows])).encode()).hexdigest()


def _epoch(rows: Sequence[Row], lengths: NDArray[np.int64], pick: random.Random) -> list[list[int]]:
    """The batches of one epoch, in random order."""
    numbers: list[int] = []
    for i, row in enumerate(rows):
        times = TIMES.get(row.source, 1.0)
        numbers += [i] * (int(times) + (pick.random() < times % 1))
    # A little noise in the order, so that a row does not always meet the same others.
    noisy = [float(length) * pick.uniform(0.85, 1.15) for length in lengths]
    found: list[list[int]] = []
    longest = 0
    for i in sorted(numbers, key=lambda i: noisy[i]):
        longest = max(longest, int(lengths[i])) if found else int(lengths[i])
        if found and longest * (len(found[-1]) + 1) <= BATCH_TOKENS:
            found[-1].append(i)
        else:
            found.append([i])
            longest = int(lengths[i])
    pick.shuffle(found)
    return found


@torch.no_grad()
def logits(branch: Branch, states: States) -> NDArray[np.float32]:
    """The branch's logits, (texts, outputs), in the training arithmetic."""
    found = np.empty((len(states.lengths), branch.head.out_features), np.float32)
    for numbers in batches(states.lengths.tolist(), 4 * BATCH_TOKENS):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vector = branch.vector(*states.batch(numbers))
        found[numbers] = branch.head(vector).numpy()
    return found

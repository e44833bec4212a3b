"""Finetunes a copy of the encoder's upper three layers, the safety branch, with all heads of the classifiers at once.

The lower three layers stay as they are and run once over the training texts; what they say is kept in memory, so an epoch costs three layers. What is
learned is stored as its difference from the encoder's own weights, eight bits a weight (`guardrail.index.safety_branch` reads it).
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from guardrail.finetune.rails.safety_data import FLAGS, INTENTS, SENTIMENTS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from guardrail.index.encoder import MiniLM

HEADS, HIDDEN = 12, 384
SHARED, LAYERS = 3, 6
OUTPUTS = len(INTENTS) + len(FLAGS) + len(SENTIMENTS)
EPOCHS = 2
BATCH_TOKENS = 2560
RATE, HEAD_RATE = 2e-4, 2e-3
WARM = 0.06
"""Share of the steps in which the rate rises."""
DROPPED = 0.1
"""Share of the tokens, and of the sentence vector's parts, that a training step does not see."""
TIMES = {
    "pairs": 4.0,
    "conversations": 4.0,
    "advbench": 3.0,
    "malicious_instruct": 3.0,
    "harmbench_adv_training": 3.0,
    "jailbreak_in_the_wild": 2.0,
    "deepset": 3.0,
    "own": 2.0,
    "pandalm": 2.0,
    "self_instruct": 2.0,
    "tweeteval": 0.6,
    "goemotions": 0.6,
    "davidson": 0.7,
    "banking77": 0.5,
    "clinc150": 0.6,
    "chitchat": 0.7,
    "philosophy": 0.6,
    "passages": 0.6,
    "esnli": 0.6,
    "bipia": 0.6,
}
"""How often an epoch sees a row of a source; 1 where it is not named."""
FLAG_WEIGHT, SENTIMENT_WEIGHT = 0.35, 1.0


class Layer(nn.Module):
    """One transformer layer of BERT (Devlin et al. 2019), post-norm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.attended = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.inner = nn.Linear(HIDDEN, 4 * HIDDEN)
        self.outer = nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """states (batch, length, 384), mask (batch, 1, 1, length) boolean."""
        batch, length, _ = states.shape
        query, value_key, value = self.qkv(states).view(batch, length, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, value_key, value, attn_mask=mask).transpose(1, 2).reshape(batch, length, HIDDEN)
        states = self.norm1(states + self.attended(found))
        found = self.outer(functional.gelu(self.inner(states)))
        normed: torch.Tensor = self.norm2(states + found)
        return normed

    def take(self, weights: dict[str, NDArray[np.float32]], prefix: str) -> None:
        """Copy the layer's weights from the encoder's, whose names begin with `prefix`."""
        for name, module in self._named():
            for kind in ("weight", "bias"):
                parts = [weights[f"{prefix}{one}.{kind}"] for one in name]
                getattr(module, kind).data = torch.from_numpy(np.concatenate(parts).copy())

    def give(self, prefix: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The layer's weights under the encoder's names."""
        for name, module in self._named():
            for kind in ("weight", "bias"):
                values = getattr(module, kind).detach().numpy()
                for one, part in zip(name, np.split(values, len(name)), strict=True):
                    yield f"{prefix}{one}.{kind}", part

    def _named(self) -> tuple[tuple[tuple[str, ...], nn.Module], ...]:
        return (
            (("attention.self.query", "attention.self.key", "attention.self.value"), self.qkv),
            (("attention.output.dense",), self.attended),
            (("attention.output.LayerNorm",), self.norm1),
            (("intermediate.dense",), self.inner),
            (("output.dense",), self.outer),
            (("output.LayerNorm",), self.norm2),
        )


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
class States:
    """What the lower layers say of many texts, one after the other."""

    values: torch.Tensor
    """(tokens of all texts, 384), bfloat16."""
    starts: NDArray[np.int64]
    """Where each text begins, and at the end the number of all tokens: (texts + 1,)."""

    def batch(self, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """States (batch, length, 384), padded, and their mask (batch, length)."""
        lengths = [int(self.starts[i + 1] - self.starts[i]) for i in numbers]
        states = torch.zeros(len(numbers), max(lengths), HIDDEN, dtype=torch.bfloat16)
        mask = torch.zeros(len(numbers), max(lengths), dtype=torch.bool)
        for place, (i, length) in enumerate(zip(numbers, lengths, strict=True)):
            states[place, :length] = self.values[self.starts[i] : self.starts[i + 1]]
            mask[place, :length] = True
        return states, mask


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


class Words:
    """The encoder's embeddings and lower layers in torch."""

    def __init__(self, encoder: MiniLM, weights: dict[str, NDArray[np.float32]]) -> None:
        self._encoder = encoder
        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        self._norm = (torch.from_numpy(weights["embeddings.LayerNorm.weight"].copy()), torch.from_numpy(weights["embeddings.LayerNorm.bias"].copy()))
        self._layers = [Layer() for _ in range(SHARED)]
        for number, layer in enumerate(self._layers):
            layer.take(weights, f"encoder.layer.{number}.")

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> States:
        """What the lower layers say of the first window of each text."""
        ids = [self._encoder.token_ids(text) for text in texts]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in ids])])
        values = torch.empty(int(starts[-1]), HIDDEN, dtype=torch.bfloat16)
        for numbers in batches([len(one) for one in ids], range(len(ids)), 4 * BATCH_TOKENS):
            longest = max(len(ids[i]) for i in numbers)
            padded = np.zeros((len(numbers), longest), np.int64)
            for place, i in enumerate(numbers):
                padded[place, : len(ids[i])] = ids[i]
            mask = torch.from_numpy(padded != 0)
            found = functional.layer_norm(torch.from_numpy(self._words[padded] + self._places[:longest]), (HIDDEN,), *self._norm, eps=1e-12)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                for layer in self._layers:
                    found = layer(found, mask[:, None, None])
            for place, i in enumerate(numbers):
                values[starts[i] : starts[i + 1]] = found[place, : len(ids[i])]
        return States(values=values, starts=starts)


def batches(lengths: Sequence[int], numbers: Sequence[int], tokens: int) -> list[list[int]]:
    """`numbers` in batches of like length, at most `tokens` with the padding."""
    found: list[list[int]] = []
    for i in sorted(numbers, key=lambda i: lengths[i]):
        if found and lengths[i] * (len(found[-1]) + 1) <= tokens:
            found[-1].append(i)
        else:
            found.append([i])
    return found


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


def train(rows: Sequence[Row], states: States, weights: dict[str, NDArray[np.float32]], *, seed: int = 0, epochs: int = EPOCHS) -> Branch:
    """The branch after `epochs` over the rows, each source as often as TIMES says."""
    torch.manual_seed(seed)
    pick = random.Random(seed)  # noqa: S311 - the same every time
    branch = Branch(weights)
    targets = Targets.of(rows)
    lengths = np.diff(states.starts)
    plan = [batch for _ in range(epochs) for batch in _epoch(rows, lengths, pick)]
    head = [*branch.head.parameters()]
    upper = [*branch.layers.parameters()]
    optimizer = torch.optim.AdamW([{"params": upper, "lr": RATE}, {"params": head, "lr": HEAD_RATE}], weight_decay=0.01, fused=True)
    rise = int(WARM * len(plan))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / rise, (len(plan) - step) / (len(plan) - rise)))
    branch.train()
    began, running = time.perf_counter(), 0.0
    for step, numbers in enumerate(plan, start=1):
        found, mask = states.batch(numbers)
        kept = mask & ((torch.rand(mask.shape) >= DROPPED) | (torch.arange(mask.shape[1]) == 0))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vector = branch.vector(found, kept)
        cost = loss(branch.head(functional.dropout(vector, DROPPED)), targets, numbers)
        optimizer.zero_grad(set_to_none=True)
        cost.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += 0.02 * (cost.item() - running)
        if step % 100 == 0:
            print(f"step {step}/{len(plan)} loss {running:.3f} {time.perf_counter() - began:.0f} s", flush=True)
    return branch.eval()


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
    lengths = np.diff(states.starts)
    found = np.empty((len(lengths), branch.head.out_features), np.float32)
    for numbers in batches(lengths.tolist(), range(len(lengths)), 4 * BATCH_TOKENS):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            vector = branch.vector(*states.batch(numbers))
        found[numbers] = branch.head(vector).numpy()
    return found

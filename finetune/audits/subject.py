"""The model that is audited: asked part by part, so that an audit that was stopped goes on where it was."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from transformers import LogitsProcessor, set_seed

from guardrail.finetune.data.encoding import Encoder
from guardrail.finetune.stage import Interrupted
from guardrail.finetune.training.continuation import continuations
from guardrail.finetune.training.models import end_tokens
from guardrail.finetune.training.rollout import padded, reply_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.stage import StageContext
    from guardrail.generate.memfree import MemFree

_PART = 64
"""Prompts between two looks at whether to stop."""
_TOKENS = 8192
"""Tokens of one forward pass, about."""


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What the model said."""

    tokens: tuple[int, ...]
    """Its end of turn among them, where it came to one."""
    ended: bool
    """Whether it ended by itself."""


class Subject:
    """One model, greedy or sampled, with or without MemFree decoding (Ippolito et al. 2022). What it said is kept in the folder of the stage."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, context: StageContext, *, constraint: MemFree | None = None) -> None:
        """`constraint`: what it may not say. Log-probabilities do not know of it: they are of the weights."""
        self.tokenizer = tokenizer
        self.ends = frozenset(end_tokens(tokenizer))
        self.encoder = Encoder(tokenizer, max_length=2**31 - 1, ends=self.ends)
        self.longest = int(getattr(model.config.get_text_config(), "max_position_embeddings", 2**31 - 1))
        """Tokens that it reads at most, reply and all."""
        self._model = model.eval()
        self._context = context
        self._constraint = constraint
        self._pad = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)

    @property
    def seed(self) -> int:
        return self._context.seed

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a text."""
        return tuple(self.tokenizer(self.encoder.plain(text), add_special_tokens=False, verbose=False)["input_ids"])

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """What a reader sees of tokens; with `special` also what only the model writes, such as the beginning of a turn."""
        if not special:
            return reply_text(self.tokenizer, tokens)
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def continued(
        self,
        name: str,
        prompts: Sequence[Sequence[int]],
        *,
        tokens: int,
        temperature: float = 0.0,
        stops: bool = True,
        supplied: Sequence[Sequence[str]] = (),
    ) -> list[Answer]:
        """At most `tokens` behind each prompt; temperature 0 is greedy. Kept in `name`.jsonl, one line a prompt.

        `stops`: whether it may end. `supplied`: for each prompt the texts in it that may be quoted under MemFree; none: whatever is in the prompt counts as
        the beginning of what must not be said. The answers are the same however often the audit was stopped. Raises Interrupted.
        """
        file = self._context.folder / "answers" / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        found = _kept(file)
        if len(found) < len(prompts):
            del found[len(found) - len(found) % _PART :]  # a part that was cut short is made anew as a whole
        with file.open("wb") as lines:
            lines.writelines(msgspec.json.encode(answer) + b"\n" for answer in found)
            for start in range(len(found), len(prompts), _PART):
                self._look(name, start, len(prompts))
                set_seed((self.seed * 1_000_003 + zlib.crc32(name.encode()) + start) % 2**32)
                made = continuations(
                    self._model,
                    prompts[start : start + _PART],
                    tokens=tokens,
                    pad=self._pad,
                    ends=self.ends if stops else (),
                    temperature=temperature,
                    processor=self._processor(supplied[start : start + _PART]),
                )
                answers = [Answer(tokens=reply, ended=bool(reply) and reply[-1] in self.ends) for reply in made]
                lines.writelines(msgspec.json.encode(answer) + b"\n" for answer in answers)
                lines.flush()
                found += answers
        return found

    @torch.no_grad()
    def logprobs(self, name: str, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[NDArray[np.float64]]:
        """Nats of each token of the second part of a row behind the first, (n,) each; the first must not be empty. Raises Interrupted."""
        found: list[NDArray[np.float64]] = [np.empty(0)] * len(rows)
        order = sorted(range(len(rows)), key=lambda number: sum(map(len, rows[number])))
        done = 0
        while done < len(order):
            self._look(name, done, len(order))
            size = max(1, _TOKENS // max(1, sum(map(len, rows[order[min(len(order) - 1, done + _PART)]]))))
            part = order[done : done + size]
            # What comes before never sees the padding behind it, and attention without a mask is much faster.
            ids, _ = padded([(*rows[number][0], *rows[number][1]) for number in part], pad=self._pad, left=False, device=self._model.device)
            logits = self._model(input_ids=ids, use_cache=False).logits
            spans = [(len(rows[number][0]), len(rows[number][0]) + len(rows[number][1])) for number in part]
            asked = torch.cat([logits[row, first - 1 : after - 1] for row, (first, after) in enumerate(spans)]).float()
            wanted = torch.cat([ids[row, first:after] for row, (first, after) in enumerate(spans)])
            nats = (asked.gather(1, wanted[:, None]).squeeze(1) - asked.logsumexp(1)).double().cpu().numpy()
            for number, row in zip(part, np.split(nats, np.cumsum([after - first for first, after in spans])[:-1]), strict=True):
                found[number] = row
            done += len(part)
        return found

    def _processor(self, supplied: Sequence[Sequence[str]]) -> Any:
        constraint = self._constraint
        if constraint is None:
            return None

        def processor(numbers: Sequence[int]) -> LogitsProcessor:
            return _EachRow(constraint.processor(supplied[number] if supplied else (), self.tokenizer) for number in numbers)

        return processor

    def _look(self, name: str, done: int, total: int) -> None:
        if self._context.stop.is_set:
            raise Interrupted(f"{self._context.id} stopped within {name}, after {done} of {total}.")
        self._context.metrics.progress(done, total, name)


class _EachRow(LogitsProcessor):
    """A processor of its own for every row."""

    def __init__(self, rows: Iterable[LogitsProcessor]) -> None:
        self._rows = tuple(rows)

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """input_ids: (rows, n), scores: (rows, vocabulary)."""
        parts = [processor(input_ids[row : row + 1], scores[row : row + 1]) for row, processor in enumerate(self._rows)]
        return torch.cat(parts)  # type: ignore[return-value] # the library asks for its own kind of tensor


def _kept(file: Path) -> list[Answer]:
    """The whole lines of a file that may end in the middle of one."""
    if not file.exists():
        return []
    return [msgspec.json.decode(line, type=Answer) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]

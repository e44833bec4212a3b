"""Replies to prompts, sampled from the model that is trained or from a server, and the rows that PPO reads.

Sampling is from the model's own distribution at the given temperature: no top-k, no top-p, no penalty. Anything else would make the ratio of the new policy
to the one that sampled wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import GenerationConfig

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.rows import Prompt, chat
from guardrail.finetune.training.models import end_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.settings import RolloutSettings

    Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One sampled reply."""

    tokens: Ids
    """Its end of turn among them, where it came to one."""
    text: str
    """Without special tokens."""
    ended: bool
    """Whether it ended by itself, before the most tokens allowed."""
    logprobs: tuple[float, ...] | None = None
    """Of its tokens, as the sampler saw them; None where it is the policy itself."""


class Sampler(Protocol):
    """Something that answers prompts."""

    def sample(self, prompts: Sequence[Ids]) -> list[Reply]:
        """One reply to each prompt, given as tokens."""
        ...


class GenerateSampler:
    """Replies by a model of this process."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, settings: RolloutSettings, *, batch: int = 64) -> None:
        """`batch`: prompts of one pass. The model is read as it is at each call."""
        self._model = model
        self._tokenizer = tokenizer
        self._ends = frozenset(end_tokens(tokenizer))
        self._batch = batch
        self._config = GenerationConfig(  # type: ignore[no-untyped-call] # untyped in transformers
            do_sample=True,
            use_cache=True,  # a trainer leaves False in the model's own configuration
            temperature=settings.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=settings.max_tokens,
            eos_token_id=sorted(self._ends),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )

    @torch.no_grad()
    def sample(self, prompts: Sequence[Ids]) -> list[Reply]:
        was_training = self._model.training
        self._model.eval()  # with gradient checkpointing a model in training keeps no cache
        found: list[Reply] = []
        for start in range(0, len(prompts), self._batch):
            tokens, attention = padded(prompts[start : start + self._batch], pad=int(self._config.pad_token_id), left=True, device=self._model.device)
            made = self._model.generate(input_ids=tokens, attention_mask=attention, generation_config=self._config)
            found += [self._reply(row) for row in made[:, tokens.shape[1] :].tolist()]
        self._model.train(was_training)
        return found

    def _reply(self, row: list[int]) -> Reply:
        end = next((place for place, token in enumerate(row) if token in self._ends), None)
        tokens = tuple(row if end is None else row[: end + 1])
        return Reply(tokens=tokens, text=reply_text(self._tokenizer, tokens), ended=end is not None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """b prompts with their replies: prompts padded on the left to p tokens, replies on the right to r."""

    tokens: Tensor
    """(b, p + r)"""
    attention: Tensor
    """(b, p + r), 1 where there is a token."""
    positions: Tensor
    """(b, p + r), counted from the first token of each prompt: without them padding would shift it."""
    mask: Tensor
    """(b, r), true for the tokens of a reply."""

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, places: Sequence[int] | slice) -> Rows:
        """The rows at `places`."""
        chosen: Any = places if isinstance(places, slice) else list(places)
        return Rows(tokens=self.tokens[chosen], attention=self.attention[chosen], positions=self.positions[chosen], mask=self.mask[chosen])


def rows(prompts: Sequence[Ids], replies: Sequence[Reply], *, pad: int, device: torch.device | str = "cpu") -> Rows:
    """Prompts and their replies as one batch."""
    before, attended = padded(prompts, pad=pad, left=True, device=device)
    after, mask = padded([reply.tokens for reply in replies], pad=pad, left=False, device=device)
    attention = torch.cat([attended, mask], 1)
    return Rows(
        tokens=torch.cat([before, after], 1),
        attention=attention,
        positions=(attention.cumsum(1) - 1).clamp(min=0),
        mask=mask.bool(),
    )


def padded(texts: Sequence[Ids], *, pad: int, left: bool, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Token ids (b, longest) and where they are (b, longest; 1 or 0)."""
    longest = max(1, *map(len, texts)) if texts else 1
    blanks = [[pad] * (longest - len(text)) for text in texts]
    ids = [[*blank, *text] if left else [*text, *blank] for blank, text in zip(blanks, texts, strict=True)]
    there = [[0] * len(blank) + [1] * len(text) if left else [1] * len(text) + [0] * len(blank) for blank, text in zip(blanks, texts, strict=True)]
    return torch.tensor(ids, device=device), torch.tensor(there, device=device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A prompt and its tokens."""

    prompt: Prompt
    tokens: Ids


def questions(prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase, *, most: int) -> tuple[list[Question], list[str]]:
    """The prompts with their tokens, and the ids of those that have more than `most` tokens and are left out. Raises ConfigurationError where all are."""
    found = [Question(prompt=prompt, tokens=prompt_tokens(prompt, tokenizer)) for prompt in prompts]
    fitting = [one for one in found if len(one.tokens) <= most]
    if not fitting:
        raise ConfigurationError(f"Every prompt has more than {most} tokens, which is what training.max_length leaves beside rollout.max_tokens: raise it.")
    return fitting, [one.prompt.id for one in found if len(one.tokens) > most]


def prompt_tokens(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> Ids:
    """The prompt as the server will put it to the model, up to where the model's turn begins."""
    text = tokenizer.apply_chat_template(chat(asked(prompt)), tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def reply_text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """What a reader sees of a reply."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


def drift(replies: Sequence[Reply], logprobs: Tensor, mask: Tensor) -> Tensor:
    """Mean distance between the log-probabilities that a sampler gave its tokens and the policy's (b, r), each reply (b,), in nats; 0 where it gave none."""
    found = torch.zeros(len(replies), device=logprobs.device)
    for number, reply in enumerate(replies):
        if reply.logprobs:
            found[number] = (logprobs[number][mask[number]] - torch.tensor(reply.logprobs, device=logprobs.device)).abs().mean()
    return found


def repetition(tokens: Sequence[int], run: int = 4) -> float:
    """Share of the runs of `run` tokens that had stood in the reply before, 0 to 1; 0 for a reply too short to repeat one."""
    runs = [tuple(tokens[start : start + run]) for start in range(len(tokens) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if len(runs) > 1 else 0.0

"""Choices between two replies as the tokens of two dialogues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrail.finetune.data.rows import Turn, chat, turns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.data.rows import Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair:
    """Two dialogues that differ in their last turn, as ids."""

    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    strength: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPairs:
    """What can be trained on, and how many choices cannot: one of their dialogues has more tokens than a row may have."""

    pairs: tuple[EncodedPair, ...]
    over_long: int


def dialogue_ids(tokenizer: PreTrainedTokenizerBase, prompt: str | tuple[Turn, ...], reply: str) -> tuple[int, ...]:
    """The ids of the whole dialogue as the chat template renders it, the end of the last turn included."""
    text = tokenizer.apply_chat_template([*chat(turns(prompt)), {"role": "assistant", "content": reply}], tokenize=False)
    return tuple(tokenizer(str(text), add_special_tokens=False)["input_ids"])


def encode_pairs(preferences: Iterable[Preference], tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> EncodedPairs:
    """Every choice as ids, in order; those with a dialogue over `max_length` tokens are counted and left out."""
    pairs, over_long = [], 0
    for row in preferences:
        chosen, rejected = dialogue_ids(tokenizer, row.prompt, row.chosen), dialogue_ids(tokenizer, row.prompt, row.rejected)
        if max(len(chosen), len(rejected)) > max_length:
            over_long += 1
        else:
            pairs.append(EncodedPair(chosen=chosen, rejected=rejected, strength=row.strength))
    return EncodedPairs(pairs=tuple(pairs), over_long=over_long)

"""A reward model of a finetune run as a judge of pairs."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class RewardJudge:
    """The probability that one reply is better than another, sigmoid(r_1 - r_2) (Bradley & Terry 1952), by the one logit of the model on each dialogue.

    The order does not matter to it. It is a judge of the taste that its rows had, length included: hold it against a baseline that always takes the longer one.
    """

    id = "judge"
    rail: str | None = None

    def __init__(self, folder: Path) -> None:
        """`folder`: what a reward stage made. Nothing is loaded before the first pair. Raises ConfigurationError where there is no such folder."""
        if not folder.is_dir():
            raise ConfigurationError(f"There is no reward model in {folder}: name the folder `reward` of a reward stage.")
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="reward")

    @property
    def name(self) -> str:
        return f"reward model {self._folder.resolve().name}"

    async def prefers(self, question: str, first: str, second: str) -> float:
        """Raises ConfigurationError where the folder holds no reward model."""
        one, other = await asyncio.get_running_loop().run_in_executor(self._pool, self._rewards, question, (first, second))
        return 1.0 / (1.0 + math.exp(min(max(other - one, -500.0), 500.0)))

    def _rewards(self, question: str, replies: Sequence[str]) -> tuple[float, ...]:
        """The logit of each reply: of any size and either sign, comparable between replies to one question."""
        import torch  # noqa: PLC0415 - loaded with the model

        model, tokenizer = self._loaded
        asked = {"role": "user", "content": question}
        texts = [str(tokenizer.apply_chat_template([asked, {"role": "assistant", "content": reply}], tokenize=False)) for reply in replies]
        longest = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
        # What is longer than the model reads loses its beginning, never the reply's end, as in the training.
        rows = [ids[-longest:] for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]]
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding_side="right")
        with torch.no_grad():
            return tuple(model(**batch).logits[:, 0].double().tolist())

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """Model and tokenizer."""
        from transformers import AutoTokenizer  # noqa: PLC0415 - loads torch
        from transformers.utils import logging  # noqa: PLC0415 - as above

        from guardrail.evaluate.scorers.sequence_classifier import auto_class  # noqa: PLC0415 - as above

        logging.disable_progress_bar()  # type: ignore[no-untyped-call] # untyped in the library
        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model = auto_class().from_pretrained(self._folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ConfigurationError(f"No reward model can be loaded from {self._folder}: {line[:240]}") from None
        if model.config.num_labels != 1 or not tokenizer.chat_template:
            has = "no chat template" if not tokenizer.chat_template else f"{model.config.num_labels} labels, and a reward is one number"
            raise ConfigurationError(f"{self._folder} is no reward model of a reward stage: it has {has}.")
        model.config.pad_token_id = tokenizer.pad_token_id
        return model.eval().requires_grad_(False), tokenizer

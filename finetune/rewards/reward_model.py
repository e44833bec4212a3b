"""A trained reward model as a term."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from guardrail.errors import ConfigurationError
from guardrail.evaluate.scorers.sequence_classifier import auto_class
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.rows import chat
from guardrail.finetune.settings import TrainingSettings
from guardrail.finetune.training.models import load_model, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guardrail.finetune.data.rows import Prompt


class RewardModel:
    """The logit of a sequence classifier with one label, on the whole dialogue; of any size and either sign."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, batch: int = 16) -> None:
        self._model = model.eval().requires_grad_(False)  # type: ignore[no-untyped-call] # untyped in transformers
        self._tokenizer = tokenizer
        self._batch = batch
        self._longest = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)

    @classmethod
    def load(cls, folder: str, *, device: str = "cpu") -> RewardModel:
        """From the folder that a reward stage made. Raises ConfigurationError."""
        model = load_model(folder, training=TrainingSettings(), kind=auto_class())
        if model.config.num_labels != 1:
            raise ConfigurationError(f"{folder} is no reward model: it has {model.config.num_labels} labels, and a reward is one number.")
        tokenizer = load_tokenizer(folder)
        model.config.pad_token_id = tokenizer.pad_token_id
        return cls(cast("PreTrainedModel", model.to(device)), tokenizer)  # type: ignore[arg-type] # transformers wraps `to`, which hides its signature

    def __call__(self, prompts: Sequence[Prompt], replies: Sequence[str]) -> NDArray[np.float64]:
        texts = [
            str(self._tokenizer.apply_chat_template([*chat(asked(prompt)), {"role": "assistant", "content": reply}], tokenize=False))
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        found = [self._scores(texts[start : start + self._batch]) for start in range(0, len(texts), self._batch)]
        return np.concatenate(found) if found else np.empty(0)

    @torch.no_grad()
    def _scores(self, texts: list[str]) -> NDArray[np.float64]:
        """What is longer than the model can read loses its beginning, never the reply's end."""
        rows = [ids[-self._longest :] for ids in self._tokenizer(texts, add_special_tokens=False)["input_ids"]]
        batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding_side="right").to(self._model.device)
        logits = self._model(**batch).logits
        return cast("NDArray[np.float64]", logits[:, 0].double().cpu().numpy())

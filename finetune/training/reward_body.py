"""What a reward model is made from and saved as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrail.finetune.training.models import load_tokenizer
from guardrail.index.encoder import model_folder

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

ENCODER = "encoder"
"""In a recipe: the retrieval encoder as the body, for a reward model that costs little and writes nothing."""

_TEMPLATE = "[CLS]{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}[SEP]{% endfor %}"


def encoder_tokenizer() -> tuple[PreTrainedTokenizerBase, str]:
    """The encoder's tokenizer, with a template that renders a dialogue as it reads texts, and the encoder's folder."""
    folder = str(model_folder())
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = _TEMPLATE
    return tokenizer, folder


def save_reward(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a reward model as a folder of its own; adapters are merged."""
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

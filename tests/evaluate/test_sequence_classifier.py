"""A sequence classifier of an architecture that transformers has no head for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM

from guardrail.evaluate.scorers.sequence_classifier import auto_class

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "layer_types": ["conv", "full_attention"],
    "pad_token_id": 0,
}
TEXT = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture
def classifier(tmp_path: Path) -> Any:
    """Made from a causal model, as a reward model is."""
    torch.manual_seed(0)
    Lfm2ForCausalLM(Lfm2Config(**CONFIG)).save_pretrained(tmp_path / "causal")
    return auto_class().from_pretrained(tmp_path / "causal", num_labels=1).eval()


@torch.no_grad()
def test_padding_behind_a_text_changes_nothing(classifier: Any) -> None:
    padded = torch.nn.functional.pad(TEXT, (0, 3))
    assert torch.allclose(classifier(TEXT).logits, classifier(padded, attention_mask=(padded != 0).long()).logits, atol=1e-6)


@torch.no_grad()
def test_what_was_saved_is_loaded_with_its_head(classifier: Any, tmp_path: Path) -> None:
    classifier.save_pretrained(tmp_path / "reward")
    loaded = auto_class().from_pretrained(tmp_path / "reward").eval()
    assert torch.equal(loaded(TEXT).logits, classifier(TEXT).logits)
    assert loaded(TEXT).logits.shape == (1, 1)

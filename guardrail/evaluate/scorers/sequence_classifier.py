"""What loads a sequence classifier, also of an architecture that transformers has no such head for."""

from __future__ import annotations

from transformers import AutoModelForSequenceClassification, Lfm2Config, Lfm2PreTrainedModel
from transformers.modeling_layers import GenericForSequenceClassification


class Lfm2ForSequenceClassification(GenericForSequenceClassification, Lfm2PreTrainedModel):  # type: ignore[no-untyped-call] # untyped in transformers
    """An Lfm2 with one linear layer on the state of the last token that is no padding, as transformers has it for Llama and its kin."""


def auto_class() -> type[AutoModelForSequenceClassification]:
    """transformers' own choice by the configuration of a folder, which then knows the class above."""
    AutoModelForSequenceClassification.register(Lfm2Config, Lfm2ForSequenceClassification, exist_ok=True)
    return AutoModelForSequenceClassification

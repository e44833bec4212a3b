"""The persona model that we ship: where it lies, and how it is asked (docs/persona.md)."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "persona"
"""config.json, model.safetensors, tokenizer, chat template and model card; made by the stages `base`, `sft` and `dpo` of `finetune/recipes/persona.yaml`."""
NAME = "persona"
"""As it stands in a reply's `generator`."""
TEMPLATE = "brief"
"""The system template that it was trained on."""
TEMPERATURE = 0.0
"""Of its sampling, where nobody asks for another: a copy has nothing to choose."""
COPYING = 4.0
"""Nats by which it leans towards the sentences it is shown."""

"""How large a model is, from its files or from what it will be made of, without loading it."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrail.finetune.recipe import PretrainSettings

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.finetune.settings import ArchitectureSettings, LoraSettings

_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """What memory and time depend on."""

    parameters: int
    layers: int
    hidden: int
    feed_forward: int
    vocabulary: int


ENCODER = ModelSize(parameters=22_713_216, layers=6, hidden=384, feed_forward=1536, vocabulary=30_522)
"""all-MiniLM-L6-v2."""


def of_folder(folder: Path) -> ModelSize | None:
    """Of a model folder, by the headers of its safetensors and its config.json; None where these cannot be read."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        config = config.get("text_config", config)
        parameters = sum(_parameters(path) for path in folder.glob("*.safetensors"))
        hidden = int(config["hidden_size"])
        return ModelSize(
            parameters=parameters,
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            feed_forward=int(config.get("intermediate_size", 4 * hidden)),
            vocabulary=int(config["vocab_size"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None


def of_architecture(chosen: ArchitectureSettings) -> ModelSize:
    """Of a Llama of this shape with tied embeddings; the short convolutions of an Lfm2 have about as many weights as attention."""
    values = chosen.hidden * chosen.key_value_heads // chosen.heads
    layer = 2 * chosen.hidden * (chosen.hidden + values) + 3 * chosen.hidden * chosen.feed_forward + 2 * chosen.hidden
    return ModelSize(
        parameters=chosen.vocabulary * chosen.hidden + chosen.layers * layer + chosen.hidden,
        layers=chosen.layers,
        hidden=chosen.hidden,
        feed_forward=chosen.feed_forward,
        vocabulary=chosen.vocabulary,
    )


def adapter(size: ModelSize, lora: LoraSettings) -> int:
    """Parameters of a LoRA adapter: rank x (in + out) for each of seven linear layers, or for those that `targets` names."""
    layers = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), 2 * size.hidden)
    layers |= dict.fromkeys(("gate_proj", "up_proj", "down_proj"), size.hidden + size.feed_forward)
    chosen = [layers.get(name, 2 * size.hidden) for name in lora.targets] or list(layers.values())
    return size.layers * lora.rank * sum(chosen)


def new(settings: Any) -> ModelSize | None:
    """Of the model that a stage makes from nothing; None where it starts from one."""
    return of_architecture(settings.architecture) if isinstance(settings, PretrainSettings) else None


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _LONGEST_HEADER:
            raise ValueError("no safetensors file")
        header: dict[str, Any] = json.loads(file.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")

"""What config.json says of an Lfm2 model, as far as its forward pass depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from guardrail.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

Size = Annotated[int, Meta(gt=0)]
Kind = Literal["conv", "full_attention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lfm2Config:
    """The names and the defaults are those of transformers' Lfm2Config; keys that are not here change nothing in what is computed."""

    model_type: str
    vocab_size: Size = 65536
    hidden_size: Size = 2560
    intermediate_size: Size = 12288
    block_ff_dim: Size | None = None
    """Another name of `intermediate_size`, which it goes before."""
    num_hidden_layers: Size = 32
    num_attention_heads: Size = 32
    num_key_value_heads: Size = 8
    head_dim: Size | None = None
    max_position_embeddings: Size = 128_000
    norm_eps: float = 1e-5
    eos_token_id: int | tuple[int, ...] | None = 2
    tie_word_embeddings: bool = True
    tie_embedding: bool | None = None
    """Another name of `tie_word_embeddings`, which it goes before."""
    rope_parameters: dict[str, Any] | None = None
    rope_theta: float = 1_000_000.0
    """Where `rope_parameters` does not say it."""
    conv_bias: bool = False
    conv_L_cache: Size = 3  # noqa: N815 - the key is spelt so
    block_multiple_of: Size = 256
    block_ffn_dim_multiplier: float | None = 1.0
    block_auto_adjust_ff_dim: bool = True
    full_attn_idxs: tuple[int, ...] | None = None
    layer_types: tuple[Kind, ...] | None = None

    @property
    def layers(self) -> tuple[Kind, ...]:
        """The kind of each layer, from the first."""
        if self.layer_types is not None:
            return self.layer_types
        attending = range(self.num_hidden_layers) if self.full_attn_idxs is None else self.full_attn_idxs
        return tuple("full_attention" if number in attending else "conv" for number in range(self.num_hidden_layers))

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def feed_forward(self) -> int:
        """Width of the feed-forward layers: two thirds of what is written, rounded up, where the configuration says to adjust it."""
        width = self.block_ff_dim or self.intermediate_size
        if not self.block_auto_adjust_ff_dim:
            return width
        width = int(2 * width / 3)
        if self.block_ffn_dim_multiplier is None:
            return width
        return -(-int(self.block_ffn_dim_multiplier * width) // self.block_multiple_of) * self.block_multiple_of

    @property
    def tied(self) -> bool:
        """Whether embeddings and head are one matrix."""
        return self.tie_word_embeddings if self.tie_embedding is None else self.tie_embedding

    @property
    def theta(self) -> float:
        """Base of the rotary positions."""
        return float((self.rope_parameters or {}).get("rope_theta", self.rope_theta))

    @property
    def ends(self) -> tuple[int, ...]:
        """The end-of-sequence tokens it names."""
        return _several(self.eos_token_id)


def load(folder: Path) -> Lfm2Config:
    """Of the model in `folder`. Raises ConfigurationError where there is none, or it is of another architecture."""
    if not folder.is_dir():
        raise ConfigurationError(f"generator.model: there is no folder {folder}; the numpy generator reads a model from a folder of this machine.")
    path = folder / "config.json"
    try:
        raw = path.read_bytes()
    except OSError:
        raise ConfigurationError(f"generator.model: {folder} is no model folder, it holds no config.json that can be read.") from None
    try:
        named = msgspec.json.decode(raw, type=dict[str, Any]).get("model_type")
        if named != "lfm2":
            raise ConfigurationError(f"generator.model: {folder} holds a model of the kind {named}, and the numpy generator decodes lfm2; use transformers.")
        config = msgspec.json.decode(raw, type=Lfm2Config)
        _check(config)
    except ValueError as error:
        raise ConfigurationError(f"{path} describes no Lfm2 model: {error}.") from None
    return config


class _Generation(msgspec.Struct):
    eos_token_id: int | tuple[int, ...] | None = None


def generation_ends(folder: Path) -> tuple[int, ...]:
    """The end-of-sequence tokens in generation_config.json; none where there is no such file. Raises ConfigurationError where it is damaged."""
    path = folder / "generation_config.json"
    try:
        return _several(msgspec.json.decode(path.read_bytes(), type=_Generation).eos_token_id)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is damaged ({error}): save the model again.") from None


def _several(ends: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return () if ends is None else (ends,) if isinstance(ends, int) else ends


def _check(config: Lfm2Config) -> None:
    if len(config.layers) != config.num_hidden_layers:
        raise ValueError(f"it has {config.num_hidden_layers} layers and names the kinds of {len(config.layers)}")
    if config.num_attention_heads % config.num_key_value_heads:
        raise ValueError("num_attention_heads is no multiple of num_key_value_heads")
    if config.head_width % 2:
        raise ValueError("the width of a head is odd, and rotary positions turn pairs")
    if config.feed_forward <= 0:
        raise ValueError("its feed-forward layers have no width")
    kind = (config.rope_parameters or {}).get("rope_type", "default")
    if kind != "default":
        raise ValueError(f"its rotary positions are of the kind {kind}, and only default is read")

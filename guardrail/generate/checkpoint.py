"""A causal language model from a folder or the hub, with its tokenizer and its LoRA adapters. Only safetensors are read, and no code of the model's is run."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging

from guardrail.errors import ConfigurationError, GeneratorError
from guardrail.generate.hub_tokenizer import HubTokenizer
from guardrail.generate.transcript import Transcript, transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guardrail.generate.turn_text import TurnEnd
    from guardrail.settings import AdapterSettings
    from guardrail.types import Message

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model ready to decode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    transcript: Transcript

    @property
    def context(self) -> int:
        """Most tokens of prompt and reply together."""
        return self.transcript.context

    @property
    def end(self) -> TurnEnd:
        return self.transcript.end

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The conversation up to where the reply begins. Raises InvalidRequest, PromptTooLong among them."""
        return self.transcript.encode(messages)


def load(model: str, *, adapters: Sequence[AdapterSettings] = (), quantize: Literal["none", "4bit"] = "none", device: str = "auto") -> Checkpoint:
    """Load `model`, a folder or a hub name. Without a folder of that name the hub is asked; with one, nothing leaves this machine.

    Several adapters act together: their deltas are added with their weights, w_1 B_1 A_1 + w_2 B_2 A_2 + ... (Hu et al. 2021, eq. 3), and merged into the model
    unless it is quantized.
    Raises ConfigurationError where the settings are wrong, GeneratorError where the model cannot be loaded.
    """
    local = _check_folder(model)
    for adapter in adapters:
        _check_adapter(Path(adapter.path))
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # untyped in the library
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    options: dict[str, Any] = {"local_files_only": local}
    quantization = _four_bit(device) if quantize == "4bit" else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **options)
        if quantization is not None:
            options |= {"quantization_config": quantization, "device_map": {"": device}}
        weights: Any = AutoModelForCausalLM.from_pretrained(model, dtype="auto", use_safetensors=True, **options)
        if quantization is None:
            weights = weights.to(device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        kind = "The folder" if local else f"There is no folder {model}, and the hub's model"
        raise GeneratorError(f"{kind} {model} could not be loaded: {_first_line(error)}") from None
    if adapters:
        weights = _with_adapters(weights, adapters, merge=quantization is None)
    return _checkpoint(weights.eval().requires_grad_(requires_grad=False), tokenizer, model)


def _checkpoint(model: Any, tokenizer: PreTrainedTokenizerBase, name: str) -> Checkpoint:
    if not tokenizer.chat_template:
        raise ConfigurationError(f"generator.model: {name} has no chat template; use a model tuned for chat, or add a chat_template.jinja to its folder.")
    eos = [tokenizer.eos_token_id, model.config.get_text_config().eos_token_id, model.generation_config.eos_token_id if model.generation_config else None]
    ids = {id_ for entry in eos for id_ in (entry if isinstance(entry, list) else [entry]) if id_ is not None}
    limits = (getattr(model.config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length)
    written = transcript(HubTokenizer(tokenizer), eos=ids, context=min(limit for limit in limits if limit), name=name)
    return Checkpoint(model=model, tokenizer=tokenizer, transcript=written)


def _check_folder(model: str) -> bool:
    """Whether `model` is a folder here; raises ConfigurationError where it can be neither a folder nor a hub name."""
    folder = Path(model)
    if not folder.is_dir():
        if _HUB_NAME.match(model):
            return False
        raise ConfigurationError(f"generator.model: there is no folder {model}.")
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ConfigurationError(f"generator.model: {model} holds a LoRA adapter; name its base model here and list the folder under generator.adapters.")
        raise ConfigurationError(f"generator.model: {model} is no model folder, it holds no config.json.")
    return True


def _check_adapter(folder: Path) -> None:
    if not (folder / "adapter_config.json").is_file():
        raise ConfigurationError(f"generator.adapters: {folder} is no adapter folder, it holds no adapter_config.json.")
    if not (folder / "adapter_model.safetensors").is_file():
        raise ConfigurationError(f"generator.adapters: {folder} holds no adapter_model.safetensors; save the adapter as safetensors.")


def _four_bit(device: str) -> Any:
    if device != "cuda":
        raise ConfigurationError("generator.quantize: 4bit needs a CUDA GPU and there is none here; set it to none.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigurationError("generator.quantize: 4bit needs the package bitsandbytes; run `pip install bitsandbytes`, or set it to none.")
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)  # type: ignore[no-untyped-call] # untyped in the library


def _with_adapters(model: Any, adapters: Sequence[AdapterSettings], *, merge: bool) -> Any:
    from peft import PeftModel  # noqa: PLC0415 - seconds to import, and only adapters need it

    names = [f"adapter_{i}" for i in range(len(adapters))]
    try:
        mixed = PeftModel.from_pretrained(model, adapters[0].path, adapter_name=names[0])
        for name, adapter in zip(names[1:], adapters[1:], strict=True):
            mixed.load_adapter(adapter.path, adapter_name=name)
        # `cat` lays the factors side by side, so the sum is exact for any ranks; `linear` would multiply factors of different adapters.
        mixed.add_weighted_adapter(names, [adapter.weight for adapter in adapters], "mixed", combination_type="cat")
        mixed.set_adapter("mixed")
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ConfigurationError(f"generator.adapters: the adapters do not fit the model: {_first_line(error)}") from None
    return mixed.merge_and_unload(adapter_names=["mixed"]) if merge else mixed


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if len(line) <= 240 else line[:239] + "…"

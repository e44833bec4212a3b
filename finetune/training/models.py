"""A causal model and its tokenizer as a training needs them: loaded, checked, given adapters, and saved so that the server can load them."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
from jinja2 import TemplateError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig, PreTrainedModel
from transformers.utils import logging
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from guardrail.errors import ConfigurationError
from guardrail.finetune.training.arguments import uses_bf16, uses_cpu
from guardrail.finetune.training.callbacks import quiet
from guardrail.generate.hub_tokenizer import HubTokenizer
from guardrail.generate.turn_text import turn_end

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.settings import LoraSettings, TrainingSettings

MODEL, ADAPTER = "model", "adapter"
"""Folders of a stage, and the names of these outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """SHA-256 of what must not change from stage to stage."""

    tokenizer: str
    template: str


def load_tokenizer(reference: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, or of a hub model where there is no such folder; it pads on the right. Raises ConfigurationError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(reference, local_files_only=_is_local(reference))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"No tokenizer can be loaded from {reference}: {_first_line(error)}") from None
    tokenizer.padding_side = "right"
    return cast("PreTrainedTokenizerBase", tokenizer)


def load_model(
    reference: str, *, training: TrainingSettings, lora: LoraSettings | None = None, kind: Any = AutoModelForCausalLM, **more: Any
) -> PreTrainedModel:
    """The model to train, on the CPU or, quantized, on this process' GPU.

    Its weights are float32 where all of them are trained, else bfloat16 where the training runs in it. `kind` is another of transformers' Auto classes, and
    `more` goes to its `from_pretrained`. Only safetensors are read, and no code of the model's is run. Raises ConfigurationError.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # untyped in the library
    options: dict[str, Any] = {"dtype": torch.bfloat16 if lora is not None and uses_bf16(training) else torch.float32} | more
    if lora is not None and lora.quantize == "4bit":
        _check_quantization()
        options |= {"quantization_config": _four_bit(), "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))}}
    try:
        model = kind.from_pretrained(reference, local_files_only=_is_local(reference), use_safetensors=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigurationError(f"No model can be loaded from {reference}: {_first_line(error)}") from None
    if model.can_generate():
        # What its makers sample with, such as a penalty of repetition, would change every reply that is sampled or audited.
        model.generation_config = GenerationConfig.from_model_config(model.config)
    if training.gradient_checkpointing:
        model.config.use_cache = False
    return cast("PreTrainedModel", model)


def check_chat(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise ConfigurationError where a model cannot be trained to chat, and end its turns, with this tokenizer."""
    if not tokenizer.chat_template:
        raise ConfigurationError(
            f"{name} has no chat template: put a chat_template.jinja with {{% generation %}} marks into its folder, or start from a base model that a pretrain "
            "stage made, which has one."
        )
    if tokenizer.eos_token_id is None:
        raise ConfigurationError(f"{name} has no end-of-sequence token, so a model trained with it would never stop: name one in its tokenizer_config.json.")
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        is_ = "none" if tokenizer.pad_token_id is None else "also its end of the turn"
        raise ConfigurationError(
            f"The padding token of {name} is {is_}: where padding is left out of the loss the end would be, too, and the model would never stop. Name another "
            "token as pad_token in its tokenizer_config.json."
        )
    training_template(tokenizer, name)


def training_template(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """The chat template with {% generation %} marks around what the assistant says, end of the turn included.

    It renders the same text as the tokenizer's own, which may lack the marks where TRL knows how to put them in. Raises ConfigurationError where it does not.
    """
    template = tokenizer.chat_template
    assert isinstance(template, str)
    if has_generation_markers(template):
        return template
    try:
        return get_training_chat_template(processing_class=tokenizer) or template
    except (ValueError, TemplateError):
        raise ConfigurationError(
            f"The chat template of {name} does not say which words are the assistant's: put {{% generation %}} before and {{% endgeneration %}} after them, so "
            "that the end of the turn stands within."
        ) from None


def check_fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise ConfigurationError where the tokenizer knows tokens that the model has no embedding for."""
    rows = cast("torch.nn.Embedding", model.get_input_embeddings()).num_embeddings
    if len(tokenizer) > rows:
        raise ConfigurationError(f"The tokenizer of {name} has {len(tokenizer)} tokens and the model {rows} embeddings: they do not belong together.")


def fingerprint(tokenizer: PreTrainedTokenizerBase) -> Fingerprint:
    """The same for tokenizers that make the same ids, and for templates that are the same text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigurationError("This tokenizer has no tokenizer.json: save it as a fast tokenizer.")
    pieces = (backend.get_vocab(with_added_tokens=True), tokenizer.all_special_tokens, tokenizer.eos_token, tokenizer.pad_token)
    told = repr((sorted(pieces[0].items()), *pieces[1:]))
    return Fingerprint(tokenizer=sha256(told.encode()).hexdigest(), template=sha256(str(tokenizer.chat_template).encode()).hexdigest())


def require_same(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase, *, names: tuple[str, str]) -> None:
    """Raise ConfigurationError where two stages' tokenizers or chat templates differ: ids of the one would mean something else to the other."""
    one, other = fingerprint(first), fingerprint(second)
    if one.tokenizer != other.tokenizer:
        raise ConfigurationError(f"The tokenizers of {names[0]} and {names[1]} differ: train both from the same base model.")
    if one.template != other.template:
        raise ConfigurationError(f"The chat templates of {names[0]} and {names[1]} differ: train both from the same base model, with the same template.")


def attach_lora(model: PreTrainedModel, lora: LoraSettings, *, training: TrainingSettings, task: Literal["CAUSAL_LM", "SEQ_CLS"] = "CAUSAL_LM") -> Any:
    """`model` frozen, with new adapters: W + (alpha / rank) B A, where B = 0 at first (Hu et al. 2021, eq. 3). The head of a SEQ_CLS model learns, too.

    Raises ConfigurationError.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training  # noqa: PLC0415 - seconds to import, and only adapters need it

    if lora.quantize == "4bit":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=training.gradient_checkpointing)  # type: ignore[no-untyped-call] # untyped in the library
    elif training.gradient_checkpointing:
        model.enable_input_require_grads()  # type: ignore[no-untyped-call] # as above
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=cast("int", lora.alpha),  # any number is taken
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
        task_type=task,
    )
    try:
        with quiet():
            return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigurationError(f"lora.targets: {_first_line(error)}") from None


def load_adapter(model: Any, checkpoint: Path | None) -> Any:
    """`model` with its adapter as it stands in `checkpoint`; None: as it was at first, when it changed nothing."""
    from peft import set_peft_model_state_dict  # noqa: PLC0415 - as above

    if checkpoint is not None:
        set_peft_model_state_dict(model, load_file(checkpoint / "adapter_model.safetensors"))
        return model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    return model


def save_model(
    model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, *, base: str | None = None, state: dict[str, torch.Tensor] | None = None
) -> dict[str, str]:
    """Write a whole model into `folder`/model and, where it has adapters, these into `folder`/adapter; gives the outputs of the stage.

    Adapters are merged into the weights of `base` as they stand on disk, so a quantized base is merged in full precision. `state` is the model's state where
    its parameters are spread over devices. An older model is replaced.
    """
    outputs = {MODEL: MODEL}
    if hasattr(model, "peft_config"):
        _replace(folder / ADAPTER, lambda staging: model.save_pretrained(staging, state_dict=state))
        outputs[ADAPTER] = ADAPTER
        model, state = merged(folder / ADAPTER, base=base) if base is not None else model.merge_and_unload(), None
    _replace(folder / MODEL, lambda staging: write_folder(model, tokenizer, staging, state=state))
    return outputs


def merged(adapter: Path, *, base: str) -> PreTrainedModel:
    """The model `base` with `adapter` added to its weights, in float32."""
    from peft import PeftModel  # noqa: PLC0415 - as above

    with quiet():
        whole = AutoModelForCausalLM.from_pretrained(base, local_files_only=_is_local(base), use_safetensors=True, dtype=torch.float32)
        return cast("PreTrainedModel", PeftModel.from_pretrained(whole, str(adapter)).merge_and_unload())


def write_folder(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, state: dict[str, torch.Tensor] | None = None) -> None:
    """A Hugging Face folder: weights as safetensors, tokenizer, chat template, and a generation_config that names every end of a turn."""
    ends = end_tokens(tokenizer)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id)  # type: ignore[no-untyped-call] # as above
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = True  # the trainer's False would make everyone who generates with it read the whole text anew for each token
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def end_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that end a reply: the end of the sequence, and of the assistant's turn by the chat template."""
    eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    if not tokenizer.chat_template:
        return eos
    return sorted(turn_end(HubTokenizer(tokenizer), eos).tokens)


def _replace(folder: Path, write: Any) -> None:
    """Let `write` fill a folder that takes the place of `folder` when it is whole."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        write(staging)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_quantization() -> None:
    if uses_cpu():
        raise ConfigurationError("lora.quantize: 4bit (QLoRA) needs a CUDA GPU and there is none here; set it to none.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigurationError("lora.quantize: 4bit needs the package bitsandbytes; run `pip install bitsandbytes`, or set it to none.")


def _four_bit() -> BitsAndBytesConfig:
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)  # type: ignore[no-untyped-call] # untyped in the library


def _is_local(reference: str) -> bool:
    """Whether `reference` is a folder; a path that is none is refused rather than asked for at the hub."""
    if Path(reference).is_dir():
        return True
    if reference.startswith((".", "/", "~")) or reference.count("/") > 1:
        raise ConfigurationError(f"There is no model folder {reference}.")
    return False


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line if len(line) <= 240 else line[:239] + "…"

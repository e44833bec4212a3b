"""A real chat model of a few thousand parameters, made in a second: random weights, a byte-level tokenizer, a chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = (
    "{% for message in messages %}{{ {'system': 'System', 'user': 'User', 'assistant': 'Assistant'}[message['role']] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
_CORPUS = [
    "The soul is the first actuality of a natural body that has life potentially.",
    "User: What is justice? Assistant: Justice is doing one's own work and not meddling with what is not one's own.",
    "system user assistant: Plato, Aristotle and Socrates talk about virtue, knowledge and the good life.",
]


def make_tiny_model(
    folder: Path, *, kind: Literal["llama", "lfm2", "mistral"] = "llama", template: str | None = CHATML, context: int = 512, layers: int = 2, seed: int = 0
) -> Path:
    """Write a model folder and return it. `lfm2` alternates short convolutions and attention, `mistral` attends to the last 8 tokens only."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        Lfm2Config,
        Lfm2ForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        PreTrainedModel,
        PreTrainedTokenizerFast,
    )

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=384, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    raw.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # untyped in the library
        tokenizer_object=raw, eos_token="<|endoftext|>", additional_special_tokens=special[1:], model_max_length=context, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = template
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.4,  # wide enough that the likeliest token depends on the whole prompt
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    model: PreTrainedModel
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape))
    elif kind == "mistral":
        model = MistralForCausalLM(MistralConfig(**shape, sliding_window=8))
    else:
        layer_types = ["conv" if i % 2 == 0 else "full_attention" for i in range(layers)]
        rope = {"rope_type": "default", "rope_theta": 10000.0}
        model = Lfm2ForCausalLM(Lfm2Config(**shape, block_auto_adjust_ff_dim=False, rope_parameters=rope, layer_types=layer_types))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

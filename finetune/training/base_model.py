"""A base model made from nothing: a tokenizer learned from the data, and a small network with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.encoding import DOCUMENT_END

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guardrail.finetune.settings import ArchitectureSettings

PAD, TURN_START, TURN_END = "<|pad|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, with the assistant's words and the end of its turn marked as what is learned."""


def learn_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) of at most `vocabulary` tokens, with the special tokens of TEMPLATE.

    Every text can be written with it, and comes back byte for byte. Padding has a token of its own. Raises ConfigurationError where `vocabulary` is too small.
    """
    special = [PAD, DOCUMENT_END, TURN_START, TURN_END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary < len(alphabet) + len(special):
        raise ConfigurationError(f"architecture.vocabulary: {vocabulary} is too small, bytes and special tokens alone are {len(alphabet) + len(special)}.")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # untyped in the library
        tokenizer_object=raw,
        eos_token=TURN_END,
        pad_token=PAD,
        extra_special_tokens=[DOCUMENT_END, TURN_START],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def make_model(architecture: ArchitectureSettings, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """A causal model with random weights, the same for the same seed; embeddings and head are one matrix. Raises ConfigurationError."""
    if architecture.hidden % architecture.heads or architecture.heads % architecture.key_value_heads:
        raise ConfigurationError("architecture: hidden must be a multiple of heads, and heads of key_value_heads.")
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": architecture.hidden,
        "intermediate_size": architecture.feed_forward,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        "num_key_value_heads": architecture.key_value_heads,
        "max_position_embeddings": architecture.context,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }
    set_seed(seed)
    if architecture.kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    kinds = ["full_attention" if number % 2 else "conv" for number in range(architecture.layers)]
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    return Lfm2ForCausalLM(Lfm2Config(**shape, block_auto_adjust_ff_dim=False, rope_parameters=rope, layer_types=kinds))

"""A base model made from nothing: a tokenizer learned from the data, and a small network with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.encoding import DOCUMENT_END
from guardrail.finetune.training import copying_start

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


_COPIED = r"'(?:s|t|re|ve|m|ll|d)\b| ?\[[1-9]\]| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+"
"""What is never joined in one token where a model is to copy: a passage's number is one token, digits go at most in twos, a mark stands alone."""


def learn_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int, copying: bool = False) -> PreTrainedTokenizerBase:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) of at most `vocabulary` tokens, with the special tokens of TEMPLATE.

    Every text can be written with it, and comes back byte for byte. With `copying` every line but the first begins as if a blank stood before its first word,
    so that the word is the token it is elsewhere; a blank with which a text begins then does not come back. Padding has a token of its own. Raises
    ConfigurationError where `vocabulary` is too small.
    """
    special = [PAD, DOCUMENT_END, TURN_START, TURN_END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary < len(alphabet) + len(special):
        raise ConfigurationError(f"architecture.vocabulary: {vocabulary} is too small, bytes and special tokens alone are {len(alphabet) + len(special)}.")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    if copying:
        raw.normalizer = normalizers.Replace(Regex(r"\n(?=[ \S])"), "\n ")
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(_COPIED), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        raw.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("\n ", "\n"), decoders.Strip(" ", 1, 0)])
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
    """A causal model with random weights, or those of `copying_start`, the same for the same seed; embeddings and head are one matrix.

    Raises ConfigurationError.
    """
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
    if architecture.copying and (architecture.kind != "lfm2" or architecture.hidden % 2 or architecture.layers < 2):
        raise ConfigurationError("architecture.copying needs kind lfm2, two layers or more and an even hidden size.")
    set_seed(seed)
    if architecture.kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape))
    kinds = ["full_attention" if number % 2 else "conv" for number in range(architecture.layers)]
    rope = {"rope_type": "default", "rope_theta": copying_start.THETA if architecture.copying else 10_000.0}
    model = Lfm2ForCausalLM(Lfm2Config(**shape, block_auto_adjust_ff_dim=False, rope_parameters=rope, layer_types=kinds, conv_bias=architecture.copying))
    if architecture.copying:
        copying_start.begin(model, seed=seed)
    return model

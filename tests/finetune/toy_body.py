"""A model that imitates the toy's demonstrations, trained in a few seconds without any of the stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrail.finetune.recipes import toy_data

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_toy_body(folder: Path, *, steps: int = 250, seed: int = 0) -> Path:
    """Write a model folder and return it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from guardrail.finetune.training.models import write_folder

    rows: list[list[dict[str, str]]] = [row["messages"] for row in toy_data.dialogues(2000, seed=seed)]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    raw.train_from_iterator([turn["content"] for row in rows for turn in row], trainer)
    tokenizer: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # untyped in the library
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|pad|>", additional_special_tokens=special[1:2], clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = TEMPLATE
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that share a busy core spend their time waiting for each other
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=128,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            tie_word_embeddings=True,
        )
    )
    encoded = [tokenizer.apply_chat_template(row, return_dict=True, return_assistant_tokens_mask=True) for row in rows]
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(steps):
        batch = [encoded[(step * 32 + place) % len(encoded)] for place in range(32)]
        longest = max(len(row["input_ids"]) for row in batch)
        ids = torch.tensor([[*row["input_ids"], *[tokenizer.pad_token_id] * (longest - len(row["input_ids"]))] for row in batch])
        said = torch.tensor([[*row["assistant_masks"], *[0] * (longest - len(row["input_ids"]))] for row in batch])
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        loss = model(input_ids=ids, labels=ids.masked_fill(said == 0, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)
    write_folder(model, tokenizer, folder)
    return folder

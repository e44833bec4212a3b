"""A network that copies before it has learned anything, and the tokenizer that goes with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guardrail.errors import ConfigurationError
from guardrail.finetune.settings import ArchitectureSettings
from guardrail.finetune.training.base_model import TEMPLATE, learn_tokenizer, make_model
from tests.finetune.small_run import WORDS

_CORPUS = [f"Republic: The {word} is {other}. [1] A {other} {word}. [2]\nWhat is {word}?" for word in WORDS for other in WORDS]
_TOKENIZER = learn_tokenizer(_CORPUS, vocabulary=600, context=256, copying=True)
_SHAPE = ArchitectureSettings(
    kind="lfm2", layers=4, hidden=256, feed_forward=128, heads=4, key_value_heads=4, context=256, vocabulary=len(_TOKENIZER), copying=True
)
_TEXT = st.text(st.sampled_from("ab .\n\t\r'[1]é☃") | st.characters(exclude_categories=["Cs"]), max_size=60)
_REPLY = st.text(st.sampled_from("ab .\n'[1]é"), min_size=1, max_size=30).filter(lambda text: not text.startswith(" "))


def _copied(shape: ArchitectureSettings, *, seed: int = 0) -> float:
    """Share of the second half that is predicted, where 64 random tokens stand twice."""
    torch.set_num_threads(1)
    model = make_model(shape, _TOKENIZER, seed=seed)  # it drops nothing out
    half = torch.randint(4, len(_TOKENIZER), (8, 64), generator=torch.Generator().manual_seed(7))
    ids = torch.cat([half, half], dim=1)
    with torch.no_grad():
        told = model(ids).logits.argmax(-1)
    return float((told[:, 66:-1] == ids[:, 67:]).float().mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_new_network_says_what_is_repeated(seed: int) -> None:
    assert _copied(_SHAPE, seed=seed) > 0.4


def test_random_weights_do_not() -> None:
    assert _copied(replace(_SHAPE, copying=False)) < 0.05


def test_heads_may_share_their_keys_and_values() -> None:
    assert _copied(replace(_SHAPE, key_value_heads=2)) > 0.4


def test_the_weights_are_those_of_their_seed() -> None:
    first, same, other = (make_model(_SHAPE, _TOKENIZER, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


@pytest.mark.parametrize("wrong", [{"kind": "llama"}, {"hidden": 35, "heads": 5, "key_value_heads": 5}, {"layers": 1}])
def test_a_network_that_cannot_begin_so_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="needs kind lfm2, two layers or more and an even hidden size"):
        make_model(replace(_SHAPE, **wrong), _TOKENIZER, seed=0)  # type: ignore[arg-type] # what each case changes


def _ids(text: str) -> list[int]:
    ids: list[int] = _TOKENIZER(text, add_special_tokens=False)["input_ids"]
    return ids


@given(_TEXT.filter(lambda text: not text.startswith(" ")))
def test_a_text_that_begins_with_no_blank_comes_back_from_its_tokens(text: str) -> None:
    assert _TOKENIZER.decode(_ids(text)) == text


@given(_TEXT)
def test_a_blank_with_which_a_text_begins_is_all_that_is_lost(text: str) -> None:
    assert _TOKENIZER.decode(_ids(f" {text}")) == text


@pytest.mark.parametrize("word", [*WORDS[:4], "unseen", "Étude", "[1]"])
def test_a_word_is_the_same_at_the_beginning_of_a_line_as_after_a_blank(word: str) -> None:
    assert _ids(f".\n{word}") == [*_ids(".\n"), *_ids(f" {word}")]
    assert _ids(f"and {word}") == [*_ids("and"), *_ids(f" {word}")]


@pytest.mark.parametrize("text", ["so. [1]", "so.\n[1]"])
def test_a_marker_is_one_token(text: str) -> None:
    assert _ids(text) == [*_ids(text[: -len(" [1]")]), *([_ids("\n")[0]] * text.count("\n")), _TOKENIZER.convert_tokens_to_ids("Ġ[1]")]
    assert _TOKENIZER.convert_tokens_to_ids("Ġ[1]") is not None


def test_special_tokens_stay_whole_between_lines() -> None:
    text = "<|im_start|>user\nthe soul<|im_end|>\n<|im_start|>assistant\n"
    tokens = _TOKENIZER.convert_ids_to_tokens(_ids(text))
    assert [token for token in tokens if token.startswith("<|")] == ["<|im_start|>", "<|im_end|>", "<|im_start|>"]
    assert _TOKENIZER.decode(_ids(text)) == text


@given(asked=_REPLY, first=_REPLY, second=_REPLY)
def test_what_is_learned_is_each_reply_and_its_end(asked: str, first: str, second: str) -> None:
    spoken = [("user", asked), ("assistant", first), ("user", asked), ("assistant", second)]
    rendered: Any = _TOKENIZER.apply_chat_template(
        [{"role": role, "content": content} for role, content in spoken],
        chat_template=TEMPLATE,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    said: list[list[int]] = [[]]  # runs that are learned
    for token, learned in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True):
        if learned:
            said[-1].append(token)
        elif said[-1]:
            said.append([])
    assert [_TOKENIZER.decode(run) for run in said if run] == [f"{reply}<|im_end|>" for reply in (first, second)]

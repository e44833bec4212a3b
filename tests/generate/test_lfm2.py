"""The NumPy forward pass against transformers' own, on real random models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM

from guardrail.errors import ConfigurationError
from guardrail.generate import lfm2

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TOKENS = np.random.default_rng(0).integers(0, 97, 40).tolist()
TOLERANCE = 1e-3


def save(folder: Path, *, dtype: torch.dtype = torch.float32, **changes: Any) -> Path:
    """A random model in a folder, with every weight that begins as 0 or 1 moved away from there."""
    shape: dict[str, Any] = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
        "initializer_range": 0.3,
        "block_auto_adjust_ff_dim": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    }
    torch.manual_seed(0)
    model = Lfm2ForCausalLM(Lfm2Config(**{**shape, **changes}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.to(dtype).save_pretrained(folder)  # type: ignore[arg-type] # `to` takes a dtype, which its stub leaves out
    return folder


def expected(folder: Path, tokens: list[int]) -> NDArray[np.float32]:
    """Logits (n, vocabulary) of transformers, in float32."""
    model: Any = Lfm2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        logits: NDArray[np.float32] = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].numpy()
    return logits


CASES: dict[str, dict[str, Any]] = {
    "alternating": {},
    "with biases": {"conv_bias": True},
    "convolutions alone": {"layer_types": ["conv"] * 4},
    "attention alone": {"layer_types": ["full_attention"] * 4},
    "attention first": {"layer_types": ["full_attention", "conv", "conv", "full_attention"]},
    "one key for all heads": {"num_key_value_heads": 1},
    "a key for each head": {"num_key_value_heads": 4},
    "one tap": {"conv_L_cache": 1},
    "five taps": {"conv_L_cache": 5, "conv_bias": True},
    "an untied head": {"tie_word_embeddings": False},
    "an adjusted feed-forward width": {"block_auto_adjust_ff_dim": True, "block_multiple_of": 16, "intermediate_size": 100},
    "another base of the positions": {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0}},
    "attending layers by number": {"layer_types": None, "full_attn_idxs": [2]},
}


@pytest.mark.parametrize("case", CASES)
def test_the_logits_are_those_of_transformers_at_once_and_token_by_token(case: str, tmp_path: Path) -> None:
    folder = save(tmp_path, **CASES[case])
    model, logits = lfm2.load(folder), expected(folder, TOKENS)
    np.testing.assert_allclose(model.read_all(TOKENS, model.state(40)), logits, atol=TOLERANCE, rtol=0)
    state = model.state(40)
    np.testing.assert_allclose([model.read([token], state) for token in TOKENS], logits, atol=TOLERANCE, rtol=0)
    assert np.ptp(logits) > 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_the_size_are_read_as_the_numbers_they_are(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = save(tmp_path, dtype=dtype)
    assert next(iter(load_file(folder / "model.safetensors").values())).dtype == dtype
    model = lfm2.load(folder)
    np.testing.assert_allclose(model.read_all(TOKENS, model.state(40)), expected(folder, TOKENS), atol=TOLERANCE, rtol=0)


def test_a_prompt_longer_than_a_block_and_its_parts_give_the_same_logits(tmp_path: Path) -> None:
    folder = save(tmp_path, conv_bias=True)
    tokens = np.random.default_rng(1).integers(0, 97, 600).tolist()
    model, logits = lfm2.load(folder), expected(folder, tokens)
    np.testing.assert_allclose(model.read_all(tokens, model.state(600)), logits, atol=TOLERANCE, rtol=0)
    state = model.state(600)
    for start, end in ((0, 1), (1, 3), (3, 290), (290, 599), (599, 600)):
        np.testing.assert_allclose(model.read(tokens[start:end], state), logits[end - 1], atol=TOLERANCE, rtol=0)
    assert state.length == 600


def test_two_texts_that_are_read_in_turns_do_not_touch_each_other(tmp_path: Path) -> None:
    model = lfm2.load(save(tmp_path))
    alone = [model.read([token], state) for state in [model.state(20)] for token in TOKENS[:20]]
    state, other = model.state(20), model.state(20)
    together = []
    for token in TOKENS[:20]:
        together.append(model.read([token], state))
        model.read([96 - token], other)
    assert np.array_equal(alone, together)


def test_a_read_that_cannot_be_is_refused_and_leaves_the_state_alone(tmp_path: Path) -> None:
    model = lfm2.load(save(tmp_path))
    state, untouched = model.state(3), model.state(3)
    for wrong in ([], [1, 2, 3, 4], [97], [-1]):
        with pytest.raises(ValueError, match=r"token"):
            model.read(wrong, state)
    assert np.array_equal(model.read([5, 6, 7], state), model.read([5, 6, 7], untouched))
    with pytest.raises(ValueError, match="holds 3 tokens of at most 3"):
        model.read([1], state)


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        lfm2.load(folder)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_a_folder_that_is_no_lfm2_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path / "llama"
    )
    (tmp_path / "empty").mkdir()
    assert "there is no folder" in refusal(tmp_path / "nowhere")
    assert "holds no config.json" in refusal(tmp_path / "empty")
    assert "a model of the kind llama" in refusal(tmp_path / "llama")
    for text in ("", "[]", "{", '{"model_type": "lfm2", "hidden_size": -1}', '{"model_type": "lfm2", "layer_types": ["mamba"]}'):
        (tmp_path / "empty" / "config.json").write_text(text)
        assert "describes no Lfm2 model" in refusal(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rotary positions are of the kind yarn"),
        ({"num_key_value_heads": 3}, "no multiple of num_key_value_heads"),
        ({"num_hidden_layers": 5}, "5 layers and names the kinds of 4"),
        ({"hidden_size": 64}, "has the shape [97, 32], and by config.json it is [97, 64]"),
        ({"tie_word_embeddings": False}, "has no tensor lm_head.weight"),
        ({"conv_bias": True}, "has no tensor model.layers.0.conv.in_proj.bias"),
    ],
)
def test_a_configuration_that_the_weights_do_not_bear_out_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = save(tmp_path)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    assert said in refusal(folder)


def test_weights_that_are_missing_damaged_or_no_numbers_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    file = folder / "model.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    file.unlink()
    assert "cannot be read" in refusal(folder)
    for broken in (b"", whole[:7], whole[:100], b"\xff" * 200, whole[:8] + b"[" + whole[9:]):
        file.write_bytes(broken)
        assert re.search(r"cannot be read|is damaged", refusal(folder))
    file.write_bytes(whole[:-1])
    assert "is damaged where the tensor" in refusal(folder)
    name = "model.layers.1.self_attn.q_proj.weight"
    save_file({key: value for key, value in tensors.items() if key != name}, file)
    assert f"has no tensor {name}" in refusal(folder)
    save_file({**tensors, name: tensors[name].double()}, file)
    assert "is F64" in refusal(folder)
    save_file({**tensors, name: tensors[name] * float("nan")}, file)
    assert "values that are no numbers" in refusal(folder)

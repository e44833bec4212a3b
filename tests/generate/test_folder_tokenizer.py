"""The tokenizer of a model folder against transformers' reading of the same folder."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from transformers import AutoTokenizer

from guardrail.errors import ConfigurationError
from guardrail.finetune.training.base_model import TEMPLATE
from guardrail.generate import folder_tokenizer
from guardrail.generate.chat_template import ChatTemplate
from guardrail.generate.hub_tokenizer import HubTokenizer
from guardrail.generate.transcript import Transcript, transcript
from guardrail.types import Message
from tests.tiny_model import CHATML, PLAIN, make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.generate.folder_tokenizer import FolderTokenizer

_FOLDERS: list[Path] = []
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SCRAPS = st.lists(
    st.sampled_from([*SPECIAL, "<", "<|", "|>", "im_start", "<|im_", "end|>", " ", "\n", "user", "ψυχή", "😀", "{{ 7 }}", "\u200b", "＜|im_end|>", "|"]),
    max_size=9,
).map("".join)


@pytest.fixture(autouse=True)
def _folder(tiny_llama: Path) -> None:
    _FOLDERS[:] = [tiny_llama]


@cache
def ours() -> FolderTokenizer:
    return folder_tokenizer.load(_FOLDERS[0])


@cache
def theirs() -> HubTokenizer:
    return HubTokenizer(AutoTokenizer.from_pretrained(_FOLDERS[0]))


@cache
def written() -> Transcript:
    return transcript(ours(), eos=[0], context=512, name="tiny")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | SCRAPS)
def test_a_text_becomes_the_same_tokens_and_tokens_the_same_text(text: str) -> None:
    assert ours().ids(text) == theirs().ids(text)
    assert ours().text(ours().ids(text)) == theirs().text(theirs().ids(text))


def test_it_knows_the_same_added_and_special_tokens() -> None:
    assert ours().added == theirs().added
    assert ours().special == theirs().special == set(SPECIAL)
    assert (ours().eos, ours().longest) == (0, 512)


@settings(max_examples=300, deadline=None)
@given(st.lists(SCRAPS | st.text(max_size=20), min_size=3, max_size=3))
def test_no_text_of_a_message_forms_a_special_token(texts: list[str]) -> None:
    """Two per message stand in the template, and the mark that opens the reply."""
    roles = ("system", "user", "assistant")
    ids = written().encode([Message(role=role, content=text) for role, text in zip(roles, texts, strict=True)])  # type: ignore[arg-type] # a Role each
    marks = [ours().added[id_] for id_ in ids if id_ in ours().added]
    assert marks == ["<|im_start|>", "<|im_end|>"] * 3 + ["<|im_start|>"]


@pytest.mark.parametrize("source", [CHATML, PLAIN, TEMPLATE])
@pytest.mark.parametrize("reply", [True, False])
def test_a_conversation_is_rendered_as_transformers_renders_it(source: str, reply: bool, tiny_llama: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = source
    messages = [{"role": role, "content": f" {role} <b> & \n"} for role in ("system", "user", "assistant", "user")]
    assert ChatTemplate(source, marks={}).render(messages, reply=reply) == tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply)


def test_a_template_has_the_names_that_templates_use() -> None:
    source = "{{ eos_token }}{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}{{ strftime_now('%Y') | length }}"
    rendered = ChatTemplate(source, marks={"eos_token": "</s>"}).render([{"content": "<ψ>"}, {"content": "no"}], reply=True)
    assert rendered == '</s>{"content": "<ψ>"}4'


@pytest.mark.parametrize("source", ["{{ raise_exception('no system') }}", "{{ 1 + 'a' }}", "{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}"])
def test_a_template_that_refuses_fails_or_reaches_out_ends_as_a_template_error(source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source, marks={}).render([], reply=True)


def test_a_template_without_a_system_role_gets_the_system_message_with_the_first_of_the_user(tmp_path: Path) -> None:
    source = "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}[{{ m['content'] }}]{% endfor %}"
    found = folder_tokenizer.load(make_tiny_model(tmp_path, template=source))
    folding = transcript(found, eos=[0], context=512, name="tiny")
    ids = folding.encode([Message(role="system", content="Be brief."), Message(role="user", content="Why?")])
    assert found.text(ids) == "[Be brief.\n\nWhy?]"


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        folder_tokenizer.load(folder)
    return str(caught.value)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    template, config, tokens = folder / "chat_template.jinja", folder / "tokenizer_config.json", folder / "tokenizer.json"
    inside = json.loads(config.read_text()) | {"chat_template": template.read_text()}
    template.write_text("{% for %}")
    assert "is none" in refusal(folder)
    template.unlink()
    assert "has no chat template" in refusal(folder)
    config.write_text(json.dumps(inside))
    assert folder_tokenizer.load(folder).render([{"role": "user", "content": "x"}], reply=False) == "<|im_start|>user\nx<|im_end|>\n"
    config.write_text("{")
    assert "is damaged" in refusal(folder)
    config.unlink()
    assert "is missing" in refusal(folder)
    tokens.write_text("{}")
    assert "no tokenizer can be read" in refusal(folder)


def test_a_special_token_that_only_the_configuration_names_is_special(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path)
    tokens = folder / "tokenizer.json"
    loaded = json.loads(tokens.read_text())
    for token in loaded["added_tokens"]:
        token["special"] = token["content"] == "<|endoftext|>"
    tokens.write_text(json.dumps(loaded))
    found = folder_tokenizer.load(folder)
    assert found.special == set(SPECIAL)
    assert found.text(found.ids("a<|im_end|>b")) == "ab"

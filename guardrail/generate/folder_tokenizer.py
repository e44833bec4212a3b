"""The tokenizer of a model folder through the package tokenizers: tokenizer.json, tokenizer_config.json and the chat template, without transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from jinja2 import TemplateError
from tokenizers import AddedToken, Tokenizer

from guardrail.errors import ConfigurationError
from guardrail.generate.chat_template import ChatTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LISTED = ("additional_special_tokens", "extra_special_tokens")


class _Mark(msgspec.Struct):
    content: str


class _Config(msgspec.Struct):
    bos_token: str | _Mark | None = None
    eos_token: str | _Mark | None = None
    unk_token: str | _Mark | None = None
    sep_token: str | _Mark | None = None
    pad_token: str | _Mark | None = None
    cls_token: str | _Mark | None = None
    mask_token: str | _Mark | None = None
    additional_special_tokens: list[str | _Mark] | None = None
    extra_special_tokens: list[str | _Mark] | dict[str, str | _Mark] | None = None
    model_max_length: float | None = None
    chat_template: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTokenizer:
    """A tokenizer with its chat template (`guardrail.generate.chat_tokenizer.ChatTokenizer`)."""

    backend: Tokenizer
    template: ChatTemplate
    added: Mapping[int, str]
    special: frozenset[str]
    eos: int | None
    """The token that ends a sequence, where the folder names one."""
    longest: float | None
    """Most tokens of a sequence, where the folder says it."""

    def render(self, messages: Sequence[Mapping[str, str]], *, reply: bool) -> str:
        return self.template.render(messages, reply=reply)

    def ids(self, text: str) -> list[int]:
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        return str(self.backend.decode(list(ids), skip_special_tokens=True))


def load(folder: Path) -> FolderTokenizer:
    """Of the model in `folder`. Raises ConfigurationError where a file is missing or damaged, or there is no chat template."""
    path = folder / "tokenizer.json"
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception for every damage
        raise ConfigurationError(f"generator.model: no tokenizer can be read from {path} ({error}): save the model with its fast tokenizer.") from None
    backend.no_truncation()
    backend.no_padding()
    config = _config(folder / "tokenizer_config.json")
    named = {name: _text(mark) for name in _NAMED if (mark := getattr(config, name)) is not None}
    listed = [mark for name in _LISTED for mark in _all(getattr(config, name))]
    known = [text for text in dict.fromkeys([*named.values(), *listed]) if backend.token_to_id(text) is not None]
    backend.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in known])
    tokens = backend.get_added_tokens_decoder()
    try:
        template = ChatTemplate(_template(folder, config), marks=named)
    except TemplateError as error:
        raise ConfigurationError(f"generator.model: the chat template of {folder} is none: {error}.") from None
    return FolderTokenizer(
        backend=backend,
        template=template,
        added={number: token.content for number, token in tokens.items()},
        special=frozenset(token.content for token in tokens.values() if token.special),
        eos=backend.token_to_id(named["eos_token"]) if "eos_token" in named else None,
        longest=config.model_max_length,
    )


def _config(path: Path) -> _Config:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Config)
    except OSError:
        raise ConfigurationError(f"generator.model: {path} is missing or cannot be read: save the model with its tokenizer.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"generator.model: {path} is damaged ({error}): save the model's tokenizer again.") from None


def _template(folder: Path, config: _Config) -> str:
    path = folder / "chat_template.jinja"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"generator.model: {path} cannot be read ({error}).") from None
    if isinstance(config.chat_template, str):
        return config.chat_template
    raise ConfigurationError(f"generator.model: {folder} has no chat template; use a model tuned for chat, or add a chat_template.jinja to its folder.")


def _text(mark: str | _Mark) -> str:
    return mark if isinstance(mark, str) else mark.content


def _all(marks: list[str | _Mark] | dict[str, str | _Mark] | None) -> list[str]:
    return [_text(mark) for mark in (marks.values() if isinstance(marks, dict) else marks or ())]

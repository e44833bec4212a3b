"""Tokens to text: no half character, and nothing after the turn's end, wherever the text is split."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from guardrail.generate.hub_tokenizer import HubTokenizer
from guardrail.generate.turn_text import Detokenizer, Stop, StopScanner, turn_end
from tests.tiny_model import CHATML, PLAIN, make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS: list[Path] = []


@pytest.fixture(autouse=True)
def _folder(tiny_llama: Path) -> None:
    _FOLDERS[:] = [tiny_llama]


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(_FOLDERS[0])
    return loaded


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("abc the soul ψυχή 😀👨‍👩‍👧é\n"), max_size=40))
def test_text_survives_token_by_token_and_no_piece_holds_half_a_character(text: str) -> None:
    detokenizer = Detokenizer(HubTokenizer(tokenizer()))
    pieces = [detokenizer.push(token) for token in tokenizer()(text, add_special_tokens=False)["input_ids"]]
    pieces.append(detokenizer.finish())
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 380), max_size=30))
def test_any_tokens_at_all_give_whole_characters(tokens: list[int]) -> None:
    detokenizer = Detokenizer(HubTokenizer(tokenizer()))
    pieces = [detokenizer.push(token) for token in tokens]
    pieces.append(detokenizer.finish())
    assert "\ufffd" not in "".join(pieces)
    "".join(pieces).encode()


def test_a_character_appears_with_its_last_byte() -> None:
    tokens = tokenizer()("😀", add_special_tokens=False)["input_ids"]
    detokenizer = Detokenizer(HubTokenizer(tokenizer()))
    assert len(tokens) > 1
    assert [detokenizer.push(token) for token in tokens] == [""] * (len(tokens) - 1) + ["😀"]


STOPS = (Stop(text="User:", starts_line=True), Stop(text="[INST]"), Stop(text="END"), Stop(text="ENDS HERE"))


def scan(pieces: list[str]) -> tuple[str, bool, list[str]]:
    """The released text, whether it was stopped, and what was released after each piece."""
    scanner = StopScanner(STOPS)
    released = [scanner.push(piece) for piece in pieces]
    released.append(scanner.finish())
    return "".join(released), scanner.stopped, released


SCRAPS = st.lists(st.sampled_from(["User:", "User", ":", "\n", " ", "[INST]", "[IN", "ST]", "END", "EN", "S HERE", "word", "\t"]), max_size=8).map("".join)


@settings(max_examples=400, deadline=None)
@given(SCRAPS, st.lists(st.integers(0, 60), max_size=6))
def test_any_split_gives_the_same_text_and_never_what_follows_a_stop(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    whole, stopped, _ = scan([text])
    assert scan([text[a:b] for a, b in zip(edges, edges[1:], strict=False)])[:2] == (whole, stopped)  # noqa: RUF007 - edges may repeat
    assert scan(list(text))[:2] == (whole, stopped)
    assert text.startswith(whole)
    assert stopped or whole == text
    assert "END" not in whole
    assert "[INST]" not in whole
    assert not any(line.lstrip(" \t").startswith("User:") for line in whole.split("\n"))


def test_a_role_marker_inside_a_line_is_ordinary_text() -> None:
    assert scan(["The label User: is fine"])[:2] == ("The label User: is fine", False)
    assert scan(["Justice.\n  User: and what is"])[:2] == ("Justice.", True)
    assert scan(["User: hello"])[:2] == ("", True)


def test_only_a_possible_stop_is_held_back() -> None:
    assert scan(["one ", "two\n", "three", " EN", "D"])[2] == ["one ", "two", "\nthree", " ", "", ""]


def test_a_template_of_special_tokens_ends_the_turn_by_them() -> None:
    end = turn_end(HubTokenizer(tokenizer()), [0])
    assert end.tokens == set(tokenizer()("<|endoftext|><|im_start|><|im_end|>", add_special_tokens=False)["input_ids"])
    assert end.stops == ()


def test_a_template_of_plain_words_ends_the_turn_by_its_role_markers(tmp_path: Path) -> None:
    plain = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, template=PLAIN))
    end = turn_end(HubTokenizer(plain), [0])
    assert end.tokens == {0}
    assert set(end.stops) == {Stop(text="User:", starts_line=True), Stop(text="Assistant:", starts_line=True)}


def test_a_template_with_markers_inside_the_line_ends_the_turn_by_them_anywhere(tmp_path: Path) -> None:
    user, assistant = "[INST] {{ m['content'] }} [/INST]", " {{ m['content'] }} <|endoftext|>"
    llama2 = "{% for m in messages %}{% if m['role'] == 'assistant' %}" + assistant + "{% else %}" + user + "{% endif %}{% endfor %}"
    loaded = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, template=llama2))
    end = turn_end(HubTokenizer(loaded), [])
    assert end.tokens == {0}
    assert set(end.stops) == {Stop(text="[INST]"), Stop(text="[/INST]")}


def test_the_fixtures_template_is_chatml(tiny_llama: Path) -> None:
    assert tokenizer().chat_template == CHATML

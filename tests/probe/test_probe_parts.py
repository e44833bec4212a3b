"""The parts of the stream probe: what is played, how what comes back is read, and how a leak is counted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail.probe.heard import EventReader, Heard
from guardrail.probe.leak import LEAST, leaked
from guardrail.probe.script import PLACES, scripts

SECRET = "the vault code is nine four two"
BEFORE = "I was told to keep this, but "
WORDS = st.text(alphabet="abcdefg ", min_size=1, max_size=30)


@given(secret=st.text(min_size=1, max_size=40), before=st.text(max_size=20), after=st.text(max_size=20))
def test_every_script_joins_to_a_text_with_the_secret_where_it_is_said_to_stand(secret: str, before: str, after: str) -> None:
    for script in scripts(secret, before=before, after=after, quick=True):
        if not script.abrupt:
            assert script.text == script.before + secret + script.after
            assert all(script.pieces)


def test_every_place_is_played() -> None:
    assert {script.place for script in scripts(SECRET, before=BEFORE, after=".")} == set(PLACES)


def test_every_script_has_a_name_of_its_own() -> None:
    names = [script.name for script in scripts(SECRET, before=BEFORE, after=".")]
    assert len(set(names)) == len(names)


@given(data=st.data())
def test_events_read_the_same_however_the_bytes_are_cut(data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.text(max_size=8), max_size=6))
    body = "".join(f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]}, ensure_ascii=False)}\n\n" for piece in pieces)
    raw = (body + ": a comment\n\ndata: [DONE]\n\n").encode("utf-8", "replace")
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=6).map(sorted))
    heard = Heard()
    reader = EventReader(heard)
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        reader.push(raw[start:end])
    reader.end()
    assert heard.content.encode("utf-8", "replace") == "".join(pieces).encode("utf-8", "replace")
    assert heard.done


def test_an_event_without_a_last_line_break_is_read() -> None:
    heard = Heard()
    reader = EventReader(heard)
    reader.push(b'data: {"choices": [{"delta": {"content": "cut"}}]}')
    reader.end()
    assert heard.content == "cut"


def test_what_is_no_json_is_kept() -> None:
    heard = Heard()
    EventReader(heard).push(b"data: oops the vault\nid: code\n")
    assert heard.texts["outside of JSON"] == "oops the vault code"


def test_each_choice_is_kept_apart() -> None:
    heard = Heard()
    heard.take({"choices": [{"index": 1, "delta": {"content": "second"}, "finish_reason": "stop"}]})
    heard.take({"choices": [{"index": 0, "delta": {"content": "first"}}]})
    assert heard.content == "first"
    assert heard.texts["choices[1].content"] == "second"
    assert heard.finish == {1: "stop"}


def test_the_bytes_of_a_token_are_read_as_text() -> None:
    heard = Heard()
    heard.take({"choices": [{"index": 0, "logprobs": {"content": [{"bytes": list("vault é".encode())}]}}]})
    assert heard.texts["choices[0].logprobs.content[].bytes"] == "vault é"


@settings(max_examples=40)
@given(value=st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_any_json_can_be_taken(value: object) -> None:
    Heard().take(value)
    Heard().take({"choices": value, "usage": value})


@given(count=st.integers(1, len(SECRET)))
def test_characters_that_follow_the_lead_at_once_are_counted_one_by_one(count: int) -> None:
    assert leaked(BEFORE + SECRET[:count] + "####", SECRET, lead=BEFORE) == count


@given(count=st.integers(LEAST, len(SECRET)))
def test_a_run_counts_wherever_it_stands(count: int) -> None:
    assert leaked(f"§§{SECRET[-count:]}§§", SECRET) == count


@pytest.mark.parametrize("said", ["", BEFORE, BEFORE[:-4], f"{BEFORE}§{SECRET[1:7]}", "that I would rather not say"])
def test_nothing_is_counted_where_nothing_leaked(said: str) -> None:
    assert leaked(said, SECRET, lead=BEFORE) == 0


@given(said=WORDS, secret=WORDS)
def test_a_leak_is_never_longer_than_the_secret_and_complete_where_it_stands(said: str, secret: str) -> None:
    assert 0 <= leaked(said, secret) <= len(secret)
    assert leaked(said + secret + said, secret) == len(secret)


def test_case_does_not_hide_a_leak() -> None:
    assert leaked(SECRET.upper(), SECRET) == len(SECRET)

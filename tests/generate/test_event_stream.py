"""The parser of server-sent events, split at every position."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail.generate.event_stream import LIMIT, EventStream

WORDS = st.text(alphabet=st.sampled_from("aß€😀: {}\"'\t\u2028"), max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A well-formed stream and the data of its events."""
    end = draw(st.sampled_from(["\n", "\r", "\r\n"]))
    text, events = draw(st.sampled_from(["", "\ufeff"])), []
    for _ in range(draw(st.integers(0, 5))):
        lines = draw(st.lists(WORDS, min_size=0, max_size=3))
        for line in lines:
            if draw(st.booleans()):
                text += draw(st.sampled_from([":", ": keep-alive", "event: message", "id: 7", "retry: 10", "unknown"])) + end
            space = draw(st.sampled_from(["", " "])) if not line.startswith(" ") else " "
            text += f"data:{space}{line}{end}"
        text += end
        if lines:
            events.append("\n".join(lines).encode())
    return text.encode(), events


@given(streams())
def test_every_split_position_gives_the_same_events(stream: tuple[bytes, list[bytes]]) -> None:
    raw, expected = stream
    for cut in range(len(raw) + 1):
        parser = EventStream()
        assert parser.feed(raw[:cut]) + parser.feed(raw[cut:]) == expected


@given(streams())
def test_one_byte_at_a_time_gives_the_same_events(stream: tuple[bytes, list[bytes]]) -> None:
    raw, expected = stream
    parser = EventStream()
    assert [event for i in range(len(raw)) for event in parser.feed(raw[i : i + 1])] == expected


@given(streams(), st.lists(st.integers(0, 200)))
def test_any_three_or_more_pieces_give_the_same_events(stream: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    raw, expected = stream
    parser, edges = EventStream(), [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    assert [event for i, j in pairwise(edges) for event in parser.feed(raw[i:j])] == expected


def test_line_ends_may_be_mixed() -> None:
    assert EventStream().feed(b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\n") == [b"a\nb\nc", b"d"]


def test_half_an_event_is_held_back() -> None:
    parser = EventStream()
    assert parser.feed(b'data: {"a"') == []
    assert parser.feed(b": 1}\n") == []
    assert parser.feed(b"\n") == [b'{"a": 1}']


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 994, b"data: " + b"x" * 1000 + b"\n"], ids=["one line", "many lines"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    parser = EventStream()
    assert not any(parser.feed(piece) for _ in range(LIMIT // 1010))
    with pytest.raises(ValueError, match="more than"):
        [parser.feed(piece) for _ in range(LIMIT // 100)]

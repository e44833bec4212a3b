"""What is sent to `POST /v1/feedback`, as types."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from guardrail.server.wire import Body, SpokenMessage, Text


class Feedback(Body, kw_only=True):
    """What somebody thought of a reply. `messages` is the conversation up to it, and ends with the user's message."""

    messages: Annotated[list[SpokenMessage], Meta(min_length=1)]
    persona: Text | None = None
    rater: Annotated[Text, Meta(max_length=200)] | None = None
    """Who says so, as the caller tells raters apart: a pseudonym will do."""
    comment: Annotated[Text, Meta(max_length=4000)] | None = None
    completion: Annotated[Text, Meta(max_length=200)] | None = None
    """The `id` of the chat completion, if there was one."""


class Thumb(Feedback, kw_only=True, tag_field="kind", tag="thumb"):
    """A reply was good or bad."""

    reply: Annotated[Text, Meta(min_length=1)]
    thumb: Literal["up", "down"]


class Rewrite(Feedback, kw_only=True, tag_field="kind", tag="rewrite"):
    """What should have been said instead."""

    reply: Annotated[Text, Meta(min_length=1)]
    rewrite: Annotated[Text, Meta(min_length=1)]


class Comparison(Feedback, kw_only=True, tag_field="kind", tag="choice"):
    """Which of two replies is better, and how much: 1 negligibly, 2 slightly, 3 clearly, 4 significantly."""

    replies: Annotated[list[Annotated[Text, Meta(min_length=1)]], Meta(min_length=2, max_length=2)]
    chosen: Annotated[int, Meta(ge=0, le=1)]
    strength: Annotated[int, Meta(ge=1, le=4)] = 2


AnyFeedback = Thumb | Rewrite | Comparison


class Stored(Body):
    id: str
    """Of the line that was written."""

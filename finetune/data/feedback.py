"""Preferences out of what a server collected at `/v1/feedback`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.rows import Preference, Turn

if TYPE_CHECKING:
    from pathlib import Path

REWRITE_STRENGTH = 3
"""Somebody took the trouble to write it anew: clearly better."""
THUMB_STRENGTH = 2


class _Said(msgspec.Struct, frozen=True):
    messages: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    id: str
    rater: str = ""
    config_hash: str | None = None


class _Thumb(_Said, frozen=True, kw_only=True, tag_field="kind", tag="thumb"):
    reply: str
    thumb: Literal["up", "down"]


class _Rewrite(_Said, frozen=True, kw_only=True, tag_field="kind", tag="rewrite"):
    reply: str
    rewrite: str


class _Choice(_Said, frozen=True, kw_only=True, tag_field="kind", tag="choice"):
    replies: tuple[str, str]
    chosen: Annotated[int, Meta(ge=0, le=1)]
    strength: Annotated[int, Meta(ge=1, le=4)] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a file of feedback holds."""

    preferences: tuple[Preference, ...]
    one_sided: int
    """Thumbs on a conversation whose other replies nobody judged the other way: they make no pair."""


def collected(path: Path) -> Collected:
    """Choices and rewrites as they are; thumbs as pairs of a reply that was liked and one that was not, to the same conversation and by the same rater.

    Raises ConfigurationError, beginning with `file:line:`, for a line that no server wrote.
    """
    decoder = msgspec.json.Decoder(_Thumb | _Rewrite | _Choice)
    found: list[Preference] = []
    thumbs: dict[tuple[str, tuple[Turn, ...]], dict[str, list[_Thumb]]] = defaultdict(lambda: {"up": [], "down": []})
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror or error}).") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(f"{path}:{number}: this is no line of feedback ({error}): take it out, or give the file as preferences.") from None
        if isinstance(said, _Choice):
            found.append(_pair(said, said.replies[said.chosen], said.replies[1 - said.chosen], said.strength))
        elif isinstance(said, _Rewrite):
            found.append(_pair(said, said.rewrite, said.reply, REWRITE_STRENGTH))
        else:
            thumbs[said.rater, said.messages][said.thumb].append(said)
    one_sided = 0
    for judged in thumbs.values():
        pairs = [(liked, other) for liked in judged["up"] for other in judged["down"] if liked.reply.strip() != other.reply.strip()]
        found += [_pair(liked, liked.reply, other.reply, THUMB_STRENGTH) for liked, other in pairs]
        one_sided += 0 if pairs else len(judged["up"]) + len(judged["down"])
    return Collected(preferences=tuple(found), one_sided=one_sided)


def _pair(said: _Said, chosen: str, rejected: str, strength: int) -> Preference:
    return Preference(prompt=said.messages, chosen=chosen, rejected=rejected, strength=strength, rater=said.rater, model=said.config_hash, id=said.id)

"""What came over the wire in answer to one request: every text in it, by the field that held it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

CONTENT = "choices[0].content"
RAW = "outside of JSON"


@dataclass(slots=True, kw_only=True)
class Heard:
    """One answer, filled as it arrives."""

    status: int = 0
    texts: dict[str, str] = field(default_factory=lambda: defaultdict(str))
    """By field, e.g. `choices[1].reasoning_content`; the pieces of a stream are joined. `delta` and `message` are left out, so that both kinds compare."""
    finish: dict[int, str] = field(default_factory=dict)
    """Why each choice ended."""
    usage: bool = False
    done: bool = False
    """Whether a stream ended with [DONE]."""
    broken: str | None = None
    """Why the answer stopped before its end, if it did."""
    first_byte: float | None = None
    first_text: float | None = None
    """When the first byte of the body, and the first text of the reply, arrived (`time.perf_counter`)."""

    @property
    def content(self) -> str:
        """The text of the first choice."""
        return self.texts.get(CONTENT, "")

    def take(self, value: Any) -> None:
        """Add one JSON value: a whole reply, or an event of a stream."""
        if isinstance(value, dict):
            choices = value.get("choices")
            self.usage = self.usage or bool(value.get("usage"))
            self._walk({key: item for key, item in value.items() if key != "choices"}, "")
            for place, choice in enumerate(choices if isinstance(choices, list) else ()):
                self._take_choice(choice, place)
        else:
            self._walk(value, "")

    def _take_choice(self, choice: Any, place: int) -> None:
        if not isinstance(choice, dict):
            self._walk(choice, f"choices[{place}]")
            return
        index = choice.get("index")
        index = index if isinstance(index, int) else place
        reason = choice.get("finish_reason")
        if isinstance(reason, str):
            self.finish[index] = reason
        for key, item in choice.items():
            if key in {"delta", "message"}:
                self._walk(item, f"choices[{index}]")
            elif key not in {"index", "finish_reason"}:
                self._walk(item, f"choices[{index}].{key}")

    def _walk(self, value: Any, path: str) -> None:
        if isinstance(value, str):
            self.texts[path] += value
        elif isinstance(value, dict):
            for key, item in value.items():
                self._walk(item, f"{path}.{key}".lstrip("."))
        elif isinstance(value, list):
            if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
                # The bytes of a token are its text in another dress.
                self.texts[path] += bytes(value).decode(errors="replace")
                return
            for item in value:
                self._walk(item, f"{path}[]")


class EventReader:
    """Server-sent events out of the bytes of a stream, however they were cut (WHATWG HTML, section 9.2)."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._rest = b""

    def push(self, data: bytes) -> None:
        """Take the next bytes."""
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """Nothing follows."""
        if self._rest:
            self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        name, _, value = text.partition(":")
        if name == "event" and value.strip() == "error":
            self._heard.broken = "an error event"
        if name != "data":
            # A comment or another field holds no part of the reply, but it is on the wire.
            self._heard.texts[RAW] += value
            return
        value = value.removeprefix(" ")
        if value == "[DONE]":
            self._heard.done = True
            return
        try:
            event = json.loads(value)
        except ValueError:
            self._heard.texts[RAW] += value
            return
        if isinstance(event, dict) and event.get("error"):
            self._heard.broken = "an error event"
        self._heard.take(event)

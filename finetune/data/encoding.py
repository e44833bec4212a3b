"""Rows as token ids and labels. A label is the token itself where it is learned, and IGNORED where it is only read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.goldfish import IGNORED, dropped
from guardrail.finetune.data.rows import Dialogue, Prompt, Text, Turn, chat
from guardrail.reasoning import THINKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.settings import GoldfishSettings

    Ids = NDArray[np.int32]

Reasoning = Literal["mask", "keep", "drop"]

DOCUMENT_END = "<|endoftext|>"
"""What stands behind a text where the tokenizer has it and does not pad with it; else its end-of-sequence token does."""

_TAGS = "|".join(THINKING)
_THOUGHT = re.compile(rf"<({_TAGS})>.*?(</\1>\s*|\Z)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """One row; `ids` and `labels` have the shape (n,)."""

    id: str
    ids: Ids
    labels: Ids

    @property
    def learned(self) -> int:
        """Labels that count."""
        return int((self.labels[1:] != IGNORED).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Rows, and what became of those that could not be used as they are; by id."""

    rows: tuple[Encoded, ...]
    long: tuple[str, ...] = ()
    """Dialogues of more than `max_length` tokens; left out."""
    cut: tuple[str, ...] = ()
    """Texts of more than `max_length` tokens; cut into pieces."""
    silent: tuple[str, ...] = ()
    """Dialogues that teach nothing once reasoning is taken out; left out."""

    def notes(self, what: str) -> tuple[str, ...]:
        """Whole sentences for the report."""
        told = (
            (self.long, "were left out because they are longer than max_length"),
            (self.cut, "are longer than max_length and were cut into pieces"),
            (self.silent, "were left out because nothing is left to learn without their reasoning"),
        )
        return tuple(f"{len(ids)} rows of {what} {why}: {_listed(ids)}." for ids, why in told if ids)


class Encoder:
    """Rows to token ids, the same way in every stage."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        template: str | None = None,
        ends: Iterable[int] = (),
        reasoning: Reasoning = "mask",
        learn_end: bool = True,
        goldfish: GoldfishSettings | None = None,
    ) -> None:
        """`template`: the chat template with generation marks; without it dialogues cannot be encoded. `ends`: the ids that end a turn."""
        self.tokenizer = tokenizer
        self.template = template
        self.ends = frozenset(ends)
        self.document_end = document_end(tokenizer)
        self._max_length = max_length
        self._reasoning: Reasoning = reasoning
        self._learn_end = learn_end
        self._goldfish = goldfish
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special and len(token.content) > 1}
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True)))) if special else None

    def encode(self, rows: Iterable[Text | Dialogue]) -> Encoding:
        """All rows. Raises ConfigurationError where no row has the end of a turn among its labels, though it is to be learned."""
        found: list[Encoded] = []
        long, cut, silent = [], [], []
        dialogues = ending = 0
        for row in rows:
            if isinstance(row, Text):
                pieces = self.text(row)
                found += pieces
                if len(pieces) > 1:
                    cut.append(row.id)
                continue
            dialogues += 1
            encoded = self.dialogue(row)
            if len(encoded.ids) > self._max_length:
                long.append(row.id)
            elif not encoded.learned:
                silent.append(row.id)
            else:
                ending += bool(np.isin(encoded.labels, tuple(self.ends)).any())
                found.append(encoded)
        if dialogues > len(long) + len(silent) and self._learn_end and not ending:
            raise ConfigurationError(
                "No row has the end of the turn among its labels, so the model would never stop: let the chat template's {% generation %} marks enclose it."
            )
        return Encoding(rows=tuple(found), long=tuple(long), cut=tuple(cut), silent=tuple(silent))

    def text(self, row: Text) -> list[Encoded]:
        """A text and, if ends are learned, the end of it, all of it learned, in pieces of at most `max_length` tokens."""
        end = [self.document_end] if self._learn_end else []
        ids = np.array([*self._ids(self.plain(row.text)), *end], np.int32)
        if len(ids) < 2:
            return []
        pieces = [ids[start : start + self._max_length] for start in range(0, len(ids), self._max_length)]
        if len(pieces) > 1 and len(pieces[-1]) < 2:  # a single token has nothing before it to be told from
            pieces.pop()
        return [self._masked(Encoded(id=row.id, ids=piece, labels=piece.copy())) for piece in pieces]

    def dialogue(self, row: Dialogue) -> Encoded:
        """A dialogue as the chat template renders it, up to the end of the last reply; only what the assistant says and the end of its turns is learned."""
        messages = self._messages(row)
        rendered: Any = self.tokenizer.apply_chat_template(
            chat(messages),
            chat_template=self.template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            tokenizer_kwargs={"return_offsets_mapping": True},
        )
        ids = np.array(rendered["input_ids"], np.int32)
        learned = np.array(rendered["assistant_masks"], np.bool_)
        if self._reasoning == "mask" and any(_THOUGHT.search(turn.content) for turn in messages if turn.role == "assistant"):
            text = str(self.tokenizer.apply_chat_template(chat(messages), chat_template=self.template, tokenize=False))
            learned &= ~_thought(text, learned, np.array(rendered["offset_mapping"]))
        if not self._learn_end:
            learned &= ~np.isin(ids, tuple(self.ends))
        return self._masked(Encoded(id=row.id, ids=ids, labels=np.where(learned, ids, IGNORED).astype(np.int32)))

    def opening(self, row: Dialogue) -> list[int]:
        """A dialogue up to where its last reply begins."""
        return self.prompt(self._messages(row)[:-1])

    def prompt(self, messages: Sequence[Turn]) -> list[int]:
        """The conversation up to where the reply begins."""
        plain = [Turn(role=turn.role, content=self.plain(turn.content)) for turn in messages]
        return self._ids(str(self.tokenizer.apply_chat_template(chat(plain), chat_template=self.template, tokenize=False, add_generation_prompt=True)))

    def plain(self, text: str) -> str:
        """`text` with special tokens that are written out broken up, as the server does it, so that no text can pass for the template's own marks."""
        return self._special.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text) if self._special else text

    def _messages(self, row: Dialogue) -> tuple[Turn, ...]:
        last = max(number for number, turn in enumerate(row.messages) if turn.role == "assistant")
        spoken = row.messages[: last + 1]
        if self._reasoning == "drop":
            spoken = tuple(Turn(role=turn.role, content=_without_thought(turn)) for turn in spoken)
        prompt = Prompt(prompt=spoken[:last], passages=row.passages, works=row.works, persona=row.persona, template=row.template)
        messages = (*asked(prompt), spoken[last]) if row.passages or row.persona else spoken
        return tuple(Turn(role=turn.role, content=self.plain(turn.content)) for turn in messages if turn.content or turn.role != "system")

    def _masked(self, row: Encoded) -> Encoded:
        if self._goldfish is None:
            return row
        # The end of a turn is always learned: what is forgotten are words, not when to stop.
        left_out = dropped(row.ids, k=self._goldfish.k, context=self._goldfish.context) & ~np.isin(row.ids, (*self.ends, self.document_end))
        return replace(row, labels=np.where(left_out, IGNORED, row.labels).astype(np.int32))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def document_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that stands behind a text. Raises ConfigurationError where there is none."""
    number = tokenizer.get_vocab().get(DOCUMENT_END)
    if number is not None and number != tokenizer.pad_token_id:
        return int(number)
    if tokenizer.eos_token_id is None:
        raise ConfigurationError("This tokenizer has no end-of-sequence token: name one in its tokenizer_config.json.")
    return int(tokenizer.eos_token_id)


def _thought(text: str, learned: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens of the assistant's turns are reasoning. A tag that is not closed goes to the end of its turn."""
    marked = np.zeros(len(learned), np.bool_)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], learned.astype(np.int8), [0]])))
    for first, after in edges.reshape(-1, 2):
        start, end = int(offsets[first, 0]), int(offsets[after - 1, 1])
        for match in _THOUGHT.finditer(text, start, end):
            inside = slice(first, after if match.group(2) else after - 1)  # the end of the turn is no thought
            marked[inside] |= (offsets[inside, 1] > match.start()) & (offsets[inside, 0] < match.end())
    return marked


def _without_thought(turn: Turn) -> str:
    return _THOUGHT.sub("", turn.content).strip() if turn.role == "assistant" else turn.content


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:5])
    return f"{shown} and {len(ids) - 5} more" if len(ids) > 5 else shown

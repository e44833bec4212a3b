"""The thread that decodes: takes requests out of a queue, decodes them together and sends each its text."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from guardrail.errors import GeneratorError, GuardrailError
from guardrail.generate.turn_text import Detokenizer, Stop, StopScanner
from guardrail.protocols import Chunk
from guardrail.types import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.generate.engine import Decoding, Engine
    from guardrail.generate.ticket import Ticket

E = TypeVar("E", bound="Engine[Any]")


@dataclass(slots=True, kw_only=True, eq=False)
class _Turn:
    """A ticket whose reply is being written."""

    ticket: Ticket
    row: Decoding
    prompt_tokens: int
    room: int
    """How many more tokens it may get."""
    text: Detokenizer
    scanner: StopScanner


class Writer(Generic[E]):
    """Serves the tickets of `inbox` with `engine` until it finds None there, at most `batch` of them at once. One thread owns it."""

    def __init__(self, engine: E, inbox: queue.SimpleQueue[Ticket | None], *, batch: int) -> None:
        self.engine = engine
        self._inbox = inbox
        self._batch = batch
        self._waiting: list[Ticket] = []
        self._turns: list[_Turn] = []

    @property
    def in_flight(self) -> int:
        """How many requests decode now."""
        return len(self._turns)

    def serve(self) -> None:
        while self._receive():
            try:
                self._leave([turn for turn in self._turns if turn.ticket.cancelled])
                while self._waiting and len(self._turns) < self._batch:
                    self._admit(self._waiting.pop(0))
                tokens = dict(self.engine.step())
                self._leave([turn for turn in self._turns if self._advance(turn, tokens[turn.row])])
            except Exception as error:  # noqa: BLE001 - a failed forward pass fails the requests in it; the thread lives on for the next ones
                turns = self._turns
                self._leave(turns)
                _refuse([turn.ticket for turn in turns], _failure(error))
        _refuse([turn.ticket for turn in self._turns] + self._waiting, GeneratorError("The model is shutting down."))

    def _receive(self) -> bool:
        """Take in what has arrived, waiting for it where there is nothing else to do; False when it is time to end."""
        while True:
            try:
                ticket = self._inbox.get(block=not self._turns and not self._waiting)
            except queue.Empty:
                return True
            if ticket is None:
                return False
            self._waiting.append(ticket)

    def _admit(self, ticket: Ticket) -> None:
        if ticket.cancelled:
            return
        try:
            row = self.engine.begin(ticket)
            length = len(row.tokens)
            first = self.engine.add(row)
        except Exception as error:  # noqa: BLE001 - no other request took part, so only this one fails
            _refuse([ticket], _failure(error))
            return
        transcript = self.engine.transcript
        turn = _Turn(
            ticket=ticket,
            row=row,
            prompt_tokens=length,
            room=ticket.room(transcript.context - length),
            text=Detokenizer(transcript.tokenizer),
            scanner=StopScanner([*transcript.end.stops, *(Stop(text=text) for text in ticket.sampling.stop)]),
        )
        self._turns.append(turn)
        if self._advance(turn, first):
            self._leave([turn])

    def _advance(self, turn: _Turn, token: int) -> bool:
        """Send the text that `token` makes certain; True when the turn has ended."""
        turn.room -= 1
        ended = token in self.engine.transcript.end.tokens
        text = "" if ended else turn.scanner.push(turn.text.push(token))
        if not (ended or turn.scanner.stopped or turn.room <= 0):
            if text:
                turn.ticket.send(Chunk(text=text))
            return False
        text += turn.scanner.push(turn.text.finish())
        text += turn.scanner.finish()
        reason: Literal["stop", "length"] = "stop" if ended or turn.scanner.stopped else "length"
        usage = Usage(prompt_tokens=turn.prompt_tokens, completion_tokens=len(turn.row.tokens) - turn.prompt_tokens)
        turn.ticket.send(Chunk(text=text, finish_reason=reason, usage=usage))
        return True

    def _leave(self, turns: Sequence[_Turn]) -> None:
        if turns:
            self._turns = [turn for turn in self._turns if turn not in turns]
            self.engine.remove([turn.row for turn in turns])


def _refuse(tickets: Sequence[Ticket], error: GuardrailError) -> None:
    for ticket in tickets:
        ticket.send(error)


def _failure(error: Exception) -> GuardrailError:
    if isinstance(error, GuardrailError):
        return error
    return GeneratorError(f"The model failed while it wrote ({type(error).__name__}).")

"""`guardrail chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from guardrail.cli import failure
from guardrail.cli.opening import config_option, offered, opened, persona_option
from guardrail.cli.printing import shown, source_line, sources
from guardrail.cli.why import why
from guardrail.errors import GuardrailError

if TYPE_CHECKING:
    from pathlib import Path

    from guardrail.cli.opening import Session
    from guardrail.types import Message, Reply

_HELP = """\
/sources            the passages that the last reply rests on
/why                how the last reply came about: verdicts, support, timings
/persona NAME       talk with somebody else, from the beginning
/works [TITLE, ...] the works to answer from: list them, choose some, or `/works all`
/help               this list
/quit               leave (or Ctrl-D); Ctrl-C stops a reply, twice leaves"""


@click.command()
@persona_option
@config_option
@click.pass_context
def chat(ctx: click.Context, persona: str | None, config: Path | None) -> None:
    """Talk with a persona. Each line is a message; /help lists the commands.

    Works in a pipe too: every line of standard input is answered in turn, and the exit code is 1 if one could not be.
    """
    with opened(config) as session:
        talk = _Talk(session, offered(session.guard, persona))
        session.run(session.guard.start())
        talk.go_on()
    if talk.failed and not talk.interactive:
        ctx.exit(failure.FAILED)


class _Talk:
    """One conversation. It lives in memory and nowhere else."""

    def __init__(self, session: Session, persona: str) -> None:
        self.interactive = sys.stdin.isatty()
        self.failed = False
        self._session = session
        self._guard = session.guard
        self._persona = persona
        self._history: list[Message] = []
        self._works: tuple[str, ...] = ()
        self._last: Reply | None = None
        self._interrupted = False

    def go_on(self) -> None:
        """Answer line after line until there is none, or the user leaves."""
        if self.interactive:
            with suppress(ImportError):
                import readline  # noqa: F401 - importing it is what gives `input` its line editing
            click.echo(f"You are talking with {self._name}. /help lists the commands.", err=True)
        while True:
            try:
                line = self._read()
                if line is None or not self._obey(line):
                    return
                self._interrupted = False
            except KeyboardInterrupt:
                click.echo(err=True)
                if self._interrupted or not self.interactive:
                    return
                self._interrupted = True
                click.echo("Stopped. Ctrl-C again leaves.", err=True)

    @property
    def _name(self) -> str:
        return self._guard.personas[self._persona].name

    def _read(self) -> str | None:
        if self.interactive:
            try:
                return input("> ")
            except EOFError:
                click.echo(err=True)
                return None
        line = sys.stdin.buffer.readline()
        return line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r\n") if line else None

    def _obey(self, line: str) -> bool:
        """Answer a message or follow a command; False to leave."""
        word, _, rest = line.strip().partition(" ")
        if word in {"/quit", "/exit"}:
            return False
        if word == "/help":
            click.echo(_HELP)
        elif word == "/sources":
            self._show_sources()
        elif word == "/why":
            click.echo(shown(why(self._last)) if self._last else "There is no reply yet.")
        elif word == "/persona":
            self._turn_to(rest.strip().lower())
        elif word == "/works":
            self._choose_works(rest.strip())
        elif word.startswith("/") and word[1:].isalpha():
            self._complain(f"There is no command {word}; /help lists them.")
        else:
            self._answer(line)
        return True

    def _answer(self, line: str) -> None:
        from guardrail.types import Message

        message = Message(role="user", content=line)
        try:
            reply = self._session.run(self._streamed(message))
        except GuardrailError as error:
            click.echo()
            self._complain(str(error))
            return
        self._last = reply
        self._history += [message, Message(role="assistant", content=reply.text)]
        for citation in sources(reply):
            click.echo(f"  {source_line(citation)}")
        click.echo()

    async def _streamed(self, message: Message) -> Reply:
        """Print the reply as it is cleared, and return it."""
        from guardrail.types import Delta, Request

        request = Request(id=uuid4().hex, persona=self._persona, messages=(*self._recent(), message), works=self._works)
        async with aclosing(self._guard.stream(request)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    click.echo(shown(event.text), nl=False)
                    sys.stdout.flush()
                else:
                    reply = event
        click.echo()
        return reply

    def _recent(self) -> list[Message]:
        """As much of the conversation as the limits allow; a long talk forgets its beginning."""
        limits = self._guard.settings.limits
        kept: list[Message] = []
        room = limits.conversation_chars - limits.message_chars
        for message in reversed(self._history[-(limits.turns - 1) :] if limits.turns > 1 else ()):
            room -= len(message.content)
            if room < 0:
                break
            kept.insert(0, message)
        return kept

    def _show_sources(self) -> None:
        found = sources(self._last) if self._last else []
        if not found:
            click.echo("The last reply rests on no passage." if self._last else "There is no reply yet.")
        for citation in found:
            click.echo(f"{source_line(citation)}\n{shown(citation.text)}\n")

    def _turn_to(self, name: str) -> None:
        if name not in self._guard.personas:
            self._complain(f"Give one of: {', '.join(sorted(self._guard.personas))}.")
            return
        self._persona, self._history, self._works, self._last = name, [], (), None
        click.echo(f"You are talking with {self._name}.", err=True)

    def _choose_works(self, titles: str) -> None:
        try:
            known = self._session.run(self._guard.aworks(persona=self._persona))
        except GuardrailError as error:
            self._complain(str(error))
            return
        if not titles:
            for work in known:
                click.echo(f"{'*' if not self._works or work in self._works else ' '} {shown(work)}")
            return
        if titles.lower() == "all":
            self._works = ()
            return
        by_key = {work.casefold(): work for work in known}
        chosen = [title.strip() for title in titles.split(",") if title.strip()]
        unknown = next((title for title in chosen if title.casefold() not in by_key), None)
        if unknown is not None:
            self._complain(f"There is no work '{shown(unknown)}' to answer from; /works lists them.")
            return
        self._works = tuple(by_key[title.casefold()] for title in chosen)

    def _complain(self, sentence: str) -> None:
        self.failed = True
        failure.tell(sentence)

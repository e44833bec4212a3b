"""The options that several commands share, and the Guardrail that they stand for."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from guardrail.assemble import Guardrail
    from guardrail.protocols import Generator

T = TypeVar("T")

config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The configuration; without it the built-in defaults."
)
persona_option = click.option("--persona", metavar="NAME", help="Who answers: plato, aristotle, or one of the configuration's own.  [default: plato]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A Guardrail and the event loop that it runs on while the command lasts."""

    guard: Guardrail
    runner: asyncio.Runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`. Ctrl-C cancels it and raises KeyboardInterrupt."""
        return self.runner.run(work)


@contextmanager
def opened(config: Path | None, *, generator: Generator | None = None) -> Iterator[Session]:
    """A session with the Guardrail of a configuration, closed at the end. `generator` takes the place of the configured one."""
    from guardrail import settings
    from guardrail.assemble import Guardrail

    guard = Guardrail(settings.load(config), generator=generator)
    with asyncio.Runner() as runner:
        try:
            yield Session(guard=guard, runner=runner)
        finally:
            runner.run(guard.aclose())


def offered(guard: Guardrail, persona: str | None) -> str:
    """The persona to talk with: the one asked for, else Plato, else the first that the configuration offers. Raises click's usage error."""
    names = sorted(guard.personas)
    if persona is None:
        return "plato" if "plato" in guard.personas else names[0]
    if persona.lower() not in guard.personas:
        raise click.BadParameter(f"There is no persona '{persona}'; the personas are: {', '.join(names)}.", param_hint="'--persona'")
    return persona.lower()


def read_text(text: str) -> str:
    """`text`, or standard input where it is `-`. Raises click's usage error."""
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"Standard input is not UTF-8 text (byte {error.start}).") from None

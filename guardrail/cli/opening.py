"""The options that several commands share, and the Guardrail that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from guardrail.assemble import Guardrail

config_option = click.option("--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="The configuration; without it the built-in one.")
persona_option = click.option("--persona", metavar="NAME", help="Who answers: plato, aristotle, or one of the configuration's own.  [default: plato]")


@contextmanager
def opened(config: Path | None) -> Iterator[Guardrail]:
    """The Guardrail of a configuration, closed at the end."""
    from guardrail.assemble import Guardrail

    guard = Guardrail.from_config(config)
    try:
        yield guard
    finally:
        guard.close()


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
        return click.get_binary_stream("stdin").read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"Standard input is not UTF-8 text (byte {error.start}).") from None

"""`guardrail ask`: one turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from guardrail.cli.opening import config_option, offered, opened, persona_option, read_text
from guardrail.cli.printing import json_line, shown, source_line, sources

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("text")
@persona_option
@click.option("--json", "as_json", is_flag=True, help="Print the reply as one line of JSON.")
@config_option
def ask(text: str, persona: str | None, as_json: bool, config: Path | None) -> None:
    """Ask TEXT and print the reply with its sources. With `-`, TEXT is read from standard input."""
    from guardrail.presentation import reply_object

    with opened(config) as session:
        name = offered(session.guard, persona)
        reply = session.run(session.guard.reply(read_text(text), persona=name))
    if as_json:
        json_line(reply_object(reply))
        return
    click.echo(shown(reply.text))
    found = sources(reply)
    if found:
        click.echo()
    for citation in found:
        click.echo(source_line(citation))

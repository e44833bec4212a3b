"""`guardrail config`: is a configuration right, and what does it amount to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardrail.cli.failure import MISUSED, tell
from guardrail.cli.printing import json_line
from guardrail.errors import GuardrailError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.cli.explanation import Explanation, RailPlan

_file = click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")


@click.group()
def config() -> None:
    """Check or explain a configuration; without FILE, the built-in defaults."""


@config.command()
@_file
@_json
@click.pass_context
def check(ctx: click.Context, file: Path | None, as_json: bool) -> None:
    """Say whether FILE is right: every key, persona card, template and rail, and the index it names. Loads no model.

    The exit code is 2 where it is not.
    """
    from guardrail import settings
    from guardrail.cli.explanation import validate

    try:
        validate(settings.load(file))
    except GuardrailError as error:
        if as_json:
            json_line({"valid": False, "error": str(error)})
        tell(str(error))
        ctx.exit(MISUSED)
    if as_json:
        json_line({"valid": True})
    else:
        click.echo(f"{file} is valid." if file else "The built-in defaults are valid.")


@config.command()
@_file
@_json
def explain(file: Path | None, as_json: bool) -> None:
    """Say which rails run, in which order, and why one does not; which words are used; and where each value comes from."""
    from guardrail import settings
    from guardrail.cli.explanation import explain as explained

    explanation = explained(file, settings.load(file))
    if as_json:
        json_line(dataclasses.asdict(explanation))
    else:
        _show(explanation)


def _show(explanation: Explanation) -> None:
    click.echo(f"{explanation.source}  (config hash {explanation.config_hash})")
    click.echo(f"\nWriter: {explanation.generator}" + (f"; where nothing of its draft holds: {explanation.fallback}" if explanation.fallback else ""))
    click.echo("\nRails, in the order in which they run")
    running = [rail for rail in explanation.rails if rail.order is not None]
    _table([("", "stage", "rail", "mode", "threshold", "on_fail", "on_error"), *(_row(rail) for rail in running)])
    idle = [rail for rail in explanation.rails if rail.order is None]
    if idle:
        click.echo("\nRails that do not run")
        _table([(rail.id, rail.stage, rail.why_not or "") for rail in idle])
    click.echo("\nWords")
    words = [("persona", persona) for persona in explanation.personas] + [("template", explanation.template)]
    _table([(kind, word.id, f"version {word.version}", word.hash[:12]) for kind, word in words])
    click.echo("\nValues")
    _table([(value.name, _plain(value.value), value.origin) for value in explanation.values])


def _row(rail: RailPlan) -> tuple[str, ...]:
    if rail.built_in:
        return (str(rail.order), rail.stage, rail.id, "always", "", "", "")
    threshold = "" if rail.threshold is None else f"{rail.threshold:g}"
    return (str(rail.order), rail.stage, rail.id, rail.mode, threshold, rail.on_fail or "reports only", rail.on_error)


def _plain(value: object) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo(("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())

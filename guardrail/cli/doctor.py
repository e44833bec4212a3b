"""`guardrail doctor`: what this machine has and what would fail."""

from __future__ import annotations

import dataclasses
import sys

import click

from guardrail.cli.failure import FAILED
from guardrail.cli.printing import json_line

_MARKS = {"ok": "ok  ", "absent": "-   ", "warning": "warn", "failure": "FAIL"}


@click.command()
@click.option("--quiet", is_flag=True, help="Print problems only.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each finding.")
@click.pass_context
def doctor(ctx: click.Context, quiet: bool, as_json: bool) -> None:
    """Look at everything that `guardrail serve` needs, and build the built-in library's index where it is missing.

    The exit code is 1 where the main job, serving and asking with the built-in library, would fail.
    """
    from guardrail.cli.machine import examine

    failed = False
    for finding in examine():
        failed = failed or finding.status == "failure"
        if quiet and finding.status in {"ok", "absent"}:
            continue
        if as_json:
            json_line(dataclasses.asdict(finding))
            continue
        click.echo(f"{_MARKS[finding.status]}  {finding.subject}: {finding.found}")
        if finding.consequence:
            click.echo(f"      {finding.consequence}")
        if finding.remedy:
            click.echo(f"      {finding.remedy}")
        sys.stdout.flush()
    if failed:
        ctx.exit(FAILED)

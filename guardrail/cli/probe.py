"""`guardrail probe`: try a server from outside."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from guardrail.cli.failure import FAILED, tell
from guardrail.cli.printing import json_line, shown

if TYPE_CHECKING:
    from guardrail.probe import Report

_SHOWN = 12


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def probe() -> None:
    """Try a server from outside: its own, or anybody's that speaks OpenAI's chat completions."""


@probe.command("stream")
@click.option("--url", required=True, metavar="URL", help="Base URL of the server under test, e.g. http://127.0.0.1:8000/v1.")
@click.option("--model", required=True, metavar="NAME", help="The model to ask it for.")
@click.option("--secret", required=True, metavar="TEXT", help="A text that the server's own configuration forbids in replies.")
@click.option("--listen", default="127.0.0.1:9999", show_default=True, metavar="HOST:PORT", help="Where the fake model listens: the server's model address.")
@click.option("--api-key", envvar="GUARDRAIL_PROBE_KEY", metavar="KEY", help="The caller's key.  [also: GUARDRAIL_PROBE_KEY]")
@click.option("--question", metavar="TEXT", help="What the server is asked; a harmless question unless given.")
@click.option("--before", metavar="TEXT", help="What the model says before the secret.")
@click.option("--after", metavar="TEXT", help="What it says after it.")
@click.option("--pause", type=click.FloatRange(0, 10), default=0.001, show_default=True, metavar="SECONDS", help="Between two pieces of the model's text.")
@click.option("--timeout", type=click.FloatRange(0.1, 600), default=30.0, show_default=True, metavar="SECONDS", help="Longest wait for one answer.")
@click.option("--quick", is_flag=True, help="Leave out most split positions.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as one line of JSON.")
def stream(
    *,
    url: str,
    model: str,
    secret: str,
    listen: str,
    api_key: str | None,
    question: str | None,
    before: str | None,
    after: str | None,
    pause: float,
    timeout: float,
    quick: bool,
    as_json: bool,
) -> int:
    """Find out whether a forbidden text gets through a server's streams.

    The command is itself the model behind the server: configure the server under test to use http://HOST:PORT/v1 of --listen as its model server, and to
    forbid TEXT in replies. The model then says TEXT cut at every position and in many other ways, also in reasoning, refusals, further choices, tool calls
    and log probabilities, and every byte that the server sends is searched for it. Exit code 1: something leaked.
    """
    from guardrail.probe import Target, probe_stream, report_object
    from guardrail.probe.stream import AFTER, BEFORE, QUESTION

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter("Give a host and a port, e.g. 127.0.0.1:9999.", param_hint="'--listen'")
    target = Target(
        url=url,
        model=model,
        secret=secret,
        api_key=api_key,
        question=QUESTION if question is None else question,
        before=BEFORE if before is None else before,
        after=AFTER if after is None else after,
        quick=quick,
        pause=pause,
        timeout=timeout,
    )
    report = asyncio.run(probe_stream(target, host=host, port=int(port), progress=_progress))
    if as_json:
        json_line(report_object(report))
    else:
        _print(report)
    if not (report.benign_stream and report.benign_whole):
        tell("A text without the forbidden one did not come through unchanged either; a server that lets nothing pass leaks nothing.")
    return FAILED if report.leaks else 0


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {of} texts played", err=True, nl=done == of)
    elif done in {0, of}:
        click.echo(f"{done} of {of} texts played", err=True)


def _print(report: Report) -> None:
    streams = sum(exposure.stream for exposure in report.exposures)
    click.echo(f"{report.url}: {streams} streams and {len(report.exposures) - streams} whole replies read for {report.characters} forbidden characters")
    leaks = sorted(report.leaks, key=lambda exposure: -exposure.leaked)
    click.echo(f"leaked: {len(leaks)} answers, at most {leaks[0].leaked} characters" if leaks else "leaked: nothing")
    for exposure in leaks[:_SHOWN]:
        where = ", ".join(f"{name} {count}" for name, count in exposure.fields)
        click.echo(f"  {exposure.script}, {'streamed' if exposure.stream else 'whole'}: {shown(where)}")
    if len(leaks) > _SHOWN:
        click.echo(f"  and {len(leaks) - _SHOWN} more; --json prints them all")
    click.echo(f"stream and whole reply differ: {len(report.disagreements)}")
    for item in report.disagreements[:_SHOWN]:
        click.echo(f"  {item.script}: {item.what}")
    click.echo(f"answers without usage, finish_reason or [DONE]: {len(report.incomplete)}")
    for exposure in report.incomplete[:_SHOWN]:
        click.echo(f"  {exposure.script}, {'streamed' if exposure.stream else 'whole'}: no {', no '.join(exposure.missing)}")
    refused = sorted({exposure.place for exposure in report.exposures if 400 <= exposure.status < 500})
    if refused:
        click.echo(f"refused by the server: {', '.join(refused)}")
    click.echo(f"answers that broke: {len(report.broken)}")
    for exposure in report.broken[:_SHOWN]:
        click.echo(f"  {exposure.script}, {'streamed' if exposure.stream else 'whole'}: {exposure.broken or f'status {exposure.status}'}")
    if report.timing is not None:
        text = "no text" if report.timing.first_text_ms is None else f"first text after {report.timing.first_text_ms:g} ms"
        held = "" if report.timing.held_ms is None else f", {report.timing.held_ms:g} ms after the model began"
        click.echo(f"benign stream: first byte after {report.timing.first_byte_ms:g} ms, {text}{held}")

"""`guardrail leaks`: the leak index of a training corpus."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardrail.cli.failure import FAILED
from guardrail.cli.printing import json_line

if TYPE_CHECKING:
    from collections.abc import Callable

_index = click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")


@click.group()
def leaks() -> None:
    """Know what a model was trained on, so that it does not recite it."""


@leaks.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The index's folder; an older index in it is replaced.")
@click.option("--tokenizer", type=click.Path(path_type=Path), metavar="DIR", help="A model's folder: index its tokens too, to decode under the index.")
@click.option("--model", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Like --tokenizer, and write the index's hash into the folder.")
@_json
def build(*, paths: tuple[Path, ...], out: Path, tokenizer: Path | None, model: Path | None, as_json: bool) -> None:
    """Index a training corpus: .txt, .md, .jsonl with `text` or `messages`, and folders of them."""
    import msgspec

    from guardrail.leaks import builder, corpus
    from guardrail.leaks.index import LeakIndex, bind

    if tokenizer is not None and model is not None:
        raise click.UsageError("Give --tokenizer or --model, one of them.")
    folder = tokenizer or model
    classes = None
    if folder is not None:
        from guardrail.leaks.tokens import TokenClasses

        classes = TokenClasses.load(folder)
    made = builder.build(corpus.documents(corpus.files(paths)), out, classes=classes, report=_progress())
    if model is not None:
        bind(model, LeakIndex.open(out))
    if as_json:
        json_line({"index": str(out)} | msgspec.to_builtins(made))
        return
    tokens = f", {made.tokens:,} tokens" if classes is not None else ""
    click.echo(f"{out}: {made.documents:,} texts, {made.words:,} words{tokens}; {made.bytes / 1e6:.1f} MB in {made.seconds:.1f} s; {made.hash}")


@leaks.command()
@_index
@_json
def info(*, folder: Path, as_json: bool) -> None:
    """Say what an index was made of; checks every file of it."""
    import msgspec

    from guardrail.leaks.index import LeakIndex

    index = LeakIndex.open(folder)
    facts = {"index": str(folder), "hash": index.hash, "bytes": index.bytes} | msgspec.to_builtins(index.manifest)
    if as_json:
        json_line(facts)
        return
    manifest = index.manifest
    click.echo(f"{folder}: {index.hash}\ncorpus  {manifest.corpus.documents:,} texts, {manifest.corpus.words:,} words, {manifest.corpus.sha256}")
    click.echo(f"words   {manifest.words.keys:,} runs of {manifest.words.k}; found by chance {index.words.false_positives:.2%}")
    if manifest.tokens is not None:
        click.echo(f"tokens  {manifest.tokens.keys:,} runs of {manifest.tokens.k}, one at every {manifest.tokens.stride} places")
    click.echo(f"size    {index.bytes / 1e6:.1f} MB")


@leaks.command()
@_index
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--passage", "passages", multiple=True, metavar="P", help="A passage that TEXT may quote; may be given more than once.")
@click.option("--run", type=click.IntRange(min=1), help="Words in a row that are forbidden; without it, as the rail has it.")
@click.pass_context
def check(ctx: click.Context, *, folder: Path, texts: tuple[str, ...], passages: tuple[str, ...], run: int | None) -> None:
    """Say what each TEXT shares with the corpus, as a line of JSON; `-` reads one from standard input. Exit code 1 where a run is forbidden."""
    import msgspec

    from guardrail.cli.opening import read_text
    from guardrail.leaks.index import LeakIndex
    from guardrail.leaks.overlap import OverlapMeter
    from guardrail.rails.leak import RUN

    index = LeakIndex.open(folder)
    k = index.manifest.words.k
    length = run or RUN
    if length <= k:
        raise click.UsageError(f"--run is {length}: the index knows runs of {k} words, so give more than {k}.")
    meter = OverlapMeter(index.words, k, length=length)
    supplied = [meter.grams(passage) for passage in passages]
    forbidden = False
    for text in texts:
        overlap = meter.measure(read_text(text), supplied)
        forbidden = forbidden or bool(overlap.runs)
        json_line({"decision": "block" if overlap.runs else "pass", "coverage": round(overlap.coverage, 4)} | msgspec.to_builtins(overlap))
    if forbidden:
        ctx.exit(FAILED)


def _progress() -> Callable[[int], None]:
    """A line on standard error every few seconds."""
    began = said = time.monotonic()

    def tell(words: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= 5.0:
            said = now
            print(f"read {words:,} words, {words / (now - began):,.0f}/s", file=sys.stderr, flush=True)

    return tell

"""`guardrail finetune collect`: preferences in the terminal, two sampled replies and one choice."""

from __future__ import annotations

import re
from pathlib import Path

import click

from guardrail.cli.printing import shown

_CHOICE = re.compile(r"([ab])([1-4]?)", re.IGNORECASE)
_KEYS = "a or b, with 1 (negligibly better) to 4 (significantly better) behind it, e.g. b3; s skips, q ends"
_STRENGTH = 2


@click.command()
@click.argument("model", metavar="MODEL")
@click.argument("prompts", type=click.Path(path_type=Path, dir_okay=False), metavar="PROMPTS")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="Choices are appended to it.")
@click.option("--rater", default="anonymous", show_default=True, metavar="NAME", help="Who chooses.")
@click.option("--seed", default=0, show_default=True, metavar="N")
def collect(*, model: str, prompts: Path, out: Path, rater: str, seed: int) -> None:
    """Show two replies of MODEL to each line of PROMPTS, and keep which one you prefer.

    PROMPTS has lines of {"prompt": ...}. You can stop at any time and go on later.
    """
    from guardrail.finetune.collection import Collection
    from guardrail.finetune.data import rows

    collection = Collection(model, tuple(rows.read(prompts, rows.Prompt)), out, rater=rater, seed=seed)
    click.echo(f"{collection.done} prompts are done. Type {_KEYS}.", err=True)
    chosen = 0
    for pair in collection.pairs():
        question = rows.turns(pair.prompt.prompt)[-1].content
        click.echo(f"\n{shown(question)}\n\n  a) {shown(pair.replies[0])}\n\n  b) {shown(pair.replies[1])}\n")
        answer = _answer()
        if answer == "q":
            break
        if answer != "s":
            letter, strength = answer[0], answer[1:]
            collection.choose(pair, "ab".index(letter), int(strength or _STRENGTH))
            chosen += 1
    click.echo(f"{chosen} choices were written to {out}.", err=True)


def _answer() -> str:
    """What was typed, once it is one of the keys; the end of the input ends the collection."""
    while True:
        try:
            typed = click.prompt("better", prompt_suffix="> ", err=True).strip().lower()
        except click.Abort:
            return "q"
        if typed in {"s", "q"} or _CHOICE.fullmatch(typed):
            return str(typed)
        click.echo(f"Type {_KEYS}.", err=True)

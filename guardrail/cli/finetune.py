"""`guardrail finetune`: from a recipe to a model that is served, in a run folder that can be stopped and gone on with at any time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guardrail.cli.collect import collect
from guardrail.cli.failure import FAILED, INTERRUPTED, tell
from guardrail.cli.printing import json_line, shown

if TYPE_CHECKING:
    from guardrail.finetune.export import Framework
    from guardrail.finetune.recipe import RecipeSettings

_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
_only = click.option("--only", metavar="STAGE", help="Run this stage and no other.")
_out = click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="The run folder.  [default: runs/NAME]")
_run_folder = click.argument("run", type=click.Path(path_type=Path, file_okay=False), metavar="RUN")


@click.group()
def finetune() -> None:
    """Make a persona model from texts, each step measured.

    RECIPE is a YAML file; RUN is the folder that a run was made in, and holds report.json, report.md and report.html.
    """


@finetune.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RECIPE|RUN")
@_out
@_json
def plan(*, source: Path, out: Path | None, as_json: bool) -> None:
    """Say what would run and why, in how much memory and time; changes nothing."""
    from guardrail.finetune.runs.plan import plan as made_plan
    from guardrail.finetune.runs.plan import told
    from guardrail.finetune.runs.run import recipe_of

    recipe, folder = (recipe_of(source), source) if source.is_dir() else _recipe(source, out)
    made = made_plan(recipe, folder)
    if as_json:
        json_line(made)
    else:
        click.echo(shown(told(made)))


@finetune.command()
@click.argument("recipe_path", type=click.Path(path_type=Path), metavar="RECIPE")
@_out
@_only
@_json
def run(*, recipe_path: Path, out: Path | None, only: str | None, as_json: bool) -> int:
    """Run a recipe. Stages whose inputs and settings did not change since they ran in this folder are not run again."""
    from guardrail.finetune.runs.run import prepare

    recipe, folder = _recipe(recipe_path, out)
    prepare(recipe, folder)
    return _execute(recipe, folder, only, as_json)


@finetune.command()
@_run_folder
@_only
@_json
def resume(*, run: Path, only: str | None, as_json: bool) -> int:
    """Go on with a run that was stopped, was killed or failed: exactly where it stood."""
    from guardrail.finetune.runs.run import recipe_of

    return _execute(recipe_of(run), run, only, as_json)


@finetune.command()
@_run_folder
@_json
def show(*, run: Path, as_json: bool) -> None:
    """Print what a run found, stage by stage."""
    from guardrail.finetune.report import content, tables

    report = content.build(run)
    if as_json:
        json_line(report)
    else:
        click.echo(shown(tables.markdown(report)), nl=False)


@finetune.command()
@click.argument("first", type=click.Path(path_type=Path, file_okay=False), metavar="A")
@click.argument("second", type=click.Path(path_type=Path, file_okay=False), metavar="B")
@_json
def diff(*, first: Path, second: Path, as_json: bool) -> None:
    """Say what run B has otherwise than run A: settings and figures."""
    from guardrail.finetune.report import difference

    found = difference.compare(first, second)
    if as_json:
        json_line(found)
    else:
        click.echo(shown(difference.told(found)))


@finetune.command()
@_run_folder
@click.argument("stage", metavar="STAGE")
@click.option("--for", "framework", type=click.Choice(["verl", "openrlhf"]), required=True, help="Which framework it is for.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR", help="A new folder.")
@_json
def export(*, run: Path, stage: str, framework: Framework, out: Path, as_json: bool) -> None:
    """Make a stage of PPO, RLOO or GRPO ready for a framework that spreads it over many machines: the same data, the same reward.

    What the stage reads must have been made. DIR holds the model, the prompts, reward.py and train.sh.
    """
    from guardrail.finetune.export import export as write

    made = write(run, stage, framework, out)
    for sentence in made.left_out:
        click.echo(sentence, err=True)
    if as_json:
        json_line(made)
    else:
        click.echo(out / "train.sh")


finetune.add_command(collect)


def _recipe(path: Path, out: Path | None) -> tuple[RecipeSettings, Path]:
    from guardrail.finetune import recipe_file

    recipe = recipe_file.load(path)
    return recipe, out if out is not None else Path("runs") / recipe.name


def _execute(recipe: RecipeSettings, folder: Path, only: str | None, as_json: bool) -> int:
    """Run, write the report, say how it ended."""
    from guardrail.finetune.references import hub_names
    from guardrail.finetune.report import files
    from guardrail.finetune.runs import failure
    from guardrail.finetune.runs.run import execute
    from guardrail.finetune.stage import StopSignal

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not any(hub_names(settings) for settings in recipe.stages.values()):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    stop = StopSignal()
    stop.install()
    outcome = execute(folder, stop, lambda sentence: click.echo(sentence, err=True), only=only)
    try:
        files.write(folder)
    except OSError as error:
        tell(failure.sentence(error, folder))
    if as_json:
        json_line({"run": str(folder), "report": str(folder / "report.html"), "outcome": outcome})
    elif outcome.status == "done":
        click.echo(folder / "report.html")
    if outcome.status == "interrupted":
        tell(f"{outcome.error} Go on with `guardrail finetune resume {folder}`.")
        return INTERRUPTED
    if outcome.status == "failed":
        tell(f"The stage '{outcome.stage}' failed. {outcome.error}")
        return FAILED
    return 0

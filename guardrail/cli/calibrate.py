"""`guardrail calibrate`: the threshold of the grounding rail for a deployment, from its own labelled pairs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from guardrail.cli.opening import config_option, opened
from guardrail.cli.printing import json_line
from guardrail.errors import ConfigurationError, InvalidRequest, RailError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from guardrail.cli.opening import Session
    from guardrail.finetune.rails.calibration import Calibration, Estimate, Measure, Target

RAIL = "grounding"
_MEASURES = {"precision": "precision", "recall": "recall", "fpr": "rate of false alarms"}
_TRUTH = {True: "supported", False: "unsupported"}


class _Pair(msgspec.Struct):
    text: str
    passages: list[str]
    supported: bool
    question: str = ""


@click.command()
@click.option("--pairs", type=click.File("rb"), metavar="FILE|-", required=True, help='Lines of {"text", "passages", "supported", "question" (optional)}.')
@click.option("--target", metavar="MEASURE=VALUE", help="precision=0.95, recall=0.9 or fpr=0.05; without it the best balance of recall and false alarms.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of sentences.")
@click.option("--out", type=click.File("w", lazy=True, encoding="utf-8"), metavar="FILE", help="Write the rail's lines for a guardrail.yaml here.")
@config_option
def calibrate(*, pairs: Iterable[bytes], target: str | None, as_json: bool, out: Any, config: Path | None) -> None:
    """Fit the threshold of the grounding rail to labelled pairs of a text and its passages.

    An alarm is a text that the rail would not show. precision: share of the alarms that are unsupported; recall: share of the unsupported that raise an
    alarm; fpr: share of the supported that raise one. The rates hold for pairs that the threshold was not fitted on; all figures come with their 95 % interval.
    """
    wanted = None if target is None else _target(target)
    rows = [_pair(number, line) for number, line in enumerate(pairs, start=1) if line.strip()]
    from guardrail.cli.check import Nobody
    from guardrail.finetune.rails.calibration import calibrate as fit
    from guardrail.finetune.rails.calibration import refuse

    labels = [not row.supported for row in rows]
    refuse(labels, good=_TRUTH[True], bad=_TRUTH[False])
    with opened(config, generator=Nobody()) as session:
        session.run(session.guard.start())
        scores = [_score(session, number, row) for number, row in enumerate(rows, start=1)]
    found = fit(scores, labels, groups=["\n".join(row.passages) for row in rows], target=wanted)
    if as_json:
        json_line({"rail": RAIL} | msgspec.to_builtins(found))
    else:
        click.echo("\n".join(_told(found)))
    if out is not None:
        out.write(_fragment(found))


def _target(text: str) -> Target:
    from guardrail.finetune.rails.calibration import Target

    measure, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if measure not in _MEASURES or not 0 <= share <= 1:
        raise click.BadParameter(f"'{text}' is no target: give precision=, recall= or fpr= and a number from 0 to 1.", param_hint="'--target'")
    return Target(measure=cast("Measure", measure), value=share)


def _pair(number: int, line: bytes) -> _Pair:
    try:
        pair = msgspec.convert(json.loads(line.decode("utf-8-sig")), _Pair)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not valid JSON in UTF-8"
        raise InvalidRequest(f"Line {number} of the pairs cannot be read: {reason.rstrip('.')}.") from None
    if not pair.text.strip() or not any(passage.strip() for passage in pair.passages):
        raise InvalidRequest(f"Line {number} of the pairs cannot be used: it needs a text and at least one passage.")
    return pair


def _score(session: Session, number: int, row: _Pair) -> float:
    """The rail's score of the worst sentence."""
    check = session.run(session.guard.acheck_output(row.text, passages=row.passages, question=row.question))
    verdicts = [verdict for verdict in check.verdicts if verdict.rail == RAIL]
    if not verdicts:
        raise ConfigurationError("There is nothing to calibrate: the configuration has no grounding rail, or no library.")
    if any(verdict.outcome != "ok" for verdict in verdicts):
        raise RailError(f"The grounding rail failed on pair {number}; `guardrail doctor` may say why.")
    return max(verdict.score for verdict in verdicts)


def _told(found: Calibration) -> list[str]:
    how = "each fifth of the pairs with the threshold of the others" if found.crossfitted else "the half that the threshold was not fitted on"
    lines = [
        f"threshold     {_figure(found.threshold)}",
        f"precision     {'no alarm was raised' if found.precision is None else _figure(found.precision)}",
        f"recall        {_figure(found.recall)}",
        f"false alarms  {_figure(found.fpr)}",
        f"{found.good} supported and {found.bad} unsupported pairs; the rates are those of {how}.",
    ]
    if found.target is not None and not found.met:
        lines.append(f"The {_MEASURES[found.target.measure]} of {found.target.value:g} that was asked for does not hold on those pairs.")
    return lines


def _figure(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}  [{estimate.low:.3f}, {estimate.high:.3f}]"


def _fragment(found: Calibration) -> str:
    asked = f" for {found.target.measure}={found.target.value:g}" if found.target is not None else ""
    precision = "-" if found.precision is None else _figure(found.precision)
    return (
        f"# `guardrail calibrate`{asked}: {found.good} supported and {found.bad} unsupported pairs.\n"
        f"# Threshold {_figure(found.threshold)}, precision {precision}, recall {_figure(found.recall)}, false alarms {_figure(found.fpr)}.\n"
        "# Put the threshold into the rail's entry of your guardrail.yaml; a list of rails takes the place of the default one.\n"
        f"rails:\n  - {{id: {RAIL}, threshold: {found.threshold.value:.4f}}}\n"
    )

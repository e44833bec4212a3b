"""Make the safety branch and the heads that read it: intent, harm, attack, sentiment.

    python -m guardrail.finetune.rails.safety --data ../shared/data --branch index/safety_branch.safetensors --heads guardrail/rails --work build/safety

The branch and all heads learn together on the train part (`guardrail.finetune.rails.safety_encoder`). Scales, offsets and thresholds are then fitted on the
calibrate part with the encoder as it is served, and each card gives figures on the test part. `--seed` makes another branch. Takes about half an hour on
one core. Figures on other people's rows are those of `benchmarks/safety.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy.optimize import minimize, minimize_scalar

from guardrail.finetune.rails import safety_encoder
from guardrail.finetune.rails.safety_data import ADVICE, ATTACKS, CALM_SHARE, FLAGS, GRAMMARS, HARMS, INTENTS, LICENCES, SENTIMENTS, Row, rows, share
from guardrail.finetune.rails.safety_report import flag_figures, label_figures, macro_f1
from guardrail.finetune.rails.safety_states import LowerLayers
from guardrail.index import safety_branch
from guardrail.index.encoder import MiniLM, weights
from guardrail.rails import attack, harm, sentiment
from guardrail.rails.intent import QUESTION, choose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OUTPUTS = (*(f"intent.{label}" for label in INTENTS), *FLAGS, *(f"sentiment.{label}" for label in SENTIMENTS))
"""What the rows of the branch's linear layer stand for."""
EVERYDAY = frozenset(
    {"own", "library", "clinc150", "self_instruct", "pandalm", "lfqa", "xquad", "adversarial_qa", "chatterbot", "banking77", "chitchat", "deepset"}
)
"""Sources of ordinary messages, whose benign rows say how often a threshold is wrong."""
WRITTEN = frozenset({"pairs", "messages", *GRAMMARS})
"""Sources of benign rows that look like bad ones."""
PROSE = frozenset({"passages", "philosophy", "esnli"})
"""Sources of sentences that a reply might hold."""
FALSE_ALARMS = {
    "harm": (0.010, 0.05),
    "attack": (0.010, 0.03),
    **dict.fromkeys(ADVICE, (0.002, 0.02)),
}
"""Most false alarms on ordinary messages and on look-alikes, in the calibrate part."""
OUTPUT_FALSE_ALARMS = 0.001
"""Most false alarms on sentences of a reply: an answer holds many."""
ESCALATION_FALSE_ALARMS = 0.05
DISTRESS_FALSE_ALARMS = 0.05
LOWEST = 0.2
"""A threshold is no lower, however well the calibrate part is told apart: other people's messages differ more."""
MOST = 1000
"""Rows of one source that are enough to fit on, and to report on."""
TURNED_AWAY = 0.01
"""Share of the handwritten questions in the calibrate part that other benign labels may take."""
QUESTION_SHARE = (0.08, 0.3)
"""Between these the least share of a question lies, however the calibrate part is told apart."""


def make_branch(data: Path, path: Path, work: Path, *, seed: int) -> tuple[list[Row], NDArray[np.float32], NDArray[np.float32]]:
    """Train and store the branch; returns all rows and the linear layer that learned with it, (outputs, 384) and (outputs,)."""
    encoder = MiniLM()
    own = weights()
    table = rows(data)
    learn = [row for row in table if row.part == "train"]
    states = LowerLayers(encoder, own, work).states([row.text for row in learn])
    branch = safety_encoder.train(learn, states, own, work, seed=seed)
    learned = branch.weights()
    save_file(safety_branch.pack(learned, {name: own[name] for name in learned}), path)
    path.chmod(0o644)
    return table, branch.head.weight.detach().numpy(), branch.head.bias.detach().numpy()


def window_logits(encoder: MiniLM, texts: Sequence[str], weight: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """The outputs' logits of each text in the window where they are highest, (texts, outputs)."""
    found = np.empty((len(texts), len(bias)), np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        found[part] = [(vectors @ weight.T + bias).max(axis=0) for vectors in encoder.safety_vectors([texts[i] for i in part])]
    return found


def platt(logits: NDArray[np.float32], truth: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and offset of a logit with the least negative log-likelihood of the rows by weight (Platt 1999)."""
    values, wanted = logits.astype(np.float64), truth.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> float:
        scaled = parameters[0] * values + parameters[1]
        return float(np.average(np.logaddexp(0.0, scaled) - wanted * scaled, weights=weights) + 1e-3 * (parameters[0] - 1.0) ** 2)

    scale, offset = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0.05, 5.0), (-10.0, 10.0)]).x
    return float(scale), float(offset)


def temperature(logits: NDArray[np.float32], allowed: NDArray[np.bool_]) -> float:
    """The temperature with the least negative log-likelihood of the labels that each row may have (Guo et al. 2017, eq. 9)."""

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        chances = np.exp(scaled)
        return float(-np.log((chances * allowed).sum(axis=1) / chances.sum(axis=1) + 1e-30).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def thinned(rows: Sequence[Row]) -> list[Row]:
    """At most MOST rows of each source and part, drawn by their hash."""
    taken: Counter[tuple[str, str]] = Counter()
    found = []
    for row in sorted(rows, key=lambda row: share(row.text)):
        taken[row.source, row.part] += 1
        if taken[row.source, row.part] <= MOST:
            found.append(row)
    return found


class Fitting:
    """Scales, offsets and thresholds of all outputs from the calibrate part, and figures from the test part."""

    def __init__(self, table: list[Row], encoder: MiniLM, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.rows = thinned([row for row in table if row.part != "train"])
        self.logits = window_logits(encoder, [row.text for row in self.rows], weight, bias)
        self.calibrate = np.array([row.part == "calibrate" for row in self.rows])
        self.weight, self.bias = weight.copy(), bias.copy()
        self.thresholds: dict[str, float] = {}
        self._scale_flags()
        self._scale_labels(0, len(INTENTS), np.array([[label in row.intents for label in INTENTS] for row in self.rows]))
        self._scale_labels(len(INTENTS) + len(FLAGS), len(OUTPUTS), np.array([[label == row.sentiment for label in SENTIMENTS] for row in self.rows]))
        self.chances = 1.0 / (1.0 + np.exp(-self.logits.astype(np.float64)))
        self._choose_thresholds()

    def flag(self, name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each row answers the question `name`, and how."""
        answers = [row.flags.get(name) for row in self.rows]
        return np.array([answer is not None for answer in answers]), np.array([bool(answer) for answer in answers])

    def _scale_flags(self) -> None:
        for name in FLAGS:
            column = OUTPUTS.index(name)
            known, truth = self.flag(name)
            chosen = known & self.calibrate
            # Comments without distress were thinned out: here they weigh what they weigh in the whole set.
            calm = np.array([row.source == "goemotions" and not row.flags.get("distress") for row in self.rows])
            shares = np.where(calm, 1.0 / CALM_SHARE, 1.0)
            scale, offset = platt(self.logits[chosen, column], truth[chosen], shares[chosen])
            self.weight[column] *= scale
            self.bias[column] = scale * self.bias[column] + offset
            self.logits[:, column] = scale * self.logits[:, column] + offset

    def _scale_labels(self, first: int, last: int, allowed: NDArray[np.bool_]) -> None:
        chosen = self.calibrate & allowed.any(axis=1)
        heat = temperature(self.logits[chosen, first:last], allowed[chosen])
        self.weight[first:last] /= heat
        self.bias[first:last] /= heat
        self.logits[:, first:last] /= heat

    def harmless(self, name: str) -> NDArray[np.float64]:
        """What the rail compares with its threshold, by row."""
        columns = [OUTPUTS.index(one) for one in ((name, *HARMS) if name == "harm" else (name,))]
        found: NDArray[np.float64] = self.chances[:, columns].max(axis=1)
        return found

    def _choose_thresholds(self) -> None:
        sources = np.array([row.source for row in self.rows])
        for name, (everyday, alike) in FALSE_ALARMS.items():
            known, truth = self.flag(name)
            scores, benign = self.harmless(name), known & ~truth & self.calibrate
            ordinary, written = benign & np.isin(sources, [*EVERYDAY]), benign & np.isin(sources, [*WRITTEN])
            lowest = max(float(np.quantile(scores[ordinary], 1 - everyday)), float(np.quantile(scores[written], 1 - alike)), LOWEST)
            self.thresholds[name] = round(lowest, 4)
            if name != "attack":
                prose = np.isin(sources, [*PROSE]) & self.calibrate
                self.thresholds[f"{name}.output"] = round(max(lowest, float(np.quantile(scores[prose], 1 - OUTPUT_FALSE_ALARMS))), 4)
        for name, kinds, alarms in (
            ("escalation", ({"conversations", "mixed"},), ESCALATION_FALSE_ALARMS),
            ("distress", ({"goemotions"}, WRITTEN), DISTRESS_FALSE_ALARMS),
        ):
            known, truth = self.flag(name)
            calm = [self.chances[known & ~truth & self.calibrate & np.isin(sources, [*kind]), OUTPUTS.index(name)] for kind in kinds]
            self.thresholds[name] = round(max(float(np.quantile(scores, 1 - alarms)) for scores in calm), 4)
        for name in ("offensive", "hate"):
            known, truth = self.flag(name)
            chosen = known & self.calibrate & (sources == "tweeteval")
            scores = self.chances[chosen, OUTPUTS.index(name)]
            found = {float(limit): macro_f1(truth[chosen].astype(np.int64), (scores > limit).astype(np.intp), 2) for limit in np.arange(0.2, 0.8, 0.02)}
            best = max(found, key=lambda limit: found[limit])
            self.thresholds[name] = round(best, 4)
        asked = np.array([row.intents == (QUESTION,) and row.source in {"own", "library", "pairs"} for row in self.rows]) & self.calibrate
        benign = self.logits[asked, :4]
        shares = np.exp(benign - benign.max(axis=1, keepdims=True))
        shares = shares[:, INTENTS.index(QUESTION)] / shares.sum(axis=1)
        self.thresholds[QUESTION] = round(float(np.clip(np.quantile(shares, TURNED_AWAY), *QUESTION_SHARE)), 4)

    def write(self, folder: Path, branch: str, seconds: float) -> None:
        """The four heads and their cards."""
        for path, outputs, thresholds in (
            (folder / "intent.safetensors", OUTPUTS[: len(INTENTS)], (QUESTION,)),
            (folder / "harm.safetensors", (harm.HARM, *HARMS, *ADVICE), tuple(name for name in self.thresholds if name.startswith(("harm", "advice")))),
            (folder / "attack.safetensors", (attack.ATTACK, *ATTACKS, attack.ESCALATION), (attack.ATTACK, attack.ESCALATION)),
            (folder / "sentiment.safetensors", (*(f"sentiment.{label}" for label in SENTIMENTS), *sentiment.FLAGS), sentiment.FLAGS),
        ):
            columns = [OUTPUTS.index(name) for name in outputs]
            labels = tuple(name.split(".")[-1] for name in outputs)
            chosen = {name: self.thresholds[name] for name in thresholds}
            metadata = {"labels": json.dumps(labels), "thresholds": json.dumps(chosen), "branch": branch}
            tensors = {"weight": np.ascontiguousarray(self.weight[columns]), "bias": np.ascontiguousarray(self.bias[columns])}
            save_file(tensors, path, metadata=metadata)
            path.chmod(0o644)
            card = {"labels": labels, "thresholds": chosen, "branch": branch, "seconds": round(seconds), **self._card(outputs)}
            path.with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _card(self, outputs: Sequence[str]) -> dict[str, Any]:
        test = ~self.calibrate
        if outputs[0].startswith("intent."):
            plain = test & np.array([len(row.intents) == 1 for row in self.rows])
            truth = np.array([INTENTS.index(row.intents[0]) if row.intents else 0 for row in self.rows])
            shares = np.exp(self.logits[:, : len(INTENTS)] - self.logits[:, : len(INTENTS)].max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            said = choose(INTENTS, shares.astype(np.float32), self.thresholds[QUESTION])
            figures = label_figures(INTENTS, truth[plain], said[plain], shares[plain], [row for row, kept in zip(self.rows, plain, strict=True) if kept])
            known = plain
        else:
            figures, known = {}, np.zeros(len(self.rows), np.bool_)
            for name in outputs:
                if name.startswith("sentiment."):
                    continue
                answered, truth = self.flag(name)
                chosen = answered & test
                picked = [row for row, kept in zip(self.rows, chosen, strict=True) if kept]
                threshold = self.thresholds.get(name, self.thresholds["harm" if name in HARMS else "attack" if name in ATTACKS else name])
                figures[name] = flag_figures(truth[chosen], self.chances[chosen, OUTPUTS.index(name)], threshold, picked)
                known |= answered
            if outputs[0].startswith("sentiment."):
                told = np.array([row.sentiment is not None for row in self.rows])
                truth = np.array([SENTIMENTS.index(row.sentiment) if row.sentiment else 0 for row in self.rows])
                shares = np.exp(self.logits[:, -3:] - self.logits[:, -3:].max(axis=1, keepdims=True))
                shares /= shares.sum(axis=1, keepdims=True)
                picked = [row for row, kept in zip(self.rows, told & test, strict=True) if kept]
                figures["sentiment"] = label_figures(SENTIMENTS, truth[told & test], shares[told & test].argmax(axis=1), shares[told & test], picked)
                known |= told
        counted = Counter(row.source for row, kept in zip(self.rows, known, strict=True) if kept)
        return {
            "model": "linear layer on the mean of the safety branch's token states, learned together with the branch; scale and offset fitted afterwards",
            "split": "75 % train, 12.5 % calibrate (scale, offset, threshold), 12.5 % test, by a hash of the row's group; rows below are of calibrate and test",
            "sources": {name: {"rows": number, "licence": LICENCES[name]} for name, number in sorted(counted.items())},
            "test": figures,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public data sets")
    parser.add_argument("--branch", type=Path, required=True, help="where to write the branch")
    parser.add_argument("--heads", type=Path, required=True, help="folder to write the heads and their cards to")
    parser.add_argument("--work", type=Path, required=True, help="folder for what the lower layers say (2 GB) and the state of the run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # two threads of one core are no faster, and a sum in another order is another branch
    began = time.perf_counter()
    table, weight, bias = make_branch(arguments.data, arguments.branch, arguments.work, seed=arguments.seed)
    encoder = MiniLM(branch=arguments.branch)
    fitting = Fitting(table, encoder, weight, bias)
    seconds = time.perf_counter() - began
    fitting.write(arguments.heads, encoder.safety_fingerprint, seconds)
    print(json.dumps({"thresholds": fitting.thresholds, "seconds": round(seconds)}))


if __name__ == "__main__":
    main()

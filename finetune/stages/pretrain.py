"""A tokenizer and a base model from texts, and dialogues if there are any: byte-level BPE, packed rows, one pass of the schedule."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guardrail.errors import ConfigurationError
from guardrail.figures import Figure
from guardrail.finetune.data import mixture, sources
from guardrail.finetune.data.asked import asked
from guardrail.finetune.data.encoding import Encoded, Encoder
from guardrail.finetune.data.goldfish import IGNORED
from guardrail.finetune.data.packing import Filled, Packed
from guardrail.finetune.data.rows import Dialogue, Prompt, Text
from guardrail.finetune.stage import Curve, Sample, StageResult
from guardrail.finetune.training import callbacks
from guardrail.finetune.training.arguments import main_process_first, steps_of, uses_bf16
from guardrail.finetune.training.base_model import learn_tokenizer, make_model
from guardrail.finetune.training.continuation import continuations
from guardrail.finetune.training.heldout import HeldOutLoss, Measured, measure
from guardrail.finetune.training.ledger import Ledger
from guardrail.finetune.training.models import end_tokens, load_tokenizer
from guardrail.finetune.training.supervised import PackedRows, save, trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from guardrail.finetune.recipe import PretrainSettings
    from guardrail.finetune.stage import StageContext

_SAMPLES, _SAMPLE_TOKENS, _SAMPLE_PROMPT = 3, 48, 12
_BETAS = {"adam_beta2": 0.95}
"""As in Touvron et al. 2023, section 2.2: a shorter memory than the trainer's 0.999 keeps a young model steady."""


def run(settings: PretrainSettings, context: StageContext) -> StageResult:
    """Raises ConfigurationError for data that cannot be read or is too little, FinetuneError where the loss is no number, Interrupted."""
    with callbacks.quiet():
        return _run(settings, context)


def _run(settings: PretrainSettings, context: StageContext) -> StageResult:
    found = sources.load(settings.data, context, outputs=("texts", "dialogues"))
    tokenizer = _tokenizer(settings, context, found)
    length = min(settings.training.max_length, settings.architecture.context)
    data = _data(settings, context, found, tokenizer, length=length)
    count = len(data.rows)

    model = make_model(settings.architecture, tokenizer, seed=context.seed)
    pad = int(tokenizer.pad_token_id)
    run_ = trainer(model, data.rows, settings.training, context, pad=pad, **_BETAS)
    heldout = data.heldout
    ledger = Ledger(context.folder / "heldout.jsonl")
    watching = [HeldOutLoss(heldout, ledger, pad=pad, batch=settings.training.micro_batch, every=settings.training.save_steps)] if heldout else []
    began = time.perf_counter()
    first = callbacks.train(run_, context, keep=settings.training.keep, callbacks=watching)
    seconds = time.perf_counter() - began

    outputs = save(run_, tokenizer, context.folder)
    figures = [
        Figure(name="parameters", value=float(model.num_parameters())),
        Figure(name="vocabulary", value=float(len(tokenizer)), unit="tokens"),
        Figure(name="tokens.seen", value=float(count * length), unit="tokens"),
        Figure(name="tokens.unique", value=float(data.tokens), unit="tokens"),
        Figure(name="tokens_per_second", value=(run_.state.global_step - first) * settings.training.global_batch * length / seconds, unit="tokens/s"),
        Figure(name="seconds", value=seconds, unit="seconds"),
    ]
    notes = list(data.notes)
    curves: tuple[Curve, ...] = ()
    if heldout:
        measured = measure(model, heldout, pad=pad, batch=settings.training.micro_batch, bf16=uses_bf16(settings.training))
        figures += _loss_figures(measured, bytes_=data.heldout_bytes)
        curves = (Curve(name="held-out loss", x_name="step", y_name="nats a token", x=ledger.line("loss")[0], y=ledger.line("loss")[1]),)
    else:
        notes.append("No text was kept out of training, so there is no held-out loss: let a hygiene stage make the split.")
    samples = _samples(model, tokenizer, heldout or data.examples)
    return StageResult(figures=tuple(figures), curves=curves, samples=samples, notes=tuple(notes), outputs=outputs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Data:
    """What is learned, and what was kept out."""

    rows: PackedRows
    tokens: int
    """Different ones, that is of one pass over everything."""
    examples: list[Encoded]
    heldout: list[Encoded]
    heldout_bytes: int
    notes: tuple[str, ...]


def _data(settings: PretrainSettings, context: StageContext, found: tuple[sources.Source, ...], tokenizer: PreTrainedTokenizerBase, *, length: int) -> _Data:
    """Raises ConfigurationError where there is not one row."""
    whole = Encoder(tokenizer, max_length=2**31 - 1)
    chat = Encoder(tokenizer, max_length=length, template=str(tokenizer.chat_template), ends=end_tokens(tokenizer))
    texts, talks = _Mixed(), _Mixed()
    notes: list[str] = []
    for source in found:
        texts.add(whole.encode(row for row in source.train if isinstance(row, Text)).rows, source.weight)
        encoded = chat.encode(row for row in source.train if not isinstance(row, Text))
        talks.add(encoded.rows, source.weight)
        notes += encoded.notes(source.task)
    cut = Encoder(tokenizer, max_length=length)
    kept_out = [(row, cut.text(row) if isinstance(row, Text) else chat.encode((row,)).rows) for source in found for row in source.heldout]
    tokens = sum(len(row.ids) for row in (*texts.rows, *talks.rows))
    if talks.an_epoch:
        flow = [texts.rows[number].ids for number in texts.order(seed=context.seed)]
        epochs = max(1, math.ceil(settings.training.epochs))
        packed: Packed | Filled = Filled(
            (talks.rows[number] for number in talks.order(seed=context.seed, epochs=epochs)), flow, length=length, pad=int(tokenizer.pad_token_id)
        )
        count = steps_of(settings.training, len(packed) / epochs) * settings.training.global_batch
    else:
        an_epoch = sum(len(texts.rows[number].ids) for number in texts.order(seed=context.seed))
        if an_epoch < length:
            unfit = "No dialogue can be used (none is short enough, or has something to learn), and the" if notes and not talks.rows else "The"
            raise ConfigurationError(f"{unfit} texts have {an_epoch} tokens, not even one row of {length}: give more text, or change max_length.")
        count = steps_of(settings.training, an_epoch / length) * settings.training.global_batch
        packed = Packed([row.ids for row in texts.rows], texts.order(seed=context.seed, epochs=count * length / an_epoch + 1), length=length, count=count)
    return _Data(
        rows=PackedRows(packed, count),
        tokens=tokens,
        examples=[*talks.rows[:_SAMPLES], *texts.rows[:_SAMPLES]],
        heldout=[piece for _, pieces in kept_out for piece in pieces],
        heldout_bytes=sum(_learned_bytes(row, pieces, tokenizer) for row, pieces in kept_out),
        notes=tuple(notes),
    )


def _learned_bytes(row: Text | Dialogue, pieces: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase) -> int:
    """UTF-8 bytes of what is learned of a row: of a dialogue its replies, as far as the template shows them."""
    if isinstance(row, Text):
        return len(row.text.encode())
    return sum(len(str(tokenizer.decode(one.labels[one.labels != IGNORED].tolist(), skip_special_tokens=True)).encode()) for one in pieces)


class _Mixed:
    """Encoded rows of several sources with their weights."""

    def __init__(self) -> None:
        self.rows: list[Encoded] = []
        self._sizes: list[int] = []
        self._weights: list[float] = []

    def add(self, rows: tuple[Encoded, ...], weight: float) -> None:
        self.rows += rows
        self._sizes.append(len(rows))
        self._weights.append(weight)

    @property
    def an_epoch(self) -> int:
        return mixture.rows_an_epoch(self._sizes, self._weights)

    def order(self, *, seed: int, epochs: float = 1.0) -> NDArray[np.int64]:
        """Numbers into `rows`, as many as `epochs` have, rounded up; none where an epoch has none."""
        count = math.ceil(epochs * self.an_epoch)
        return mixture.order(self._sizes, self._weights, count=count, seed=seed) if count else np.empty(0, np.int64)


def _tokenizer(settings: PretrainSettings, context: StageContext, found: tuple[sources.Source, ...]) -> PreTrainedTokenizerBase:
    """Learned once; a resumed stage reads it back."""
    folder = context.folder / "tokenizer"
    with main_process_first():
        if not (folder / "whole").is_file():
            texts = (said for source in found for row in source.train for said in _said(row))
            shape = settings.architecture
            learned = learn_tokenizer(texts, vocabulary=shape.vocabulary, context=shape.context, copying=shape.copying)
            learned.save_pretrained(folder)
            (folder / "whole").touch()
    return load_tokenizer(str(folder))


def _said(row: Text | Dialogue) -> list[str]:
    """The texts of a row as the model reads them: each turn with its role before it."""
    if isinstance(row, Text):
        return [row.text]
    *before, reply = row.messages
    asked_ = asked(Prompt(prompt=tuple(before), passages=row.passages, works=row.works, persona=row.persona, template=row.template))
    return [f"{turn.role}\n{turn.content}" for turn in (*asked_, reply)]


def _loss_figures(measured: Measured, *, bytes_: int) -> list[Figure]:
    low, high = measured.loss_interval or (None, None)
    bits = math.log2(math.e) * float(measured.labels.sum()) / bytes_
    rows = len(measured.labels)

    def figure(name: str, value: float, low: float | None, high: float | None, unit: str) -> Figure:
        return Figure(name=name, value=value, low=low, high=high, n=rows, unit=unit, better="lower")

    return [
        figure("loss.heldout", measured.loss, low, high, "nats"),
        figure("perplexity.heldout", math.exp(measured.loss), low and math.exp(low), high and math.exp(high), ""),
        figure("bits_per_byte.heldout", measured.loss * bits, low and low * bits, high and high * bits, "bits"),
    ]


def _samples(model: object, tokenizer: PreTrainedTokenizerBase, rows: list[Encoded]) -> tuple[Sample, ...]:
    begun = [tuple(map(int, row.ids[:_SAMPLE_PROMPT])) for row in rows[:_SAMPLES]]
    ends = {*end_tokens(tokenizer), Encoder(tokenizer, max_length=1).document_end}
    replies = continuations(model, begun, tokens=_SAMPLE_TOKENS, pad=int(tokenizer.pad_token_id), ends=ends)
    pairs = zip(begun, replies, strict=True)
    return tuple(Sample(prompt=str(tokenizer.decode(list(one))), text=str(tokenizer.decode(list(reply))), note="greedy") for one, reply in pairs)

"""Raw data in; training data, held-out data and the leak index of exactly the training data out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guardrail.errors import ConfigurationError, DocumentError
from guardrail.figures import Figure, share
from guardrail.finetune.data import canaries, demographics, facts, rows, sources, splits
from guardrail.finetune.data.cleaning import Scrubber, pieces, with_own_turns
from guardrail.finetune.settings import TrainingSettings
from guardrail.finetune.stage import Interrupted, StageResult
from guardrail.leaks import builder, corpus
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.overlap import OverlapMeter
from guardrail.leaks.tokens import TokenClasses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.data.sources import AnyRow
    from guardrail.finetune.recipe import HygieneSettings
    from guardrail.finetune.settings import FactSettings
    from guardrail.finetune.stage import StageContext

TEXTS, DIALOGUES, LEAK_INDEX, CANARIES = "texts", "dialogues", "leak_index", "canaries"

_CONTAINED, _CONTAINED_WORDS = 0.8, 50
"""A held-out row of so many words of which so large a share stands in runs of the training data is no held-out row."""
_STEPS = 5
_ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The texts, or the dialogues."""

    name: str
    read: int
    train: tuple[AnyRow, ...]
    heldout: tuple[AnyRow, ...]
    exact: int
    near: int
    empty: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """What the report says of replies that go on past their turn; nothing where there are none."""

    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


def run(settings: HygieneSettings, context: StageContext) -> StageResult:
    """Raises ConfigurationError for data that cannot be read or split, Interrupted."""
    if not settings.texts and not settings.dialogues:
        raise ConfigurationError("A hygiene stage needs data: name files or folders under texts or dialogues.")
    _step(context, 0, "reading")
    texts, by_file = _texts(settings, context)
    dialogues = [row for path in _paths(settings.dialogues, context, DIALOGUES) for file in _lines(path) for row in rows.read(file, rows.Dialogue)]
    dialogues, cut = _own_turns(settings, dialogues)
    scrubber = Scrubber()
    if settings.scrub:
        _step(context, 1, "taking out personal data")
        texts, dialogues = [scrubber(row) for row in texts], [scrubber(row) for row in dialogues]  # type: ignore[misc] # each stays what it is
    _step(context, 2, "finding duplicates")
    parts = [
        _part(TEXTS, texts, [row.id.rpartition("#")[0] if by_file else "" for row in texts], settings, context.seed),
        _part(DIALOGUES, dialogues, [_opening(row) for row in dialogues], settings, context.seed),
    ]
    parts = [part for part in parts if part.read]
    planted: tuple[canaries.Canary, ...] = ()
    outputs: dict[str, str] = {}
    if settings.canaries is not None:
        planted = canaries.make(settings.canaries, seed=context.seed, in_dialogues=parts[-1].name == DIALOGUES)
        rows.write(context.folder / "canaries.jsonl", planted)
        outputs[CANARIES] = "canaries.jsonl"
    secrets = [row for canary in planted for row in canaries.planted(canary)]
    for part in parts:
        (context.folder / part.name).mkdir(parents=True, exist_ok=True)
        rows.write(context.folder / part.name / sources.TRAIN, [*part.train, *(secrets if part is parts[-1] else ())])
        outputs[part.name] = part.name

    _step(context, 3, "building the leak index")
    classes = None if settings.tokenizer is None else TokenClasses.load(Path(context.resolve(settings.tokenizer, "model")))
    try:
        built = builder.build(corpus.documents([context.folder / part.name / sources.TRAIN for part in parts]), context.folder / LEAK_INDEX, classes=classes)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None
    outputs[LEAK_INDEX] = LEAK_INDEX
    figures, notes = _write_heldout(parts, context)
    notes += _warnings(settings, parts, by_file=by_file)
    figures += cut.figures
    notes += cut.notes

    _step(context, 4, "counting")
    trained = [sources.text_of(row) for part in parts for row in part.train]
    figures += [Figure(name=f"personal_data.{kind}", value=float(count)) for kind, count in sorted(scrubber.counts.items())]
    figures += [share(f"{one.kind}.{one.group}", one.documents, one.of) for one in demographics.mentions(trained)]
    if settings.facts is not None:
        figures += _facts(settings.facts, context)
    figures += [
        Figure(name="canaries", value=float(len(planted))),
        Figure(name="leak_index.words", value=float(built.words)),
        Figure(name="leak_index.bytes", value=float(built.bytes), unit="bytes"),
    ]
    _step(context, _STEPS, "")
    return StageResult(figures=tuple(figures), notes=tuple(notes), outputs=outputs)


def _write_heldout(parts: Sequence[_Part], context: StageContext) -> tuple[list[Figure], list[str]]:
    """What was kept out of training, but for rows that stand within longer training rows. Raises ConfigurationError where nothing else is left."""
    figures, notes = [], []
    meter = _meter(context.folder / LEAK_INDEX)
    for part in parts:
        kept = [row for row in part.heldout if not _contained(sources.text_of(row), meter)]
        if part.heldout and not kept:
            raise ConfigurationError(
                f"Every held-out row of the {part.name} stands in the training rows, so nothing can be measured on them: give data that repeats itself less, "
                "or set heldout to 0."
            )
        if len(kept) < len(part.heldout):
            notes.append(f"{len(part.heldout) - len(kept)} rows kept out of the {part.name} stand within longer training rows and were left out of both.")
        rows.write(context.folder / part.name / sources.HELDOUT, kept)
        figures += _counts(part, heldout=len(kept))
    return figures, notes


def _warnings(settings: HygieneSettings, parts: Sequence[_Part], *, by_file: bool) -> list[str]:
    found = [f"{part.empty} rows of the {part.name} say nothing and were left out." for part in parts if part.empty]
    if settings.deduplicate != "near":
        found.append("Near duplicates were left in: what stands many times is learned by heart first.")
    if not settings.scrub:
        found.append("Personal data was not looked for.")
    if settings.canaries is not None:
        found.append(f"The canaries were planted in the {parts[-1].name}: only what is trained on these can give them away.")
    if settings.heldout and parts[0].name == TEXTS:
        found.append("Texts were kept out " + ("file by file." if by_file else "row by row, since there are too few files to keep whole ones out."))
    return found


def _own_turns(settings: HygieneSettings, read: list[rows.Dialogue]) -> tuple[list[rows.Dialogue], _Cut]:
    """The dialogues without what replies say past their turn, if that is wanted. Raises ConfigurationError where nothing else is left."""
    own = [with_own_turns(row) for row in read]
    run_on = sum(before != after for before, after in zip(read, own, strict=True))
    if not run_on:
        return read, _Cut()
    figure = Figure(name="dialogues.run_on", value=float(run_on), n=len(read), unit="rows")
    found = f"In {run_on} of {len(read)} dialogues a reply speaks for the user or writes control tokens"
    if settings.replies == "keep":
        return read, _Cut(figures=(figure,), notes=(f"{found}; they were kept as they are, so that this is learned, too.",))
    kept = [row for row in own if row is not None]
    if not kept:
        raise ConfigurationError(
            "Every dialogue has a reply that begins with another speaker's mark or a control token: take these out, or set replies to keep."
        )
    left_out = f", and {len(read) - len(kept)} of which nothing was left were left out" if len(kept) < len(read) else ""
    return kept, _Cut(figures=(figure,), notes=(f"{found}; it was cut there{left_out}.",))


def _texts(settings: HygieneSettings, context: StageContext) -> tuple[list[rows.Text], bool]:
    """The texts, those of files in pieces; and whether there are enough files to keep whole ones out of training."""
    found: list[rows.Text] = []
    files = 0
    for path in _paths(settings.texts, context, TEXTS):
        for file in _files(path):
            if file.suffix.lower() in corpus.LINES:
                found += rows.read(file, rows.Text)
            else:
                files += 1
                found += pieces(sources.read_text(file))
    return found, bool(settings.heldout) and files * settings.heldout >= 1 and files > 1


def _opening(row: rows.Dialogue) -> str:
    """What the user says first: dialogues that begin alike stay together."""
    return next(turn.content for turn in row.messages if turn.role == "user").strip().casefold()


def _paths(references: Sequence[str], context: StageContext, output: str) -> list[Path]:
    """Where the data stands; of a folder that is split already the training part."""
    paths = [Path(context.resolve(reference, output)) for reference in references]
    return [path / sources.TRAIN if (path / sources.TRAIN).is_file() else path for path in paths]


def _files(path: Path) -> list[Path]:
    try:
        return corpus.files([path])
    except DocumentError as error:
        raise ConfigurationError(str(error)) from None


def _lines(path: Path) -> list[Path]:
    found = [file for file in _files(path) if file.suffix.lower() in corpus.LINES]
    if not found:
        raise ConfigurationError(f"{path} holds no dialogues: give .jsonl files with `messages`.")
    return found


def _part(name: str, read: Sequence[AnyRow], keys: Sequence[str], settings: HygieneSettings, seed: int) -> _Part:
    """Without empty rows and duplicates, and split."""
    speaking = [number for number, row in enumerate(read) if sources.text_of(row).strip()]
    texts = [sources.text_of(read[number]) for number in speaking]
    unique = splits.deduplicate(texts, how=settings.deduplicate, similarity=settings.similarity)
    kept = [read[speaking[place]] for place in unique.kept]
    left = [texts[place] for place in unique.kept]
    # Where near duplicates were taken out there are none to look for.
    near = settings.similarity if settings.deduplicate != "near" else None
    group = splits.groups(left, [keys[speaking[place]] for place in unique.kept], similarity=near)
    heldout = splits.held_out(group, share=settings.heldout, seed=seed, what=name)
    return _Part(
        name=name,
        read=len(read),
        train=tuple(row for number, row in enumerate(kept) if number not in heldout),
        heldout=tuple(row for number, row in enumerate(kept) if number in heldout),
        exact=unique.exact,
        near=unique.near,
        empty=len(read) - len(speaking),
    )


def _meter(folder: Path) -> OverlapMeter:
    index = LeakIndex.open(folder)
    return OverlapMeter(index.words, index.manifest.words.k, length=_CONTAINED_WORDS)


def _contained(text: str, meter: OverlapMeter) -> bool:
    found = meter.measure(text)
    return found.words >= _CONTAINED_WORDS and found.coverage >= _CONTAINED


def _counts(part: _Part, *, heldout: int) -> list[Figure]:
    counts = {"read": part.read, "train": len(part.train), "heldout": heldout, "duplicates.exact": part.exact, "duplicates.near": part.near}
    return [Figure(name=f"{part.name}.{name}", value=float(count), unit="rows") for name, count in counts.items()]


def _facts(settings: FactSettings, context: StageContext) -> list[Figure]:
    """How many facts the base model knows; see guardrail.finetune.data.facts."""
    from guardrail.finetune.training.continuation import continuations  # noqa: PLC0415 - only this needs torch
    from guardrail.finetune.training.models import load_model, load_tokenizer  # noqa: PLC0415 - as above

    reference = context.resolve(settings.model, "model")
    tokenizer = load_tokenizer(reference)
    model = load_model(reference, training=TrainingSettings())
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def answer(prompts: Sequence[str], temperature: float) -> list[str]:
        ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
        replies = continuations(model, ids, tokens=_ANSWER_TOKENS, pad=int(pad), temperature=temperature)
        return [str(tokenizer.decode(list(reply), skip_special_tokens=True)) for reply in replies]

    asked = list(rows.read(Path(context.resolve(settings.questions, "questions")), rows.Fact))
    known = Counter(fact.knowledge for fact in facts.classify(asked, answer, prompts=settings.samples, samples=settings.samples, seed=context.seed))
    return [share(f"facts.{knowledge}", known[knowledge], len(asked)) for knowledge in facts.CLASSES]


def _step(context: StageContext, done: int, note: str) -> None:
    if context.stop.is_set:
        raise Interrupted(f"{context.id} was stopped and begins anew.")
    context.metrics.progress(done, _STEPS, note)

"""The hygiene stage: what comes out of it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from guardrail.errors import ConfigurationError
from guardrail.finetune.data import sources
from guardrail.finetune.data.rows import Dialogue, Text
from guardrail.finetune.recipe import HygieneSettings
from guardrail.finetune.settings import CanarySettings, FactSettings, MixtureSettings
from guardrail.finetune.stage import Interrupted, StageResult, StopSignal
from guardrail.finetune.stages import hygiene
from guardrail.leaks.index import LeakIndex
from guardrail.leaks.overlap import OverlapMeter
from tests.finetune.small_run import WORDS, Recorder, context, dialogue, make_base, write_lines


def _text(number: int) -> str:
    return " ".join(f"{WORDS[(number + place) % len(WORDS)]}{number}x{place}" for place in range(30))


def _run(folder: Path, *, texts: list[str] | None = None, dialogues: list[dict[str, object]] | None = None, **settings: object) -> StageResult:
    inputs = {}
    if texts is not None:
        inputs["texts"] = write_lines(folder / "texts.jsonl", [{"text": text} for text in texts])
    if dialogues is not None:
        inputs["dialogues"] = write_lines(folder / "dialogues.jsonl", dialogues)
    named = {name: (name,) for name in inputs}
    return hygiene.run(HygieneSettings(**named, **settings), context(folder / "hygiene", inputs))  # type: ignore[arg-type] # the settings of each test


def _values(result: StageResult) -> dict[str, float]:
    return {figure.name: figure.value for figure in result.figures}


def test_everything_that_goes_in_is_accounted_for(tmp_path: Path) -> None:
    texts = [_text(number) for number in range(40)]
    dialogues = [dialogue(f"What is {number}?", f"Ask bob{number}@example.org about {number}.") for number in range(20)]
    found = _values(_run(tmp_path, texts=[*texts, texts[0], texts[1] + " more", " "], dialogues=[*dialogues, dialogues[0]], heldout=0.1))
    assert (found["texts.read"], found["texts.duplicates.exact"], found["texts.duplicates.near"]) == (43, 1, 1)
    assert found["texts.train"] + found["texts.heldout"] == 40
    assert found["dialogues.train"] + found["dialogues.heldout"] == 20
    assert found["personal_data.email"] == 21


def test_the_leak_index_knows_the_training_data_and_nothing_else(tmp_path: Path) -> None:
    _run(tmp_path, texts=[_text(number) for number in range(40)], heldout=0.2)
    folder = tmp_path / "hygiene"
    train, heldout = sources.split(folder / "texts")
    index = LeakIndex.open(folder / "leak_index")
    meter = OverlapMeter(index.words, index.manifest.words.k, length=12)
    assert index.manifest.corpus.documents == len(train)
    assert min(meter.measure(sources.text_of(row)).coverage for row in train) == 1.0
    assert max(meter.measure(sources.text_of(row)).coverage for row in heldout) < 0.1


def test_no_personal_data_is_left_in_what_is_written(tmp_path: Path) -> None:
    _run(
        tmp_path,
        dialogues=[
            dialogue(f"I am {number}", f"Write to ann{number}@example.org, who knows all about it.", passages=[f"cid{number}@example.org"])
            for number in range(30)
        ],
    )
    written = "".join(path.read_text() for path in (tmp_path / "hygiene" / "dialogues").iterdir())
    assert "@" not in written
    assert "[EMAIL]" in written


def _flattened() -> list[dict[str, object]]:
    sound = [dialogue(f"What is {number}?", f"I have told you before that it is {number}.") for number in range(20)]
    return [
        *sound,
        dialogue("And twenty?", "It is more than ten.\nVisitor: And then?\nPlato: More still."),
        dialogue("And thirty?", "It is a large number.</s></s></s>"),
        dialogue("And forty?", "</s></s></s>"),
    ]


def test_replies_are_cut_where_they_go_on_past_their_turn_and_this_is_told(tmp_path: Path) -> None:
    result = _run(tmp_path, dialogues=_flattened(), heldout=0)
    written = (tmp_path / "hygiene" / "dialogues" / "train.jsonl").read_text()
    assert "more than ten." in written
    assert "Visitor" not in written
    assert "</s>" not in written
    assert (_values(result)["dialogues.run_on"], _values(result)["dialogues.train"]) == (3, 22)
    assert any("cut there, and 1 of which nothing was left" in note for note in result.notes)


def test_replies_that_go_on_past_their_turn_can_be_kept_and_are_told(tmp_path: Path) -> None:
    result = _run(tmp_path, dialogues=_flattened(), heldout=0, replies="keep")
    assert (tmp_path / "hygiene" / "dialogues" / "train.jsonl").read_text().count("</s>") == 6
    assert _values(result)["dialogues.run_on"] == 3
    assert any("were kept as they are" in note for note in result.notes)


def test_dialogues_without_a_reply_of_their_own_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Every dialogue has a reply that begins with"):
        _run(tmp_path, dialogues=[dialogue("And forty?", "</s>")], heldout=0)


def test_canaries_stand_in_training_as_often_as_they_say_and_never_in_the_held_out_rows(tmp_path: Path) -> None:
    _run(tmp_path, texts=[_text(number) for number in range(40)], canaries=CanarySettings(count=3, repeats=(1, 8)))
    folder = tmp_path / "hygiene"
    canaries = [json.loads(line) for line in (folder / "canaries.jsonl").read_text().splitlines()]
    train = (folder / "texts" / "train.jsonl").read_text()
    assert [train.count(canary["secret"]) for canary in canaries] == [1, 8, 1]
    assert not any(canary["secret"] in (folder / "texts" / "heldout.jsonl").read_text() for canary in canaries)


def test_dialogues_with_the_same_opening_are_on_one_side(tmp_path: Path) -> None:
    _run(tmp_path, dialogues=[dialogue(f"What is {number % 10}?", f"I have told you before that it is {number}.") for number in range(40)], heldout=0.2)
    train, heldout = sources.split(tmp_path / "hygiene" / "dialogues")
    openings = [{sources.text_of(row).partition("\n")[0] for row in side} for side in (train, heldout)]
    assert openings[1]
    assert not openings[0] & openings[1]


def test_a_held_out_text_that_stands_within_a_longer_one_is_left_out(tmp_path: Path) -> None:
    long = [" ".join(f"{word}{number}" for number in range(part * 60, part * 60 + 60)) for word in WORDS[:4] for part in range(2)]
    books = [f"{long[number]} {long[number + 1]}" for number in range(0, 8, 2)]
    with pytest.raises(ConfigurationError, match="Every held-out row of the texts stands in the training rows"):
        # Whichever rows are held out, each half is in its book and each book is in its halves.
        _run(tmp_path, texts=[*books, *long], heldout=0.1, deduplicate="none")


def test_whole_files_are_kept_out_where_there_are_enough(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text("\n\n".join(" ".join(f"w{number}x{part}x{place}" for place in range(400)) for part in range(4)))
    hygiene.run(HygieneSettings(texts=("books",), heldout=0.2), context(tmp_path / "hygiene", {"books": folder}))
    train, heldout = sources.split(tmp_path / "hygiene" / "texts")
    files = [{row.id.partition("#")[0] for row in side} for side in (train, heldout)]
    assert [len(side) for side in files] == [8, 2]
    assert not files[0] & files[1]


def test_facts_that_a_random_model_does_not_know_are_unknown(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    questions = write_lines(tmp_path / "facts.jsonl", [{"question": f"Who wrote book {number}?", "answer": f"Author {number}"} for number in range(4)])
    texts = write_lines(tmp_path / "texts.jsonl", [{"text": _text(number)} for number in range(30)])
    settings = HygieneSettings(texts=("texts",), facts=FactSettings(model="base", questions="facts", samples=2), tokenizer="base")
    result = hygiene.run(settings, context(tmp_path / "hygiene", {"texts": texts, "base": base, "facts": questions}))
    assert _values(result)["facts.unknown"] == 1.0
    assert LeakIndex.open(tmp_path / "hygiene" / "leak_index").tokens is not None


def test_either_part_of_a_stage_can_be_named(tmp_path: Path) -> None:
    texts, dialogues = (
        [_text(number) for number in range(30)],
        [dialogue(f"What is {number}?", f"I have told you that it is {number}.") for number in range(30)],
    )
    result = _run(tmp_path, texts=texts, dialogues=dialogues, canaries=CanarySettings(count=1, repeats=(1,)))
    (tmp_path / "hygiene" / "result.json").write_bytes(msgspec.json.encode(result))
    mixtures = [MixtureSettings(data="clean", part=part) for part in ("auto", "texts", "dialogues")]
    found = sources.load(mixtures, context(tmp_path / "sft", {"clean": tmp_path / "hygiene"}))
    assert [type(source.train[0]) for source in found] == [Dialogue, Text, Dialogue]
    assert [len(source.train) + len(source.heldout) for source in found] == [31, 30, 31]  # the canary is where the demonstrations are


def test_without_data_the_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs data"):
        _run(tmp_path)


def test_a_stage_that_is_asked_to_stop_stops(tmp_path: Path) -> None:
    stop = StopSignal()
    path = write_lines(tmp_path / "texts.jsonl", [{"text": _text(number)} for number in range(30)])
    metrics = Recorder(at_step=lambda step: stop.set() if step == 2 else None)
    with pytest.raises(Interrupted):
        hygiene.run(HygieneSettings(texts=("texts",)), context(tmp_path / "hygiene", {"texts": path}, stop=stop, metrics=metrics))

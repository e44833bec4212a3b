"""The leak index: what is in it is found, what is not is not, and a damaged one is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from guardrail.cli.leaks import leaks
from guardrail.cli.main import cli
from guardrail.errors import ConfigurationError, DocumentError
from guardrail.leaks import corpus
from guardrail.leaks.builder import build
from guardrail.leaks.grams import LONGEST_WORD, gram, grams, words
from guardrail.leaks.index import LeakIndex, bind, require
from guardrail.leaks.table import GramTable, TableWriter
from guardrail.leaks.tokens import TokenClasses
from tests.tiny_model import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "The soul is the first actuality of a natural body that has life potentially within it, and such is any body with organs of its own. " * 3


@pytest.fixture
def index(tmp_path: Path) -> LeakIndex:
    build([[TEXT]], tmp_path / "leaks")
    return LeakIndex.open(tmp_path / "leaks")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@given(st.sets(st.integers(0, 2**64 - 1), max_size=300))
def test_a_table_holds_every_key(tmp_path_factory: pytest.TempPathFactory, keys: set[int]) -> None:
    table = written(tmp_path_factory.mktemp("table"), list(keys), None)
    assert table.holds(np.array(sorted(keys), np.uint64)).all()
    assert len(table) <= len(keys)


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 2**13 - 1), min_size=1, max_size=4), max_size=100))
def test_a_table_gives_the_values_of_a_key(tmp_path_factory: pytest.TempPathFactory, wanted: dict[int, set[int]]) -> None:
    pairs = [(key, value) for key, values in wanted.items() for value in values]
    table = written(tmp_path_factory.mktemp("table"), [key for key, _ in pairs], [value for _, value in pairs])
    for key, values in wanted.items():
        assert values <= set(table.values(key))


def test_false_positives_are_as_rare_as_stated(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = written(tmp_path, random.integers(0, 2**64, 200_000, np.uint64).tolist(), None)
    assert table.holds(random.integers(0, 2**64, 400_000, np.uint64)).mean() == pytest.approx(table.false_positives, rel=0.2)
    assert table.false_positives < 0.001


def written(folder: Path, keys: list[int], values: list[int] | None) -> GramTable:
    bits = 13 if values is not None else 0
    with TableWriter(entry_bits=32 if bits else 16, value_bits=bits) as writer:
        for start in range(0, len(keys), 50):
            part = slice(start, start + 50)
            writer.add(np.array(keys[part], np.uint64), np.array(values[part], np.uint64) if values is not None else None)
        writer.write(folder / "entries", folder / "offsets")
    return GramTable(np.fromfile(folder / "entries", "<u4" if bits else "<u2"), np.fromfile(folder / "offsets", "<u4"), value_bits=bits)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=20), st.integers(1, 3))
def test_one_gram_and_all_grams_agree(hashes: list[int], k: int) -> None:
    assert grams(np.array(hashes, np.uint64), k).tolist() == [gram(hashes[i : i + k]) for i in range(len(hashes) - k + 1)]


@given(st.text(max_size=60))
def test_words_stand_where_they_say_and_case_makes_no_difference(text: str) -> None:
    found = words(text)
    assert all(text[start:end].strip() for start, end in found.places.tolist())
    assert np.array_equal(words(text.replace(" ", " , \n")).hashes, found.hashes)
    if text.isascii():
        assert np.array_equal(words(text.upper()).hashes, found.hashes)


def test_accents_and_invisible_characters_make_no_difference() -> None:
    assert words("café naïve ψυχή ＦＵＬＬ").hashes.tolist() == words("CAFE\u0301 nai\u0308ve ΨΥΧΗ full").hashes.tolist()
    assert words("so\u200bul so\u00adul").hashes.tolist() == words("soul soul").hashes.tolist()


def test_no_run_goes_across_what_is_no_word() -> None:
    assert words("a b " + "x" * (LONGEST_WORD + 1) + " c" + " " * 300 + "d").apart.tolist() == [False, False, True, True]


@pytest.mark.parametrize("size", [20, 50, 1000])
def test_pieces_make_the_same_index_as_the_whole(tmp_path: Path, model: Path, size: int) -> None:
    pieces = [match.group() for match in re.finditer(rf"(?s).{{1,{size}}}(?=\s|\Z)", TEXT)]
    assert "".join(pieces).rstrip() == TEXT.rstrip()
    classes = TokenClasses.load(model)
    whole = build([["".join(pieces)]], tmp_path / "whole", classes=classes)
    assert build([pieces], tmp_path / "pieces", classes=classes).hash == whole.hash


def test_the_hash_is_the_corpus(tmp_path: Path) -> None:
    first = build([[TEXT]], tmp_path / "a")
    assert build([[TEXT]], tmp_path / "b").hash == first.hash
    assert build([[TEXT + "Another end."]], tmp_path / "c").hash != first.hash


def test_a_corpus_is_read_from_files_lines_and_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("one two", encoding="utf-8-sig")
    (tmp_path / "deep" / "ignored.bin").write_bytes(b"\0")
    rows = [{"text": "three"}, {"messages": [{"role": "user", "content": "four"}, {"role": "assistant", "content": "five"}]}]
    (tmp_path / "b.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    found = corpus.files([tmp_path / "deep", tmp_path / "b.jsonl"])
    assert ["".join(pieces) for pieces in corpus.documents(found)] == ["one two", "three", "four", "five"]


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("a.txt", b"abc\0def", "binary"),
        ("a.txt", b"caf\xe9 au lait", "UTF-8"),
        ("a.txt", b"", "no text of 6 words"),
        ("a.txt", b"Only five words are here", "no text of 6 words"),
        ("a.jsonl", b'{"text": "x"', "a.jsonl:1"),
        ("a.jsonl", b'\n{"prompt": "x"}', "a.jsonl:2 has neither"),
        ("a.pdf", b"%PDF", "kind that is not read"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, name: str, raw: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DocumentError, match=says):
        build(corpus.documents(corpus.files([tmp_path / name])), tmp_path / "leaks")
    assert {path.name for path in tmp_path.iterdir()} == {name}


def test_a_missing_corpus_or_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DocumentError, match="corpus"):
            corpus.files([path])


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="no leak index"):
        build([[TEXT]], tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_an_older_index_is_replaced(tmp_path: Path) -> None:
    build([[TEXT]], tmp_path / "leaks")
    report = build([["Quite other words stand in here now."]], tmp_path / "leaks")
    assert LeakIndex.open(tmp_path / "leaks").hash == report.hash


@pytest.mark.parametrize("name", ["words.entries", "words.offsets", "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "altered"])
def test_a_damaged_index_is_refused_in_one_sentence(index: LeakIndex, name: str, damage: str) -> None:
    path = index.folder / name
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else bytes([raw[0] ^ 1]) + raw[1:])
    with pytest.raises(ConfigurationError, match=r"is damaged|no leak index"):
        LeakIndex.open(index.folder)


def test_a_model_takes_no_other_index_than_its_own(tmp_path: Path, index: LeakIndex) -> None:
    model = tmp_path / "model"
    model.mkdir()
    require(model, None)
    require(model, index)
    bind(model, index)
    require(model, index)
    build([["Quite other words stand in here now."]], tmp_path / "other")
    with pytest.raises(ConfigurationError, match="not the one of the model"):
        require(model, LeakIndex.open(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match="name that index"):
        require(model, None)
    (model / "leak_index.json").write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        require(model, index)


def test_the_command_builds_tells_and_checks(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    built = CliRunner().invoke(leaks, ["build", str(tmp_path / "a.txt"), "--out", str(tmp_path / "leaks"), "--model", str(model), "--json"])
    assert built.exit_code == 0, built.output
    assert json.loads((model / "leak_index.json").read_text())["index"] == json.loads(built.stdout)["hash"]
    told = CliRunner().invoke(leaks, ["info", str(tmp_path / "leaks"), "--json"])
    assert json.loads(told.stdout)["corpus"]["documents"] == 1
    caught = CliRunner().invoke(leaks, ["check", str(tmp_path / "leaks"), TEXT[:120]])
    assert (caught.exit_code, json.loads(caught.stdout)["decision"]) == (1, "block")
    quoted = CliRunner().invoke(leaks, ["check", str(tmp_path / "leaks"), TEXT[:120], "--passage", TEXT])
    assert (quoted.exit_code, json.loads(quoted.stdout)["decision"]) == (0, "pass")


@pytest.mark.parametrize("arguments", [["info", "nowhere"], ["check", "nowhere", "x"], ["build", "nowhere", "--out", "x"], ["build", "."]])
def test_a_failing_command_is_one_sentence(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["leaks", *arguments])
    assert result.exit_code in {1, 2}
    assert result.stderr.startswith("guardrail: ")
    assert result.stderr.count("\n") == 1

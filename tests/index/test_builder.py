"""Builds do only what is needed, lose nothing, and never leave a broken index behind."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from guardrail.errors import LibraryError
from guardrail.index.builder import BuildReport, build, remove, sync
from guardrail.index.chunk import ChunkSettings
from guardrail.index.embedding import Pace, Progress
from guardrail.index.generation import Generation
from tests.index.hash_encoder import HashEncoder
from tests.index.stored import content

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Nobody may look into `folder`; permissions would not stop root, so the listing itself fails."""
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        yield


def counts(report: BuildReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.deleted


def sources(out: Path) -> list[str]:
    with Generation.open(out, fingerprint=None) as generation:
        return [stored.document.source_id for stored in generation.documents()]


# What changes


def test_a_second_build_embeds_nothing_and_writes_nothing(books: Path, out: Path) -> None:
    first = build([books], out, HashEncoder())
    again = HashEncoder()
    second = build([books], out, again)
    assert counts(first) == (4, 0, 0, 0)
    assert first.embedded == len(content(out)) > 4
    assert counts(second) == (0, 0, 4, 0)
    assert (second.generation, second.passages, second.embedded, again.encoded) == (first.generation, first.passages, 0, [])


def test_a_changed_file_is_updated_and_only_its_new_passages_are_embedded(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    (books / "3.txt").write_text((books / "3.txt").read_text() + "A new ending was written.")
    encoder = HashEncoder()
    assert counts(build([books], out, encoder)) == (0, 1, 3, 0)
    (passage,) = content(out).keys() & set(encoder.encoded)
    assert "A new ending was written." in passage
    assert all(text in passage for text in encoder.encoded)


def test_a_renamed_file_keeps_its_vectors(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    before = content(out)
    (books / "3.txt").rename(books / "renamed.txt")
    encoder = HashEncoder()
    report = build([books], out, encoder)
    assert counts(report) == (1, 0, 3, 1)
    assert encoder.encoded == []
    assert content(out) == before
    assert "renamed.txt" in sources(out)


def test_a_vanished_file_no_longer_answers(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    (books / "2.txt").unlink()
    assert counts(sync([], out, HashEncoder())) == (0, 0, 3, 1)
    assert sources(out) == ["0.txt", "1.txt", "3.txt"]
    assert not any("said in 2" in text for text in content(out))


def test_build_keeps_documents_of_other_paths_and_sync_with_paths_does_not(books: Path, out: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# Other\n\nSomething else.")
    build([books], out, HashEncoder())
    assert counts(build([other], out, HashEncoder())) == (1, 0, 4, 0)
    assert counts(sync([], out, HashEncoder())) == (0, 0, 5, 0)
    assert counts(sync([other], out, HashEncoder())) == (0, 0, 1, 4)
    assert sources(out) == ["other.md"]


def test_sync_repeats_persona_and_work_of_the_last_build(books: Path, out: Path) -> None:
    build([books], out, HashEncoder(), persona="plato", work="Republic")
    (books / "new.txt").write_text("A new text.")
    sync([], out, HashEncoder())
    with Generation.open(out, fingerprint=None) as generation:
        assert {(passage.persona, passage.work) for passage in generation.passages(range(generation.manifest.passages))} == {("plato", "Republic")}


def test_another_persona_for_the_same_files_updates_them_without_embedding(books: Path, out: Path) -> None:
    build([books], out, HashEncoder(), persona="plato")
    encoder = HashEncoder()
    assert counts(build([books], out, encoder, persona="aristotle")) == (0, 4, 0, 0)
    assert encoder.encoded == []


def test_a_jsonl_line_is_added_changed_and_deleted_by_its_id(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def write(**texts: str) -> BuildReport:
        path.write_text("".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in texts.items()))
        return build([path], out, HashEncoder())

    write(a="One is.", b="Two is.", c="Three is.")
    assert counts(write(c="Three is.", a="One is changed.", d="Four is.")) == (1, 1, 1, 1)
    assert sources(out) == ["c", "a", "d"]


def test_another_encoder_embeds_everything_anew(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    other = HashEncoder(fingerprint="2" * 64)
    report = build([books], out, other)
    assert report.embedded == len(content(out)) == len(content(out).keys() & set(other.encoded))
    Generation.open(out, fingerprint=other.fingerprint).close()


def test_another_cut_keeps_the_passages_that_stay_the_same(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    before = content(out)
    encoder = HashEncoder()
    report = build([books], out, encoder, chunking=ChunkSettings(max_tokens=30))
    assert report.passages > len(before)
    assert content(out).keys() & set(encoder.encoded) == content(out).keys() - before.keys()


def test_remove_takes_documents_out(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    encoder = HashEncoder()
    assert counts(remove(["1.txt", "3.txt"], out, encoder)) == (0, 0, 2, 2)
    assert sources(out) == ["0.txt", "2.txt"]
    assert encoder.encoded == []


def test_remove_of_an_unknown_document_changes_nothing(books: Path, out: Path) -> None:
    first = build([books], out, HashEncoder())
    with pytest.raises(LibraryError, match=r"holds no document 'nope\.txt'"):
        remove(["1.txt", "nope.txt"], out, HashEncoder())
    with Generation.open(out, fingerprint=None) as generation:
        assert generation.name == first.generation


# Bad input


def test_bad_files_among_good_ones_are_named_and_the_build_goes_on(books: Path, out: Path) -> None:
    (books / "empty.txt").write_bytes(b"")
    (books / "binary.txt").write_bytes(bytes(range(256)) * 10)
    (books / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    (books / "broken.docx").write_bytes(b"PK\x03\x04")
    (books / "lines.jsonl").write_text('{"id": "good", "text": "A good line."}\n{"text": }\n{"id": "0.txt", "text": "A stolen id."}\n')
    (books / "picture.png").write_bytes(b"\x89PNG")
    (books / ".hidden.txt").write_text("Hidden.")
    report = build([books], out, HashEncoder())
    assert [failure.path for failure in report.failed] == ["binary.txt", "broken.docx", "broken.pdf", "empty.txt", "lines.jsonl:2", "lines.jsonl:3"]
    assert report.ignored == ("picture.png",)
    assert report.added == 5


def test_a_file_that_breaks_keeps_its_last_good_version(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    before = content(out)
    (books / "1.txt").write_bytes(bytes(range(256)))
    report = sync([], out, HashEncoder())
    assert [failure.path for failure in report.failed] == ["1.txt"]
    assert content(out) == before


def test_a_folder_that_cannot_be_opened_is_named_and_its_documents_stay(books: Path, out: Path) -> None:
    (books / "locked").mkdir()
    (books / "locked" / "in.txt").write_text("Behind the door.")
    build([books], out, HashEncoder())
    before = content(out)
    with unreadable(books / "locked"):
        report = sync([], out, HashEncoder())
    assert [failure.path for failure in report.failed] == ["locked"]
    assert content(out) == before


def test_files_of_the_same_name_in_two_folders_are_both_kept(out: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(f"Text of {name}.")
    build([tmp_path / "a", tmp_path / "b"], out, HashEncoder())
    assert sources(out) == ["x.txt", "b/x.txt"]
    assert counts(sync([], out, HashEncoder())) == (0, 0, 2, 0)


@pytest.mark.parametrize("order", [("0.txt", ""), ("", "0.txt")])
def test_a_file_given_alone_and_in_its_folder_is_indexed_once_as_it_was_named_most_closely(books: Path, out: Path, order: tuple[str, str]) -> None:
    for name in order:
        build([books / name], out, HashEncoder(), persona="plato" if name else "")
    for _ in range(2):
        with Generation.open(out, fingerprint=None) as generation:
            assert sorted((found.document.source_id, found.document.persona) for found in generation.documents()) == [
                ("0.txt", "plato"),
                ("1.txt", ""),
                ("2.txt", ""),
                ("3.txt", ""),
            ]
        assert counts(sync([], out, HashEncoder())) == (0, 0, 4, 0)


def test_an_index_inside_the_folder_it_indexes_is_not_read(books: Path) -> None:
    build([books], books / "index", HashEncoder())
    assert counts(build([books], books / "index", HashEncoder())) == (0, 0, 4, 0)


def test_an_empty_folder_is_one_clear_error_and_makes_no_index(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match="There are no documents"):
        build([tmp_path / "empty"], out, HashEncoder())
    with pytest.raises(LibraryError):
        Generation.open(out, fingerprint=None)


def test_nothing_but_bad_files_is_one_clear_error(tmp_path: Path, out: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\0\1")
    with pytest.raises(LibraryError, match=r"bad\.txt: The file is binary"):
        build([tmp_path / "bad.txt"], out, HashEncoder())


def test_a_missing_path_is_one_clear_error(tmp_path: Path, out: Path) -> None:
    with pytest.raises(LibraryError, match="There is no file or folder"):
        build([tmp_path / "none"], out, HashEncoder())
    assert not out.exists()


def test_sync_does_not_empty_an_index_whose_folder_is_gone(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    before = content(out)
    shutil.move(books, books.with_name("unplugged"))
    with pytest.raises(LibraryError, match="is gone"):
        sync([], out, HashEncoder())
    assert content(out) == before


def test_sync_without_an_index_is_one_clear_error(out: Path) -> None:
    with pytest.raises(LibraryError, match="There is no index"):
        sync([], out, HashEncoder())
    assert not out.exists()


def test_a_folder_of_other_things_is_not_made_an_index(books: Path) -> None:
    with pytest.raises(LibraryError, match="holds no index"):
        build([books], books, HashEncoder())


def test_a_damaged_index_is_not_built_upon(books: Path, out: Path) -> None:
    report = build([books], out, HashEncoder())
    path = out / "generations" / report.generation / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(LibraryError, match="changed since the build"):
        build([books], out, HashEncoder())


# Duplicates


def test_duplicates_are_reported_exact_and_near(out: Path, tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(40)]
    rows = {
        "original": " ".join(words),
        "copy": "  ".join(words).upper(),
        "near": " ".join([*words[:20], "another", *words[21:]]),
        "different": " ".join(reversed(words)),
        "short": "Chapter one.",
        "short too": "Chapter one!",
    }
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in rows.items()))
    report = build([path], out, HashEncoder())
    assert [(found.kind, found.source_id, found.of) for found in report.duplicates] == [("exact", "copy", "original"), ("near", "near", "original")]
    assert 0.8 <= report.duplicates[1].similarity < 1
    assert report.passages == 6
    path.write_text(path.read_text() + json.dumps({"id": "new", "text": "Nothing alike."}) + "\n")
    assert build([path], out, HashEncoder()).duplicates == ()


# Progress


def test_progress_knows_the_total_before_embedding_starts(books: Path, out: Path) -> None:
    seen: list[Progress] = []
    report = build([books], out, HashEncoder(), pace=Pace(batch=2), report=seen.append)
    embedding = [progress for progress in seen if progress.step == "embed"]
    assert (embedding[0].done, embedding[0].seconds_left) == (0, None)
    assert {progress.total for progress in embedding} == {report.embedded}
    assert [progress.done for progress in embedding] == sorted(progress.done for progress in embedding)
    assert (embedding[-1].done, embedding[-1].seconds_left) == (report.embedded, 0.0)
    assert [progress.done for progress in seen if progress.step == "read"] == [0, 1, 2, 3, 4]

"""An index is opened whole and unaltered, or not at all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from guardrail.errors import LibraryError
from guardrail.index.builder import build
from guardrail.index.embedding import Piece, encode
from guardrail.index.generation import Generation
from tests.index.hash_encoder import HashEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXTS = {
    "plato/cave.txt": "In the cave the prisoners see shadows. They take the shadows for the truth.\n\nOne of them is set free.",
    "plato/line.txt": "The line is divided into two parts. Each part is divided again.",
    "aristotle/causes.txt": "There are four causes. The matter is one of them. The form is another.",
}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        path = tmp_path / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    out = tmp_path / "index"
    build([tmp_path / "books" / "plato"], out, HashEncoder(), persona="plato", work="Republic")
    build([tmp_path / "books" / "aristotle"], out, HashEncoder(), persona="aristotle", work="Physics")
    return out


def current(index: Path) -> Path:
    return index / "generations" / (index / "CURRENT").read_text().strip()


def refused(index: Path, *, fingerprint: str | None = None) -> str:
    with pytest.raises(LibraryError) as caught:
        Generation.open(index, fingerprint=fingerprint)
    message = str(caught.value)
    assert "\n" not in message
    assert str(index) in message
    return message


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write below `folder`; root, whom permissions do not bind, becomes nobody meanwhile."""
    everything = [folder, *folder.rglob("*")] if folder.exists() else []
    parents = [parent for parent in folder.parents if parent.stat().st_uid == os.getuid() and len(parent.parts) > 2]
    modes = {path: path.stat().st_mode for path in [*everything, *parents]}
    user = os.geteuid()
    try:
        for parent in parents:
            parent.chmod(0o755)
        for path in everything:
            path.chmod(0o555 if path.is_dir() else 0o444)
        if user == 0:
            os.seteuid(65534)
        yield
    finally:
        if user == 0:
            os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(stat.S_IMODE(mode))


def test_rows_agree_between_texts_passages_vectors_and_tokens(index: Path) -> None:
    encoder = HashEncoder()
    with Generation.open(index, fingerprint=encoder.fingerprint) as generation:
        texts = list(generation.texts())
        assert len(texts) == generation.manifest.passages == len(generation.vectors)
        passages = generation.passages(range(len(texts)))
        assert [passage.text for passage in passages] == texts
        for row, embedding in enumerate(encode(encoder, [Piece(text, title, whole, questions=asked) for text, title, whole, asked in generation.pieces()])):
            encoding = embedding.encoding
            np.testing.assert_array_equal(generation.vectors[row], encoding.vector.astype(np.float16))
            begin, end = generation.token_offsets[row : row + 2]
            assert end - begin == len(encoding.tokens) == len(encoder.content_spans(texts[row]))


def test_passages_point_into_the_original_text(index: Path) -> None:
    with Generation.open(index, fingerprint=None) as generation:
        for passage in generation.passages(range(generation.manifest.passages)):
            assert generation.original(passage.source_id)[passage.start : passage.end] == passage.text


def test_passages_come_in_the_order_asked_for(index: Path) -> None:
    with Generation.open(index, fingerprint=None) as generation:
        forward = generation.passages([0, 1, 2])
        assert generation.passages([2, 0, 2]) == [forward[2], forward[0], forward[2]]
        with pytest.raises(IndexError):
            generation.passages([99])


def test_filters_by_persona_and_work_before_the_search(index: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.jsonl").write_text('{"text": "Both knew Athens.", "work": "Lives"}\n')
    build([tmp_path / "shared.jsonl"], index, HashEncoder())
    with Generation.open(index, fingerprint=None) as generation:

        def works(persona: str | None, titles: list[str]) -> set[str] | None:
            rows = generation.rows(persona, titles)
            return None if rows is None else {passage.work for passage in generation.passages(rows.tolist())}

        assert works(None, []) is None
        assert works("plato", []) == {"Republic", "Lives"}
        assert works("aristotle", ["PHYSICS", "republic"]) == {"Physics"}
        assert works(None, ["republic"]) == {"Republic"}
        assert works("nobody", ["Republic"]) == set()


def test_many_threads_read_at_once(index: Path) -> None:
    failures: list[BaseException] = []
    with Generation.open(index, fingerprint=None) as generation:
        expected = generation.passages([0, 1, 2])

        def read() -> None:
            try:
                for _ in range(20):
                    assert generation.passages([0, 1, 2]) == expected
            except BaseException as error:  # noqa: BLE001  handed to the main thread
                failures.append(error)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_closed_generation_says_so(index: Path) -> None:
    generation = Generation.open(index, fingerprint=None)
    generation.close()
    with pytest.raises(LibraryError, match="closed"):
        generation.passages([0])


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "There is no index" in refused(tmp_path / "none")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refused(tmp_path)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "holds no index" in refused(tmp_path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file")


def test_a_half_written_index_is_refused(index: Path) -> None:
    (index / "CURRENT").unlink()
    assert "unfinished" in refused(index)


@pytest.mark.parametrize("name", ["passages.sqlite", "vectors.npy", "tokens.npy", "token_offsets.npy", "manifest.json", "sparse"])
def test_a_missing_part_is_refused(index: Path, name: str) -> None:
    path = current(index) / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(index)


def test_a_flipped_byte_anywhere_is_refused(index: Path) -> None:
    files = [path for path in current(index).rglob("*") if path.is_file()]
    assert len(files) >= 6
    for path in files:
        raw = path.read_bytes()
        for position in (0, len(raw) // 2, len(raw) - 1):
            path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
            assert "changed since the build" in refused(index)
        path.write_bytes(raw)
    Generation.open(index, fingerprint=None).close()


def test_a_changed_pointer_is_refused(index: Path) -> None:
    for content in (b"", b"../../elsewhere\n", b"20250101T000000000000Z-0123456789abcdef\n", b"\xff\xfe"):
        (index / "CURRENT").write_bytes(content)
        assert "CURRENT" in refused(index)


@pytest.mark.parametrize("place", ["generations/{}/evil.pkl", "generations/{}/sparse/evil.pkl", "evil.pkl"])
def test_a_planted_pickle_is_refused_and_not_loaded(index: Path, place: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "pwned"),)

    (index / place.format(current(index).name)).write_bytes(pickle.dumps(Evil()))
    assert "evil.pkl" in refused(index)
    assert not (tmp_path / "pwned").exists()


def test_a_pickle_in_place_of_the_vectors_is_refused_and_not_loaded(index: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "pwned"),)

    np.save(current(index) / "vectors.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    refused(index)
    assert not (tmp_path / "pwned").exists()


def test_a_link_in_place_of_a_file_is_refused(index: Path) -> None:
    path = current(index) / "vectors.npy"
    path.rename(index.parent / "elsewhere.npy")
    path.symlink_to(index.parent / "elsewhere.npy")
    assert "not a plain file" in refused(index)


def test_another_encoders_vectors_are_refused(index: Path) -> None:
    assert "another encoder" in refused(index, fingerprint="2" * 64)


def test_another_format_is_refused(index: Path) -> None:
    path = current(index)
    manifest = json.loads((path / "manifest.json").read_text()) | {"format": 99}
    (path / "manifest.json").write_text(json.dumps(manifest))
    digest = __import__("hashlib").sha256((path / "manifest.json").read_bytes()).hexdigest()[:16]
    name = f"{path.name.partition('-')[0]}-{digest}"
    path.rename(path.parent / name)
    (index / "CURRENT").write_text(name)
    assert "format 99" in refused(index)


def test_a_read_only_folder_is_read(index: Path) -> None:
    with read_only(index), Generation.open(index, fingerprint=None) as generation:
        assert len(generation.passages([0, 1])) == 2


def test_a_read_only_folder_is_refused_for_a_build(index: Path, tmp_path: Path) -> None:
    encoder = HashEncoder()
    with read_only(index), pytest.raises(LibraryError, match="cannot be written") as caught:
        build([tmp_path / "books"], index, encoder)
    assert "\n" not in str(caught.value)


def test_an_open_generation_survives_the_next_build(index: Path, tmp_path: Path) -> None:
    with Generation.open(index, fingerprint=None) as old:
        before = old.passages([0])
        (tmp_path / "books" / "plato" / "new.txt").write_text("The sun is the child of the good.")
        build([tmp_path / "books" / "plato"], index, HashEncoder())
        assert old.passages([0]) == before
        assert old.vectors.shape[0] == old.manifest.passages
    assert len(list((index / "generations").iterdir())) == 2


def test_only_the_last_two_generations_are_kept(index: Path, tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "books" / "plato" / f"{number}.txt").write_text(f"Text number {number}.")
        build([tmp_path / "books" / "plato"], index, HashEncoder())
        assert len(list((index / "generations").iterdir())) == 2
        assert current(index).is_dir()
    assert not (index / "staging").exists()

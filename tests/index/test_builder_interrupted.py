"""A build may be killed, fail, or meet another one; nothing is lost and readers notice nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from guardrail.errors import LibraryError
from guardrail.index.builder import build
from guardrail.index.embedding import Pace, Piece, encode
from guardrail.index.generation import Generation
from guardrail.types import Encoding
from tests.index.hash_encoder import HashEncoder
from tests.index.stored import content

ROOT = Path(__file__).parents[2]

SLOW_BUILD = """
import sys
from pathlib import Path
from guardrail.index.builder import build
from guardrail.index.embedding import Pace
from tests.index.hash_encoder import HashEncoder
build([Path(sys.argv[1])], Path(sys.argv[2]), HashEncoder(seconds_a_batch=0.05), pace=Pace(batch=1, workers=1, checkpoint_seconds=0))
"""


def start(books: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(books), str(out)], env=environment)


def wait_for_checkpoints(process: subprocess.Popen[bytes], out: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(out.glob("staging/embedded-*/[0-9]*"))) < number:
        assert process.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_build_resumes_and_ends_with_the_same_vectors(books: Path, out: Path, tmp_path: Path) -> None:
    build([books], tmp_path / "uninterrupted", HashEncoder())
    expected = content(tmp_path / "uninterrupted")
    process = start(books, out)
    wait_for_checkpoints(process, out, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(LibraryError, match="unfinished"):
        Generation.open(out, fingerprint=None)
    encoder = HashEncoder()
    build([books], out, encoder)
    assert content(out) == expected
    assert len(expected.keys() & set(encoder.encoded)) <= len(expected) - 3
    assert not (out / "staging").exists()


def test_a_killed_update_leaves_the_old_generation_in_use(books: Path, out: Path) -> None:
    build([books / "0.txt"], out, HashEncoder())
    before = content(out)
    process = start(books, out)
    wait_for_checkpoints(process, out, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert content(out) == before
    build([books], out, HashEncoder())
    assert before.items() <= content(out).items()


def test_a_damaged_checkpoint_is_thrown_away(books: Path, out: Path, tmp_path: Path) -> None:
    process = start(books, out)
    wait_for_checkpoints(process, out, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for path in out.glob("staging/embedded-*/[0-9]*/vectors.npy"):
        path.write_bytes(path.read_bytes()[:-2] + b"\x12\x34")
    build([books], out, HashEncoder())
    build([books], tmp_path / "uninterrupted", HashEncoder())
    assert content(out) == content(tmp_path / "uninterrupted")


def test_a_build_that_fails_keeps_what_it_had_embedded(books: Path, out: Path) -> None:
    class Failing(HashEncoder):
        def encode(self, texts: Sequence[str], *, safety: bool = False) -> list[Encoding]:
            if len(self.encoded) >= 8:
                raise RuntimeError("the machine is on fire")
            return super().encode(texts)

    failing = Failing()
    with pytest.raises(RuntimeError, match="on fire"):
        build([books], out, failing, pace=Pace(batch=1, workers=1, checkpoint_seconds=0))
    encoder = HashEncoder()
    build([books], out, encoder)
    kept = content(out).keys() & set(failing.encoded)
    assert kept
    assert not kept & set(encoder.encoded)


def test_two_builders_cannot_write_at_once(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    process = start(books, out.with_name("other"))
    wait_for_checkpoints(process, out.with_name("other"), 1)
    try:
        with pytest.raises(LibraryError, match="Another build is writing"):
            build([books], out.with_name("other"), HashEncoder())
    finally:
        process.wait()
    assert content(out.with_name("other")) == content(out)


def test_readers_need_no_lock(books: Path, out: Path) -> None:
    build([books], out, HashEncoder())
    with FileLock(out / "lock"):
        assert len(content(out)) > 4


def test_stored_tokens_are_those_of_the_passage_whichever_way_they_came(books: Path, out: Path) -> None:
    build([books], out, HashEncoder(), pace=Pace(batch=3, workers=2, checkpoint_seconds=0))
    (books / "9.txt").write_text("One more book.")
    build([books], out, HashEncoder())
    encoder = HashEncoder()
    with Generation.open(out, fingerprint=None) as generation:
        pieces = [Piece(text, title, whole, questions=asked) for text, title, whole, asked in generation.pieces()]
        for row, embedding in enumerate(encode(encoder, pieces)):
            encoding = embedding.encoding
            np.testing.assert_array_equal(generation.vectors[row], encoding.vector.astype(np.float16))
            assert np.diff(generation.token_offsets)[row] == len(encoding.tokens)

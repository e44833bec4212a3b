"""Choices collected in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from guardrail.cli.collect import collect
from guardrail.finetune.data import rows
from guardrail.finetune.data.rows import Preference

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def _collected(body: Path, files: Path, out: Path, typed: str, rater: str = "anna") -> Result:
    return CliRunner().invoke(collect, [str(body), str(files / "prompts.jsonl"), "--out", str(out), "--rater", rater], input=typed)


def test_a_choice_is_kept_with_strength_rater_and_model(toy_body: Path, toy_files: Path, tmp_path: Path) -> None:
    result = _collected(toy_body, toy_files, tmp_path / "p.jsonl", "b3\nq\n")
    (row,) = rows.read(tmp_path / "p.jsonl", Preference)
    assert (row.strength, row.rater, len(row.model or "")) == (3, "anna", 64)
    assert f"b) {row.chosen}" in result.stdout


def test_what_was_chosen_before_is_not_asked_again(toy_body: Path, toy_files: Path, tmp_path: Path) -> None:
    _collected(toy_body, toy_files, tmp_path / "p.jsonl", "a\nb\nq\n")
    result = _collected(toy_body, toy_files, tmp_path / "p.jsonl", "a\nq\n")
    assert result.stderr.startswith("2 prompts are done.")
    assert len({row.id for row in rows.read(tmp_path / "p.jsonl", Preference)}) == 3


def test_another_rater_is_asked_from_the_beginning(toy_body: Path, toy_files: Path, tmp_path: Path) -> None:
    _collected(toy_body, toy_files, tmp_path / "p.jsonl", "a\nq\n")
    assert _collected(toy_body, toy_files, tmp_path / "p.jsonl", "q\n", rater="bert").stderr.startswith("0 prompts are done.")


def test_a_skipped_pair_and_an_unknown_key_write_nothing(toy_body: Path, toy_files: Path, tmp_path: Path) -> None:
    _collected(toy_body, toy_files, tmp_path / "p.jsonl", "s\nmaybe\nb7\nq\n")
    assert not (tmp_path / "p.jsonl").exists()


def test_the_end_of_the_input_ends_the_collection(toy_body: Path, toy_files: Path, tmp_path: Path) -> None:
    assert _collected(toy_body, toy_files, tmp_path / "p.jsonl", "a\n").exit_code == 0

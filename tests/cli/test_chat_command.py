"""`guardrail chat`: streamed, with commands, in a pipe and on a terminal."""

from __future__ import annotations

import os
import pty
import select
import time
from typing import TYPE_CHECKING

import pytest

from guardrail.prompts import load_personas
from tests.cli.conftest import Run, Upstream, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_each_line_of_a_pipe_is_answered_in_turn(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    result = run("chat", "--config", tmp_path / "upstream.yaml", stdin="What is virtue?\nhello\n")
    first, greeting = result.stdout.strip().split("\n\n")
    assert (result.exit_code, result.stderr) == (0, "")
    assert first == "Virtue is knowledge."
    assert greeting in load_personas()["plato"].lines.greeting


def test_the_conversation_goes_along_with_the_next_message(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    run("chat", "--config", tmp_path / "upstream.yaml", stdin="What is virtue?\nAnd what is knowledge, my friend?\n")
    said = [(message["role"], message["content"]) for message in upstream.asked[1] if message["role"] != "system"]
    assert said[0] == ("user", "What is virtue?")
    assert said[1] == ("assistant", "Virtue is knowledge.")
    assert "And what is knowledge, my friend?" in said[2][1]


def test_another_persona_begins_from_the_beginning(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    lines = "What is virtue?\n/persona Aristotle\n/sources\nWhat is the soul made of?\n"
    result = run("chat", "--config", tmp_path / "upstream.yaml", stdin=lines)
    assert result.stderr == "You are talking with Aristotle.\n"
    assert "There is no reply yet." in result.stdout
    assert not any(message["content"] == "What is virtue?" for message in upstream.asked[1])
    assert "Aristotle" in upstream.asked[1][0]["content"]


def test_quit_leaves_the_rest_unread(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    assert run("chat", "--config", tmp_path / "upstream.yaml", stdin="/quit\nWhat is virtue?\n").stdout == ""
    assert upstream.asked == []


def test_help_names_every_command(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    result = run("chat", "--config", tmp_path / "upstream.yaml", stdin="/help\n")
    assert all(command in result.stdout for command in ("/sources", "/why", "/persona", "/works", "/help", "/quit"))


@pytest.mark.parametrize("line", ["/nope", "/persona socrates", "/persona"])
def test_a_wrong_command_is_told_on_standard_error_and_a_pipe_ends_with_1(run: Run, upstream: Upstream, tmp_path: Path, line: str) -> None:
    result = run("chat", "--config", tmp_path / "upstream.yaml", stdin=f"{line}\nhello\n")
    assert result.exit_code == 1
    assert result.stderr.startswith("guardrail: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout.strip()


def test_a_message_that_cannot_be_answered_does_not_end_the_talk(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    result = run("chat", "--config", tmp_path / "upstream.yaml", stdin=f"{'x' * 20_000}\nWhat is virtue?\n")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "Virtue is knowledge." in result.stdout


def test_a_long_talk_forgets_its_beginning_instead_of_failing(run: Run, upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "upstream.yaml"
    config.write_text(config.read_text() + "limits: {turns: 4}\n")
    result = run("chat", "--config", config, stdin="What is virtue in question one?\n" * 5)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("Virtue is knowledge.") == 5


def test_sources_and_why_explain_the_last_reply(run: Run) -> None:
    lines = "What are the four causes?\n/sources\n/why\nhello\n/sources\n"
    result = run("chat", "--persona", "aristotle", stdin=lines)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  [1] Physics II 3" in result.stdout
    assert "as a statue is made of bronze" in result.stdout
    assert "answer, written by persona" in result.stdout
    assert "sentence 1: support 1.00 from aristotle.four-causes" in result.stdout
    assert "retrieval answerable" in result.stdout
    assert " ms" in result.stdout
    assert "The last reply rests on no passage." in result.stdout


def test_works_are_listed_chosen_and_set_free_again(run: Run) -> None:
    lines = "/works\n/works poetics, Rhetoric\n/works\n/works Iliad\n/works all\n/works\n"
    result = run("chat", "--persona", "aristotle", stdin=lines)
    listed = result.stdout.splitlines()
    third = len(listed) // 3
    assert "* Poetics" in listed[:third]
    assert not any("Republic" in line for line in listed)
    assert [line for line in listed[third : 2 * third] if line.startswith("*")] == ["* Poetics", "* Rhetoric"]
    assert listed[2 * third :] == listed[:third]
    assert result.stderr == "guardrail: There is no work 'Iliad' to answer from; /works lists them.\n"


def test_a_reply_is_shown_as_it_comes(upstream: Upstream, tmp_path: Path) -> None:
    upstream.go_on.clear()
    upstream.parts = ["Virtue is knowledge. ", "Nobody errs willingly."]
    with started("chat", "--config", tmp_path / "upstream.yaml") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"What is virtue?\n")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 9) == b"Virtue is"
        upstream.go_on.set()
        process.stdin.close()
        assert process.stdout.read().decode().strip().endswith("Nobody errs willingly.")


class Terminal:
    """A pseudo-terminal with the chat on it."""

    def __init__(self, config: Path) -> None:
        self._master, slave = pty.openpty()
        self.process = started("chat", "--config", config, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal)
        os.close(slave)
        self.screen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def until(self, text: str) -> None:
        """Read on until `text` stands on the screen."""
        deadline = time.monotonic() + 60
        while text not in self.screen:
            assert time.monotonic() < deadline, self.screen
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.screen += os.read(self._master, 4096).decode()
                except OSError:  # the other side has closed
                    break
        assert text in self.screen
        self.screen = self.screen.partition(text)[2]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(upstream: Upstream, tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "upstream.yaml")
    made.until("> ")
    yield made
    made.close()


def test_a_terminal_has_a_prompt_and_end_of_input_leaves(terminal: Terminal) -> None:
    terminal.type("What is virtue?\n")
    terminal.until("Virtue is knowledge.")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.process.wait(30) == 0


def test_ctrl_c_stops_the_reply_and_the_talk_goes_on(terminal: Terminal, upstream: Upstream) -> None:
    upstream.go_on.clear()
    upstream.parts = ["Virtue is knowledge. ", "Nobody errs willingly."]
    terminal.type("What is virtue?\n")
    terminal.until("Virtue is")
    terminal.type("\x03")
    terminal.until("Ctrl-C again leaves.")
    terminal.until("> ")
    upstream.go_on.set()
    terminal.type("And what is courage, Plato?\n")
    terminal.until("Nobody errs willingly.")
    terminal.type("/quit\n")
    assert terminal.process.wait(30) == 0
    assert len(upstream.asked[1]) == 2  # the stopped turn is not remembered


def test_ctrl_c_twice_leaves(terminal: Terminal) -> None:
    terminal.type("\x03")
    terminal.until("Ctrl-C again leaves.")
    terminal.until("> ")
    terminal.type("\x03")
    assert terminal.process.wait(30) == 0

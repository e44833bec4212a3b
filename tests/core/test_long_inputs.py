"""What reads text takes no time without end, whatever the text: what once took minutes or hours must be done at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

READERS = {
    "sentences": "from guardrail.sentences import spans; spans(text); spans(text, final=False)",
    "readings": "from guardrail.normal import normalise, readings; normalise(text); readings(text)",
    "personal_data": "from guardrail.rails.personal_data import cleared, find; find(text); cleared(text)",
    "planted": "from guardrail.rails.planted import PlantedRail; PlantedRail().find(text)",
    "control_tokens": "from guardrail.rails.control_tokens import ControlTokenRail; ControlTokenRail().find(text)",
    "keywords": "from guardrail.rails.keywords import KeywordRail; KeywordRail('output', phrases=['a b c', '1 1 1', 'aaaa b']).find(text)",
    "faults": "from guardrail.faults import FaultScanner; scanner = FaultScanner(language=None); scanner.push(text); scanner.push('', final=True)",
    "template": "from guardrail.prompts import escape; escape(text)",
}
"""Each given `text`."""
STRETCHES = (" ", "\t", "\n", "* ", "# ", "#", "-", ".", "a", "a ", "aA1", "AB ", "1 ", "1-", "+(1", "[1", " [", '"a', "<|a", "a@", "&#1", "=41", "é", "IX ")
LENGTH = 20_000


@pytest.mark.parametrize("name", READERS)
def test_no_text_is_read_without_end(name: str) -> None:
    program = f"for stretch in {STRETCHES!r}:\n text = (stretch * {LENGTH})[:{LENGTH}] + '!'\n {READERS[name]}"
    # A search that goes wrong does not stop for a thread or a timer: only another process can end it.
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)

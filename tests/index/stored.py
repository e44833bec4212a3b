"""What an index holds, for comparison."""

from __future__ import annotations

from pathlib import Path

from guardrail.index.generation import Generation


def content(out: Path) -> dict[str, tuple[bytes, bytes]]:
    """Vector and token states by passage text."""
    with Generation.open(out, fingerprint=None) as generation:
        offsets = generation.token_offsets
        return {
            text: (generation.vectors[row].tobytes(), generation.tokens[offsets[row] : offsets[row + 1]].tobytes())
            for row, text in enumerate(generation.texts())
        }

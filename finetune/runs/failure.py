"""Why a stage failed, in one sentence."""

from __future__ import annotations

import errno
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from guardrail.errors import GuardrailError

if TYPE_CHECKING:
    from pathlib import Path

TRACEBACK = "traceback.txt"


def sentence(error: BaseException, folder: Path) -> str:
    """What to tell of `error`, raised by the stage in `folder`; where only its traceback tells more, that is left in the folder."""
    if isinstance(error, GuardrailError):
        return str(error)
    text = str(error)
    if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "no space left on device" in text.lower():
        return f"The disk of {folder} is full: free some space and resume."
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return "The memory did not suffice: set a smaller micro_batch or max_length, turn gradient_checkpointing on, or use lora, and resume."
    if isinstance(error, ModuleNotFoundError):
        return f"The package {error.name} is missing: install guardrail-chat[finetune]."
    with suppress(OSError):
        (folder / TRACEBACK).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    lines = text.strip().splitlines()
    why = f": {lines[0].rstrip('.')}" if lines else ""
    return f"{type(error).__name__}{why}. Where it happened stands in {folder / TRACEBACK}."

"""Every way a command can end badly, told in one sentence on standard error."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from guardrail.errors import ConfigurationError, GuardrailError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

DEBUG_VARIABLE = "GUARDRAIL_DEBUG"
FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def guarded(command: Callable[[], object]) -> int:
    """Run `command` and return the exit code: what it returned, if that is a number, else 0, or what its failure stands for."""
    try:
        result = command()
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        _tell_click(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _leave_pipe()
        return FAILED
    except GuardrailError as error:
        tell(str(error))
        return MISUSED if isinstance(error, (ConfigurationError, InvalidRequest)) else FAILED
    except MemoryError:
        tell("The memory of this machine does not suffice for this; free some, or give it less at once.")
        return FAILED
    except Exception as error:  # noqa: BLE001 - whatever it is, a user is not shown a traceback that was not asked for
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        else:
            tell(f"This should not have happened ({type(error).__name__}); set {DEBUG_VARIABLE}=1 to see where, and please report it.")
        return FAILED


def tell(sentence: str) -> None:
    """One line on standard error."""
    click.echo(f"guardrail: {sentence}", err=True)


def _tell_click(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    sentence = " ".join(error.format_message().split())
    if sentence and sentence[-1] not in ".?!":
        sentence += "."
    context = error.ctx if isinstance(error, click.UsageError) else None
    tell(f"{sentence} See `{context.command_path} --help`." if context else sentence)


def _leave_pipe() -> None:
    """Whoever read our output has left: send the rest nowhere, or the interpreter complains as it ends."""
    with suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

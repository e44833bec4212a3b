"""How a training stage is started: in this process, or by `accelerate launch` (torchrun on CPUs) in several."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import filelock
import msgspec
import yaml

from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune.runs.manifest import LOCK, STAGES
from guardrail.finetune.stage import Interrupted

if TYPE_CHECKING:
    from guardrail.finetune.stage import StopSignal

SINGLE = "single"
FOLDER = Path(__file__).parents[1] / "launch"
OUTCOMES = "outcomes"
"""In a stage's folder: how each of its processes ended, in a folder named for the process that launched them."""
_WAIT_SECONDS = 120.0
"""For processes that a killed run has left behind."""
_POLL_SECONDS = 0.1


def named(name: str, *, folder: Path, place: str = "") -> str:
    """`single`, the name of a launch file of ours, or the absolute path of another, relative to `folder`. Raises ConfigurationError."""
    if name == SINGLE or (FOLDER / f"{name}.yaml").is_file():
        return name
    path = (folder / name).resolve()
    if not path.is_file():
        ours = ", ".join([SINGLE, *sorted(file.stem for file in FOLDER.glob("*.yaml"))])
        raise ConfigurationError(f"{place}: launch: there is no launch file '{name}': give {ours}, or the path of a file for `accelerate launch`.".lstrip(": "))
    return str(path)


def file(launch: str) -> Path:
    """The file that `accelerate launch` reads."""
    ours = FOLDER / f"{launch}.yaml"
    return ours if ours.is_file() else Path(launch)


def processes(launch: str) -> int:
    """How many train together. Raises ConfigurationError where the file does not say."""
    return 1 if launch == SINGLE else int(_settings(launch)["num_processes"])


def on_cpu(launch: str) -> bool:
    """Whether a launch file asks for processors."""
    return bool(_settings(launch).get("use_cpu"))


def _settings(launch: str) -> dict[str, Any]:
    path = file(launch)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: is no launch file: {str(error).splitlines()[0]}.") from None
    count = found.get("num_processes") if isinstance(found, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ConfigurationError(f"{path}: num_processes is missing: it is the number of processes that train together, on all machines.")
    return dict(found)


class Outcome(msgspec.Struct, frozen=True):
    """How one process of a stage ended."""

    status: Literal["done", "interrupted", "failed"]
    error: str | None = None


def launch(name: str, run: Path, stage: str, stop: StopSignal) -> None:
    """Run the stage in processes of their own, as the launch file `name` says, and wait for them.

    When `stop` is set, or this process is killed, they are asked to save and end. Raises what the first of them that did not end well says: Interrupted or
    FinetuneError.
    """
    folder = run / STAGES / stage
    try:
        with filelock.FileLock(folder / LOCK, timeout=_WAIT_SECONDS):  # those of a run that was killed may still be saving
            shutil.rmtree(folder / OUTCOMES, ignore_errors=True)
    except filelock.Timeout:
        raise FinetuneError(f"Processes of an earlier run still work on the stage '{stage}': end them and resume.") from None
    told = folder / OUTCOMES / str(os.getpid())
    process = subprocess.Popen(_command(name, run, stage), stdin=subprocess.PIPE, env=_environment(name), start_new_session=True)  # noqa: S603 - our own program
    assert process.stdin is not None
    try:
        while process.poll() is None:
            if stop.is_set:
                process.stdin.close()
            time.sleep(_POLL_SECONDS)
    finally:
        process.stdin.close()
        if process.poll() is None:  # somebody asked twice
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
    outcomes = [msgspec.json.decode(path.read_bytes(), type=Outcome) for path in sorted(told.glob("*.json"))]
    for outcome in outcomes:
        if outcome.status == "failed":
            raise FinetuneError(outcome.error or "It failed.")
    interrupted = [outcome for outcome in outcomes if outcome.status == "interrupted"]
    if interrupted or (stop.is_set and len(outcomes) < processes(name)):
        raise Interrupted(interrupted[0].error or "" if interrupted else "")
    if process.returncode or len(outcomes) < processes(name):
        raise FinetuneError(f"A process of the stage ended without a word (exit code {process.returncode}): what it printed stands above; was it killed?")


def _command(name: str, run: Path, stage: str) -> list[str]:
    module = ["-m", "guardrail.finetune.stages", str(run), stage, str(os.getpid())]
    if on_cpu(name) and processes(name) > 1:  # `accelerate launch` starts several processes on CPUs through MPI only
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes(name)), *module]
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file(name)), *module]


def _environment(name: str) -> dict[str, str]:
    more = {"ACCELERATE_USE_CPU": "true"} if on_cpu(name) else {}
    threads = {} if "OMP_NUM_THREADS" in os.environ or not on_cpu(name) else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes(name)))}
    return os.environ | more | threads

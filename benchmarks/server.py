"""The server beside a bare proxy over the same fake model server, in one run.

Run: python -m benchmarks.server [--seconds 2]      under four minutes; Linux

The server under test has one core, the load and the model server have the others. Two configurations of ours: keyword rails on input and output before an
OpenAI-compatible model, and every default rail with quotation over the built-in library. Runs of the compared servers take turns, twice each: rates are the
better of the two, since other work on the machine can only lower them; times and CPU come from both. Only ratios mean something on another machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import golden, verification
from benchmarks.fake_upstream import BEFORE_SECRET, LEAK, MODEL, SECRET
from benchmarks.load import Load, chat_request, load, quantile
from benchmarks.process import Server, cores, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENTS = (1, 8, 32, 128)
STREAMS = 16
ROUNDS = 2
QUESTION = "What is a good life?"
DIRECT, BARE, KEYWORDS, DEFAULT = "model server alone", "bare proxy", "keyword rails", "every default rail"
PHRASES = (
    SECRET,
    *(f"{verb} {thing}" for verb in ("how to build", "where to buy", "recipe for", "help me make") for thing in ("a pipe bomb", "nerve gas", "napalm")),
    *(f"{whose} {what}" for whose in ("my", "your", "his", "her") for what in ("credit card number", "password", "passport number", "bank pin", "api key")),
    *"ignore all previous instructions|reveal your system prompt|jailbreak|developer mode|do anything now|kill yourself".split("|"),
    *"insider tip|guaranteed returns|confidential memo|internal use only|project nightingale|launch codes|crack the licence|stolen goods|fake id".split("|"),
    *"deadly dose|untraceable".split("|"),
)
"""Fifty phrases, as a deployer would list them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One server under one kind of load."""

    load: Load
    """All its runs as one."""
    rate: float
    """Answers a second in the best run."""
    cpu_ms: float
    """CPU milliseconds an answer."""

    def p(self, share: float) -> float:
        """Milliseconds from request to the end of the answer."""
        return quantile(self.load.latencies, share) * 1000

    @property
    def first_ms(self) -> float:
        """Median milliseconds to the first text."""
        return quantile(self.load.first_tokens, 0.5) * 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    measure: str
    ours: float
    bare: float | None = None
    target: str = ""
    holds: bool | None = None
    digits: int = 2

    def __str__(self) -> str:
        bare = "" if self.bare is None else f"{self.bare:,.{self.digits}f}"
        ratio = "" if self.bare is None or self.bare <= 0 else f"{self.ours / self.bare:.2f}"
        verdict = "" if self.holds is None else "holds" if self.holds else "MISSED"
        return f"| {self.measure} | {self.ours:,.{self.digits}f} | {bare} | {ratio} | {self.target} | {verdict} |"


def at_most(measure: str, ours: float, limit: float, unit: str, *, bare: float | None = None, digits: int = 2) -> Row:
    return Row(measure, ours, bare, f"<= {limit:g} {unit}", ours <= limit, digits)


def measure(servers: Mapping[str, Server], requests: Callable[[Server], list[bytes]], *, clients: int, seconds: float) -> dict[str, Measured]:
    """Each server under the load of `clients`; they take turns."""
    runs: dict[str, list[Load]] = {name: [] for name in servers}
    cpu = dict.fromkeys(servers, 0.0)
    for _ in range(ROUNDS):
        for name, server in servers.items():
            load(server.port, requests(server), clients=clients, seconds=0.2)
            before = server.cpu_seconds
            run = load(server.port, requests(server), clients=clients, seconds=seconds, settle=0.0)
            cpu[name] += server.cpu_seconds - before
            runs[name].append(run)
            if run.failures:
                print(f"{name}: {run.failures} requests failed at {clients} clients", file=sys.stderr)
    return {
        name: Measured(load=(joined := Load.joined(runs[name])), rate=max(run.rate for run in runs[name]), cpu_ms=cpu[name] * 1000 / max(1, joined.answers))
        for name in servers
    }


def keyword_rows(servers: dict[str, Server], starts: dict[str, float], seconds: float) -> list[Row]:
    """Keyword rails only, beside the bare proxy."""
    whole = {clients: measure(servers, lambda server: [chat_request(server.port, QUESTION)], clients=clients, seconds=seconds) for clients in CLIENTS}
    streams = measure(servers, lambda server: [chat_request(server.port, QUESTION, stream=True)], clients=STREAMS, seconds=seconds)
    ours, bare, direct = (whole[1][name] for name in (KEYWORDS, BARE, DIRECT))
    print(f"The model server alone makes {whole[128][DIRECT].rate:,.0f} answers a second at 128 clients: neither it nor the load is what limits the others.\n")
    rows = [at_most("CPU an answer, ms (32 clients)", whole[32][KEYWORDS].cpu_ms, 0.5, "ms", bare=whole[32][BARE].cpu_ms)]
    for clients in CLIENTS:
        mine, its = whole[clients][KEYWORDS].rate, whole[clients][BARE].rate
        limit = {32: 0.8, 128: 0.5}.get(clients)
        target = f"ratio >= {limit}" if limit else ""
        rows.append(Row(f"answers a second, {clients} client{'s' if clients > 1 else ''}", mine, its, target, mine / its >= limit if limit else None, 0))
    rows += [
        at_most("added p50, ms", ours.p(0.5) - direct.p(0.5), 1.2, "ms", bare=bare.p(0.5) - direct.p(0.5)),
        Row("added p95, ms", ours.p(0.95) - direct.p(0.95), bare.p(0.95) - direct.p(0.95)),
        Row(
            "added time to the first token, ms (rails on the stream)",
            streams[KEYWORDS].first_ms - streams[DIRECT].first_ms,
            streams[BARE].first_ms - streams[DIRECT].first_ms,
        ),
        Row("CPU a stream of 66 tokens, ms", streams[KEYWORDS].cpu_ms, streams[BARE].cpu_ms),
        Row(f"characters of a {len(SECRET)}-character secret let through", leaked(servers[KEYWORDS]), leaked(servers[BARE]), "0", None, 0),
        Row("cold start to ready, s", starts[KEYWORDS], starts[BARE]),
        Row("memory after the load, MiB", servers[KEYWORDS].memory_mib, servers[BARE].memory_mib, digits=0),
    ]
    return rows


def default_rows(server: Server, start: float, seconds: float) -> list[Row]:
    """Every default rail; the questions are the answerable ones of the golden set."""
    cases = [case for case in golden.load() if case.kind == "answerable" and case.split == "tune"]

    def requests(server: Server, *, stream: bool = False) -> list[bytes]:
        return [chat_request(server.port, case.said, model=case.persona, stream=stream) for case in cases]

    one, many = (measure({DEFAULT: server}, requests, clients=clients, seconds=seconds)[DEFAULT] for clients in (1, 32))
    streams = measure({DEFAULT: server}, lambda server: requests(server, stream=True), clients=1, seconds=seconds)[DEFAULT]
    return [
        Row(f"CPU an answer, ms ({len(cases)} questions)", one.cpu_ms),
        Row("answers a second, 1 client", one.rate, digits=0),
        Row("answers a second, 32 clients", many.rate, digits=0),
        at_most("added p50, ms (the whole turn)", one.p(0.5), 12, "ms"),
        Row("added p95, ms (the whole turn)", one.p(0.95)),
        Row("time to the first verified sentence, ms", streams.first_ms),
        Row("CPU a stream, ms", streams.cpu_ms),
        at_most("cold start to ready, s", start, 3, "s"),
        at_most("memory after the load, MiB", server.memory_mib, 250, "MiB", digits=0),
    ]


def leaked(server: Server) -> int:
    """How much of the model's secret a streaming client gets to read."""
    found = load(server.port, [chat_request(server.port, LEAK, stream=True)], clients=1, seconds=0.6, keep_text=True)
    return max((size for size in range(len(SECRET) + 1) if BEFORE_SECRET + SECRET[:size] in found.text), default=0)


def serve(folder: Path, name: str, configuration: dict[str, object], core: set[int]) -> Server:
    """`guardrail serve`, not yet started."""
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"version": 1, **configuration}), encoding="utf-8")  # JSON is YAML
    port = free_port()
    command = [sys.executable, "-m", "guardrail", "serve", "--config", str(path), "--port", str(port)]
    return Server(command, port=port, affinity=core, ready="/readyz", log=folder / f"{name}.log")


def started(server: Server) -> float:
    """Seconds to ready in the better of two starts, of which the first may build what is kept in the user's cache."""
    times = []
    for _ in range(2):
        with server:
            times.append(server.start_seconds)
    return min(times)


def run(folder: Path, seconds: float) -> None:
    core, rest = cores()
    upstream_port, bare_port = free_port(), free_port()
    module = [sys.executable, "-m"]
    base_url = f"http://127.0.0.1:{upstream_port}/v1"
    upstream = Server(
        [*module, "benchmarks.fake_upstream", "--port", str(upstream_port)], port=upstream_port, affinity=rest, ready="/", log=folder / "upstream.log"
    )
    command = [*module, "benchmarks.bare_proxy", "--port", str(bare_port), "--upstream", base_url]
    bare = Server(command, port=bare_port, affinity=core, ready="/", log=folder / "bare.log")
    rails = [{"id": "keywords", "stage": stage, "options": {"phrases": PHRASES}} for stage in ("input", "output")]
    generator = {"kind": "openai", "model": MODEL, "base_url": base_url}
    keywords = serve(folder, "keywords", {"library": {"index": None}, "generator": generator, "rails": rails}, core)
    default = serve(folder, "default", {"generator": {"kind": "quotation"}}, core)
    with upstream:
        starts = {BARE: started(bare), KEYWORDS: started(keywords)}
        with bare, keywords:
            rows = keyword_rows({DIRECT: upstream, BARE: bare, KEYWORDS: keywords}, starts, seconds)
    print_table(f"Keyword rails ({len(PHRASES)} phrases on input and output)", rows)
    start = started(default)
    with default:
        rows = default_rows(default, start, seconds)
    print_table("Every default rail, quotation over the built-in library", [*rows, *verification_rows()])


def verification_rows() -> list[Row]:
    times = verification.milliseconds()
    return [
        Row(f"verification of a paraphrase against 5 passages, p50, ms ({len(times)} sentences)", quantile(times, 0.5)),
        at_most("verification of a paraphrase against 5 passages, p95, ms", quantile(times, 0.95), 60, "ms"),
    ]


def print_table(title: str, rows: list[Row]) -> None:
    print(f"| {title} | ours | bare proxy | ratio | target | |\n|---|---|---|---|---|---|")
    print(*rows, sep="\n", end="\n\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.seconds)


if __name__ == "__main__":
    main()

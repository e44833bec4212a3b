"""Everything that `make bench` measures: the server beside a bare proxy, then retrieval, then the golden set.

Run: python -m benchmarks
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WIKI = Path(__file__).parent.parent.parent / "shared" / "data" / "retrieval_wiki"


def main() -> None:
    parts = [["benchmarks.server"], ["benchmarks.retrieval", "--data", str(WIKI)], ["benchmarks.golden"]]
    for part in parts:
        if part[0] == "benchmarks.retrieval" and not WIKI.is_dir():
            print(f"There is no {WIKI}: retrieval is not measured.\n")
            continue
        print(f"## {part[0]}\n", flush=True)
        if subprocess.run([sys.executable, "-m", *part], check=False).returncode:
            print(f"{part[0]} could not be measured; the reason stands above.\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

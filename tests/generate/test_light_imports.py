"""What importing the backends loads."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_backends_loads_no_torch_and_no_transformers() -> None:
    code = """
import sys
import guardrail.generate.numpy_engine, guardrail.generate.openai, guardrail.generate.quotation, guardrail.generate.recital, guardrail.generate.transformers
print(sorted({"torch", "transformers", "peft", "onnxruntime", "faiss"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""Does a guarded stream hold? Plays a model that says a forbidden text in every way, behind any OpenAI-compatible server, and measures what gets out."""

from guardrail.probe.report import Disagreement, Exposure, Report, Timing, report_object
from guardrail.probe.stream import Target, probe_stream

__all__ = ["Disagreement", "Exposure", "Report", "Target", "Timing", "probe_stream", "report_object"]

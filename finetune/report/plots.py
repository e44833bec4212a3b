"""Curves as SVG that takes its colours from the page it stands in."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail.finetune.stage import Curve

_INK, _RULE = "#010203", "#010204"
_LINES = tuple(f"#0102{number:02x}" for number in range(0x10, 0x16))
_COLOURS = {_INK: "currentColor", _RULE: "var(--rule)"} | {colour: f"var(--line-{number})" for number, colour in enumerate(_LINES, start=1)}
"""What is drawn in the first is shown in the second."""


def svg(curves: Sequence[Curve], *, name: str, width: float = 5.0, height: float = 3.0) -> str:
    """One plot of curves that share their axes, as an `<svg>` element; `name` tells it from the others of its page."""
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": name,
            "text.parse_math": False,
            "font.size": 10,
            "font.family": "sans-serif",
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.add_subplot()
        for number, curve in enumerate(curves):
            points = [(x, y) for x, y in zip(curve.x, curve.y, strict=False) if math.isfinite(x) and math.isfinite(y)]
            marker = "o" if len(points) < 25 else None
            label = curve.name or f"curve {number + 1}"
            axes.plot(*zip(*points, strict=True), color=_LINES[number % len(_LINES)], label=label, linewidth=1.6, marker=marker, markersize=3.5)
        axes.set(xlabel=curves[0].x_name, ylabel=curves[0].y_name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_RULE, linewidth=0.6)
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=9)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call] # untyped in the library
    return _themed(file.getvalue())


def drawable(curve: Curve) -> bool:
    """Whether there is a line to draw."""
    return sum(math.isfinite(x) and math.isfinite(y) for x, y in zip(curve.x, curve.y, strict=False)) > 1


def _themed(drawn: str) -> str:
    element = drawn[drawn.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(<svg\b[^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", element, count=2)
    element = re.sub(r'<g id="patch_1">.*?</g>|<g id="patch_2">.*?</g>', "", element, count=2, flags=re.DOTALL)  # the two white backgrounds
    return re.sub("|".join(_COLOURS), lambda match: _COLOURS[match.group()], element)

"""The picture for everyone: how many VMIs each group fits on a node, and how many of them live through the load."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from harness.report.canvas import AVAIL, DEATH, FAINT, INK, svg_of
from harness.report.compare.metrics import values_of
from harness.report.compare.table import Comparison
from harness.report.felt import microseconds
from harness.report.text import clean, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL = "How many VMIs fit on the node, and how many of them survive the load"
_WIDTH = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One group: means over its runs."""

    name: str
    fit: float
    survive: float
    p99: float | None
    """Touch latency, ns."""
    n: int

    @property
    def lost(self) -> float:
        """How many that fit did not survive, 0 where it is next to nothing."""
        lost = self.fit - self.survive
        return lost if lost > 0.005 else 0.0


def bars(comparison: Comparison) -> tuple[Bar, ...]:
    """Return the groups in which both were counted: most survivors first, the reference wherever it stands."""
    found = []
    for group in comparison.groups:
        fit, survive = values_of(group.runs, "fit"), values_of(group.runs, "survive")
        if not fit or not survive:
            continue
        p99 = values_of(group.runs, "touch-p99")
        found.append(
            Bar(
                name=group.name,
                fit=fmean(fit),
                survive=fmean(survive),
                p99=fmean(p99) if p99 else None,
                n=len(fit),
            )
        )
    return tuple(sorted(found, key=lambda bar: (-bar.survive, -bar.fit, bar.name)))


def draw_bars(comparison: Comparison) -> str:
    """Return the picture as an `<svg>`, or '' where fewer than two groups have both counts."""
    shown = bars(comparison)
    if len(shown) < 2:
        return ""

    def draw(figure: Figure) -> None:
        _draw(figure.subplots(), shown)

    height = 1.2 + sum(0.16 + 0.18 * len(_wrapped(bar.name)) for bar in shown)
    return svg_of(draw, size=(10.0, height), label=LABEL, prefix="b")


def _wrapped(name: str) -> list[str]:
    return [clean(part, most=48) for part in textwrap.wrap(name.replace("+", " + "), _WIDTH)] or [""]


def _draw(axis: Axes, shown: Sequence[Bar]) -> None:
    places: list[float] = []
    at = 0.0
    for bar in shown:
        size = 0.16 + 0.18 * len(_wrapped(bar.name))
        places.append(at + size / 2)
        at += size
    axis.barh(
        places,
        [bar.survive for bar in shown],
        height=0.2,
        color=AVAIL,
        label="survive the load (mean of the runs)",
    )
    lost = [(place, bar) for place, bar in zip(places, shown, strict=True) if bar.lost]
    if lost:
        axis.barh(
            [place for place, _ in lost], [bar.lost for _, bar in lost], left=[bar.survive for _, bar in lost],
            height=0.2, facecolor="none", edgecolor=DEATH, hatch="////", linewidth=0.8,
            label="fit, and are evicted or killed",
        )  # fmt: skip
    for place, bar in zip(places, shown, strict=True):
        axis.annotate(
            _said(bar), (max(bar.fit, bar.survive), place), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=8, color=INK,
        )  # fmt: skip
    axis.set_yticks(places, ["\n".join(_wrapped(bar.name)) for bar in shown])
    axis.set_ylim(at, 0)
    axis.set_xlim(0, max(bar.fit for bar in shown) * 1.42)
    axis.set_xlabel("VMIs on the node")
    axis.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, fontsize=8, frameon=False
    )
    axis.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)


def _said(bar: Bar) -> str:
    parts = [f"{number(round(bar.fit, 2))} fit"]
    if bar.lost:
        parts.append(f"{number(round(bar.survive, 2))} survive")
    if bar.p99 is not None:
        parts.append(f"p99 {microseconds(bar.p99)}")
    return ", ".join(parts)

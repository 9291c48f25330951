"""The Pareto picture: density gained against risk, with slowdown written beside each point."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from harness.report.canvas import AVAIL, FAINT, INK, svg_of
from harness.report.compare.metrics import Observation, values_of
from harness.report.compare.statistics import summarize
from harness.report.compare.table import Comparison
from harness.report.text import clean, number
from harness.units import MIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One group in the picture."""

    name: str
    density: float
    """Guest memory sold per GiB of node, MiB."""
    density_bounds: tuple[float, float]
    risk: float
    """Share of VMIs that were taken away, in per cent."""
    risk_bounds: tuple[float, float]
    slowdown: float | None
    """Touch latency p99 as a multiple of the reference's."""
    n: int
    front: bool
    """No other group has more density at no more risk."""


def points(comparison: Comparison) -> tuple[Point, ...]:
    """Return the groups that have both a density and a risk."""
    reference = next(g for g in comparison.groups if g.reference)
    slow = values_of(reference.runs, "touch-p99")
    found = []
    for group in comparison.groups:
        density = summarize([v / MIB for v in values_of(group.runs, "sold-per-gib")])
        risk = summarize([100 * r for run in group.runs if (r := run.risk) is not None])
        if density is None or risk is None:
            continue
        found.append(
            Point(
                name=group.name,
                density=density.mean,
                density_bounds=_bounds(density.mean, density.low, density.high),
                risk=risk.mean,
                risk_bounds=_bounds(risk.mean, risk.low, risk.high),
                slowdown=_slowdown(group.runs, slow),
                n=density.n,
                front=False,
            )
        )
    return tuple(
        Point(
            **{name: getattr(p, name) for name in p.__dataclass_fields__ if name != "front"},
            front=not any(
                q.density >= p.density and q.risk <= p.risk and (q.density > p.density or q.risk < p.risk)
                for q in found
            ),
        )
        for p in found
    )


def _bounds(mean: float, low: float | None, high: float | None) -> tuple[float, float]:
    return (mean if low is None else low, mean if high is None else high)


def _slowdown(runs: Sequence[Observation], reference: Sequence[float]) -> float | None:
    mine = values_of(runs, "touch-p99")
    return fmean(mine) / fmean(reference) if mine and reference and fmean(reference) > 0 else None


def draw_pareto(comparison: Comparison) -> str:
    """Return the picture as an `<svg>`, or '' where fewer than two groups have both coordinates."""
    shown = points(comparison)
    if len(shown) < 2:
        return ""

    def draw(figure: Figure) -> None:
        _draw(figure.subplots(), shown)

    return svg_of(draw, size=(10.0, 1.2 + max(4.0, 0.46 * len(shown))), label="Density against risk")


def _draw(axis: Axes, shown: Sequence[Point]) -> None:
    front = sorted((p for p in shown if p.front), key=lambda p: p.risk)
    axis.plot(
        [p.risk for p in front], [p.density for p in front], color=AVAIL, linewidth=1, linestyle="--",
        label="not beaten by any other: more density at no more risk", drawstyle="steps-post",
    )  # fmt: skip
    for point in shown:
        colour = AVAIL if point.front else FAINT
        axis.plot(point.risk_bounds, [point.density] * 2, color=colour, linewidth=1)
        axis.plot([point.risk] * 2, point.density_bounds, color=colour, linewidth=1)
        axis.plot(
            [point.risk],
            [point.density],
            marker="o" if point.front else "s",
            color=colour,
            markersize=6,
            linestyle="none",
        )
    width = max((p.risk_bounds[1] for p in shown), default=0.0) or 10.0
    axis.set_xlim(-0.06 * width, width * 1.06)
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom - 0.1 * (top - bottom), top + 0.1 * (top - bottom))
    _label(axis, shown)
    axis.set_xlabel("risk: share of the VMIs that fit and were evicted or killed for memory (%)")
    axis.set_ylabel("guest memory sold per GiB of node (MiB)")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, fontsize=8, frameon=False)
    axis.grid(color=FAINT, alpha=0.2, linewidth=0.6)


def _label(axis: Axes, shown: Sequence[Point]) -> None:
    """Number the points, those of one place together, and say beside the picture who they are."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    places: list[list[int]] = []
    for index, point in enumerate(shown):
        for place in places:
            near = shown[place[0]]
            apart = (
                abs(point.risk - near.risk) / (right - left),
                abs(point.density - near.density) / (top - bottom),
            )
            if apart[0] < 0.03 and apart[1] < 0.05:
                place.append(index)
                break
        else:
            places.append([index])
    for place in places:
        point = min((shown[index] for index in place), key=lambda p: p.density)
        axis.annotate(
            ", ".join(str(index + 1) for index in place),
            (point.risk, point.density),
            xytext=(6, 6 if len(place) == 1 else -14),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            color=INK,
        )
    key = "\n".join(f"{index}  {_named(point)}" for index, point in enumerate(shown, start=1))
    axis.annotate(
        key, (1, 1), xycoords="axes fraction", xytext=(14, 0), textcoords="offset points",
        va="top", ha="left", fontsize=8, color=INK, linespacing=1.6, annotation_clip=False,
    )  # fmt: skip


def _named(point: Point) -> str:
    parts = [clean(part, most=48) for part in textwrap.wrap(point.name.replace("+", " + "), 34)]
    slow = "" if point.slowdown is None else f", p99 ×{number(round(point.slowdown, 2))}"
    return "\n     ".join(parts) + f"\n     n = {point.n}{slow}"

"""The Pareto picture: density gained against risk, with slowdown written beside each point."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from harness.report.canvas import AVAIL, FAINT, INK, svg_of
from harness.report.compare.metrics import Observation, values_of
from harness.report.compare.statistics import Summary, summarize
from harness.report.compare.table import Comparison
from harness.report.text import clean
from harness.units import MIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHARACTER, _LINE = 0.0078, 0.032
"""Width of a character and height of a line as shares of the picture, rather too large than too small."""


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
                density_bounds=_bounds(density),
                risk=risk.mean,
                risk_bounds=_bounds(risk),
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


def _bounds(summary: Summary) -> tuple[float, float]:
    """The 95 % interval, or from the least to the greatest of too few runs for one."""
    if summary.low is None or summary.high is None:
        return min(summary.values), max(summary.values)
    return summary.low, summary.high


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

    return svg_of(draw, size=(10.0, 5.6), label="Density against risk")


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
    """Number the points, those of one place together, with their names where there is room for them.

    The page lists them by number below the picture.
    """
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()

    def at(point: Point) -> tuple[float, float]:
        return (point.risk - left) / (right - left), (point.density - bottom) / (top - bottom)

    places: list[list[int]] = []
    for index, point in enumerate(shown):
        x, y = at(point)
        for place in places:
            other = at(shown[place[0]])
            if abs(x - other[0]) < 0.03 and abs(y - other[1]) < 0.05:
                place.append(index)
                break
        else:
            places.append([index])
    taken = [(*at(point), *at(point)) for point in shown]
    for place in sorted(places, key=lambda place: -at(shown[place[0]])[1]):
        named = [f"{i + 1} {clean(shown[i].name.replace('+', ' + '), most=60)}" for i in place]
        x, y = at(shown[place[0]])
        late = x > 0.55
        numbers = [", ".join(str(i + 1) for i in place)]
        for lines in (named, textwrap.wrap(", ".join(named), 64), numbers):
            wide, high = max(map(len, lines)) * _CHARACTER, len(lines) * _LINE
            box = (
                x - wide - 0.02 if late else x + 0.005,
                y - high / 2,
                x - 0.005 if late else x + wide + 0.02,
                y + high / 2,
            )
            if lines is numbers or (
                box[0] >= 0 and box[2] <= 1.02 and not any(_meets(box, b) for b in taken)
            ):
                break
        taken.append(box)
        axis.annotate(
            "\n".join(lines), (x, y), xycoords="axes fraction", xytext=(-9 if late else 9, 0),
            textcoords="offset points", fontsize=8, color=INK, ha="right" if late else "left", va="center",
        )  # fmt: skip


def _meets(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

"""The picture of a curve: a bar for each group at each setting, what survives and what was lost."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from harness.report.canvas import AVAIL, DEATH, FAINT, INK, svg_of
from harness.report.compare.curve import Curve
from harness.report.text import clean, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL = "How many VMIs fit on the node, and how many survive, setting by setting"
_WIDTH = 28
_COLUMN = 1.55
"""Distance of two columns, as a multiple of the longest bar: room for `10.33 of 11` behind it."""
_HIGH = 0.3


def draw_grid(curve: Curve) -> str:
    """Return the picture as an `<svg>`, or '' where there is one setting only, or nobody was counted."""
    longest = max((row.fit or 0.0 for row in curve.rows), default=0.0)
    if not curve.several or longest <= 0:
        return ""

    def draw(figure: Figure) -> None:
        _draw(figure.subplots(), curve, longest)

    height = 0.75 + sum(map(_size, (row.name for row in curve.rows)))
    return svg_of(draw, size=(10.0, height), label=LABEL, prefix="g")


def _wrapped(name: str) -> list[str]:
    return [clean(part, most=48) for part in textwrap.wrap(name.replace("+", " + "), _WIDTH)] or [""]


def _size(name: str) -> float:
    return 0.16 + 0.17 * max(len(_wrapped(name)), 1)


def _draw(axis: Axes, curve: Curve, longest: float) -> None:
    step = longest * _COLUMN
    places: list[float] = []
    at = 0.0
    for row in curve.rows:
        size = _size(row.name)
        places.append(at + size / 2)
        at += size
    labels = {"survive": "survive (mean of the runs)", "lost": "fit, and are evicted or killed"}
    for place, row in zip(places, curve.rows, strict=True):
        for column, cell in enumerate(row.cells):
            left = column * step
            if cell is None or not cell.counted:
                axis.annotate(
                    "no run" if cell is None else "not counted",
                    (left, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7, color=FAINT,
                )  # fmt: skip
                continue
            fit, survive = cell.mean("fit") or 0.0, cell.mean("survive") or 0.0
            axis.barh(
                [place], [survive], left=[left], height=_HIGH * 0.55, color=AVAIL, label=labels.pop("survive", None)
            )  # fmt: skip
            said = number(round(fit, 2))
            if cell.lost:
                axis.barh(
                    [place], [cell.lost], left=[left + survive], height=_HIGH * 0.55, facecolor="none", edgecolor=DEATH,
                    hatch="////", linewidth=0.8, label=labels.pop("lost", None),
                )  # fmt: skip
                said = f"{number(round(survive, 2))} of {said}"
            axis.annotate(
                said, (left + max(fit, survive), place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
                color=INK,
            )  # fmt: skip
    for column, setting in enumerate(curve.settings):
        axis.axvline(column * step, color=FAINT, linewidth=0.8)
        axis.annotate(
            clean(setting or "no setting", most=24), (column * step, 0), xytext=(0, 4), textcoords="offset points",
            va="bottom", ha="left", fontsize=9, fontweight="bold", color=INK, annotation_clip=False,
        )  # fmt: skip
    axis.set_yticks(places, ["\n".join(_wrapped(row.name)) for row in curve.rows])
    axis.set_ylim(at, 0)
    axis.set_xlim(0, len(curve.settings) * step)
    axis.set_xticks([])
    axis.tick_params(axis="y", length=0)
    axis.spines["bottom"].set_visible(False)
    axis.spines["left"].set_visible(False)
    axis.legend(
        loc="upper left", bbox_to_anchor=(0, 0), ncols=2, borderaxespad=0.3, fontsize=8, frameon=False
    )

"""The timeline picture: node availability against thresholds, each guest's held bytes, its pod, its request, markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness.report.canvas import (
    AVAIL,
    DEATH,
    EVENT,
    FAINT,
    HARD,
    HELD,
    INK,
    PAPER,
    REQUEST,
    SOFT,
    WS,
    svg_of,
)
from harness.report.crowd import CrowdLane, chosen_few, sums
from harness.report.text import clean
from harness.report.timeline import GAP, GuestLane, Mark, NodeLane, Series, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_GUESTS = 16
"""Guests drawn each in a lane of its own; of more, `DRAWN` and one lane with the sums of all."""
DRAWN = 8
MAX_NODES = 8
_CHARACTER = 0.0066
"""Width of a character of a mark's label as a share of the lane, rather too wide than too narrow."""
_LONGEST = 80
"""Characters of a line of marks' labels."""
_ROWS = (7, -8, -17, -26)
"""Points above the marks at which labels begin: above them, or below them where another label is in the way."""

_MARKERS = {
    "evicted": ("v", DEATH),
    "oom": ("X", DEATH),
    "bye": ("s", EVENT),
    "sigterm": ("<", EVENT),
    "power": ("^", EVENT),
    "phase": ("|", INK),
    "pod": ("|", INK),
    "gone": ("x", INK),
    "condition": ("D", SOFT),
}


def draw_timeline(timeline: Timeline) -> str:
    """Return the picture as an `<svg>` element, or '' when nothing was sampled."""
    guests, crowd = chosen(timeline)
    nodes = timeline.nodes[:MAX_NODES]
    lanes: list[NodeLane | GuestLane | CrowdLane] = [*nodes, *([crowd] if crowd else []), *guests]
    if not lanes or timeline.end <= 0:
        return ""

    def draw(figure: Figure) -> None:
        _draw(figure, timeline, nodes=nodes, crowd=crowd, guests=guests)

    ratios = sum(_ratio(lane) for lane in lanes)
    return svg_of(draw, size=(10, 0.75 + 0.95 * ratios), label="Timeline of the run")


def _ratio(lane: NodeLane | GuestLane | CrowdLane) -> float:
    return 1.15 if isinstance(lane, GuestLane) else 2.2


def _draw(
    figure: Figure,
    timeline: Timeline,
    *,
    nodes: Sequence[NodeLane],
    crowd: CrowdLane | None,
    guests: Sequence[GuestLane],
) -> None:
    lanes: list[NodeLane | GuestLane | CrowdLane] = [*nodes, *([crowd] if crowd else []), *guests]
    heights = [_ratio(lane) for lane in lanes]
    column = figure.subplots(
        len(lanes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    axes: list[Axes] = list(column[:, 0])
    top = max(
        [s.top for g in guests for s in (g.held, g.working_set)] + [g.request or 0 for g in guests],
        default=1,
    )
    for axis, lane in zip(axes, lanes, strict=True):
        if isinstance(lane, NodeLane):
            _node(axis, lane, timeline.end)
        elif isinstance(lane, CrowdLane):
            _crowd(axis, lane)
        else:
            _guest(axis, lane, top, timeline.end)
        _actions(axis, timeline.actions, labels=axis is axes[0])
        axis.set_xlim(0, timeline.end)
        axis.margins(x=0)
    axes[-1].set_xlabel("seconds since the start of the run")
    hidden = [
        f"{count} more {what} not drawn"
        for count, what in (
            (len(timeline.nodes) - len(nodes), "nodes"),
            (len(timeline.guests) - len(guests), "guests"),
        )
        if count > 0
    ]
    if hidden:
        figure.supxlabel("; ".join(hidden), fontsize=8, x=0.99, ha="right")


def chosen(timeline: Timeline) -> tuple[list[GuestLane], CrowdLane | None]:
    """Return the guests that get a lane each, and one with the sums of all where there are too many."""
    if len(timeline.guests) <= MAX_GUESTS:
        return timeline.guests, None
    return chosen_few(timeline.guests, DRAWN), sums(timeline.guests, timeline.end)


def _plot(axis: Axes, series: Series, colour: str, label: str, **style: Any) -> None:
    for index, segment in enumerate(series.segments):
        times, values = zip(*segment, strict=True)
        marker = "." if len(segment) == 1 else None
        axis.plot(
            times,
            values,
            color=colour,
            label=label if index == 0 else None,
            marker=marker,
            markersize=3,
            **style,
        )


def _node(axis: Axes, lane: NodeLane, end: float) -> None:
    # As served it changes once per eviction pass and holds until the next: a staircase, not a slope.
    style = "steps-post" if lane.available.gap > GAP["cgroup"] else "default"
    _plot(axis, lane.available, AVAIL, "available", linewidth=1.4, drawstyle=style)
    for label, mib in lane.thresholds:
        colour = HARD if label.startswith("hard") else SOFT
        hard = label.startswith("hard")
        axis.axhline(
            mib, color=colour, linewidth=1, linestyle="--" if hard else "-.", label=clean(label, most=40)
        )
        if hard:
            axis.axhspan(0, mib, color=colour, alpha=0.10, linewidth=0)
    axis.set_ylim(
        bottom=min(0.0, *(v for s in lane.available.segments for _, v in s)),
        top=lane.available.top * 1.4 or 1,
    )
    axis.set_ylabel("MiB")
    axis.set_title(f"node {clean(lane.name, most=80)}: memory.available", loc="left", fontsize=9)
    _marks(axis, lane.marks, end)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, fontsize=8, frameon=False, ncols=4)


def _guest(axis: Axes, lane: GuestLane, top: float, end: float) -> None:
    _plot(axis, lane.working_set, WS, "working set of the pod", linewidth=1.1)
    _plot(axis, lane.held, HELD, "held by the guest", linewidth=1.4)
    if lane.request is not None:
        axis.axhline(lane.request, color=REQUEST, linewidth=1, linestyle=":", label="memory request")
    axis.set_ylim(0, top * 1.6 or 1)
    axis.set_ylabel("MiB")
    axis.set_title(clean(lane.name.rpartition("/")[2], most=80), loc="left", fontsize=9)
    _marks(axis, lane.marks, end)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, fontsize=7, frameon=False, ncols=3)


def _crowd(axis: Axes, lane: CrowdLane) -> None:
    """All guests together: sums of those sampled at each moment, and a tick for each that was taken."""
    top = max(lane.working_set.top, lane.held.top, lane.request or 0)
    unit, scale = ("GiB", 1 / 1024) if top > 20 * 1024 else ("MiB", 1.0)
    top = top * scale or 1
    _plot(axis, lane.working_set.scaled(scale), WS, "working sets of the pods, sum", linewidth=1.1)
    _plot(axis, lane.held.scaled(scale), HELD, "held by the guests, sum", linewidth=1.4)
    if lane.request is not None:
        axis.axhline(
            lane.request * scale, color=REQUEST, linewidth=1, linestyle=":", label="memory requests, sum"
        )
    axis.set_ylim(0, top * 1.25)
    axis.set_ylabel(unit)
    axis.set_title(lane.title, loc="left", fontsize=9)
    for kind, times in lane.deaths:
        shape, colour = _MARKERS[kind]
        axis.plot(
            times,
            [top * 1.12] * len(times),
            marker=shape,
            color=colour,
            markersize=5,
            linestyle="none",
            label=f"{len(times)} {'Evicted' if kind == 'evicted' else 'OOM kill or panic'}",
        )
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, fontsize=7, frameon=False, ncols=5)


def _marks(axis: Axes, marks: Sequence[Mark], end: float) -> None:
    """Shapes where things happened, one label per cluster of marks, at the side with more room."""
    low, high = axis.get_ylim()
    height = low + 0.78 * (high - low)
    ordered = sorted(marks, key=lambda m: (m.t, m.line))
    clusters: list[list[Mark]] = []
    for mark in ordered:
        shape, colour = _MARKERS.get(mark.kind, ("o", INK))
        axis.plot(
            [mark.t],
            [height],
            marker=shape,
            color=colour,
            markersize=6,
            linestyle="none",
            clip_on=False,
        )
        if mark.bounds is not None and mark.bounds[1] - mark.bounds[0] > 0.05:
            axis.plot(
                mark.bounds, [height, height], color=colour, linewidth=2.2, solid_capstyle="butt", alpha=0.55
            )
        if clusters and mark.t - clusters[-1][-1].t < max(3.0, end * 0.06):
            clusters[-1].append(mark)
        else:
            clusters.append([mark])
    taken: list[list[tuple[float, float]]] = [[] for _ in _ROWS]
    for cluster in clusters:
        anchor = (cluster[0].t, cluster[-1].t)
        for text in _lines([f"{clean(m.label, most=40)} {m.t:.1f}" for m in cluster]):
            row, span, side = _room(taken, anchor, len(text) * _CHARACTER * end, end)
            taken[row].append(span)
            axis.annotate(
                text,
                (span[0] if side == "left" else span[1], height),
                xytext=(0 if side == "left" else -6, _ROWS[row]),
                textcoords="offset points",
                ha=side,
                va="baseline" if row == 0 else "top",
                fontsize=7,
                color=INK,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8},
            )


def _lines(labels: Sequence[str]) -> list[str]:
    """Labels of one moment, joined to lines of at most `_LONGEST` characters where one label alone is not longer."""
    lines: list[str] = []
    for label in labels:
        if lines and len(lines[-1]) + len(label) + 3 <= _LONGEST:
            lines[-1] += f" · {label}"
        else:
            lines.append(label)
    return lines


def _room(
    taken: Sequence[Sequence[tuple[float, float]]], anchor: tuple[float, float], width: float, end: float
) -> tuple[int, tuple[float, float], Literal["left", "right"]]:
    """Find row, span and alignment of a label: beside its marks, within the lane, over no other label if that can be."""
    right = (anchor[0], anchor[0] + width)
    left = (anchor[1] - width, anchor[1])
    wanted: list[tuple[tuple[float, float], Literal["left", "right"]]] = [(right, "left"), (left, "right")]
    if anchor[0] > end * 0.55:
        wanted.reverse()
    fitting = [(span, side) for span, side in wanted if span[0] >= -0.02 * end and span[1] <= end * 1.02]
    if not fitting:
        start = max(0.0, min(anchor[0] - width / 2, end - width))
        fitting = [((start, start + width), "left" if start <= 0 else "right")]
    for row, others in enumerate(taken):
        for span, side in fitting:
            if all(span[1] < low or high < span[0] for low, high in others):
                return row, span, side
    return len(taken) - 1, *fitting[0]


def _actions(axis: Axes, actions: Sequence[Mark], *, labels: bool) -> None:
    for action in actions:
        axis.axvline(action.t, color=FAINT, linewidth=0.7, linestyle=(0, (1, 2)))
    if labels:
        placed = float("-inf")
        low, high = axis.get_ylim()
        span = max((a.t for a in actions), default=1.0)
        for action in sorted(actions, key=lambda a: a.t):
            if action.t - placed < span * 0.07:
                continue
            placed = action.t
            axis.annotate(
                clean(action.label, most=30),
                (action.t, high),
                xytext=(2, -1),
                textcoords="offset points",
                fontsize=7,
                color=INK,
                va="top",
            )
        axis.set_ylim(low, high)

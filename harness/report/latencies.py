"""How long everything took, as intervals, with quantiles that count what never happened. Seconds of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness.judge.availability import capacity, crossing, kubelet_config, series, threshold
from harness.judge.endings import Ending
from harness.judge.evictions import Eviction
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.report.derive import delay
from harness.report.number import Number, first_lines, ran, was_alive
from harness.report.text import finite, number, spread


def start(run: Run, endings: Sequence[Ending], records: str) -> Iterator[Number]:
    """Creation to Running, with quantiles that count VMIs that never ran as longer than everything."""
    surplus = {a.target for _, a in run.timeline.actions if a.what == "fill-over"}
    created = {
        a.target: (a.t, line)
        for line, a in run.timeline.actions
        if a.what == "create" and a.target not in surplus
    }
    times: list[float] = []
    lines: list[int] = []
    censored = 0
    for ending in endings:
        begun = created.pop(ending.key, None)
        if begun is None:
            continue
        mark = ran(ending.incarnation)
        if mark is None:
            censored += not was_alive(ending)
            continue
        times.append(mark[0] - begun[0])
        lines += [begun[1], mark[1]]
    censored += len(created)
    if not times and not censored:
        return
    for percent, word in ((50, "median"), (95, "95th percentile"), (100, "slowest")):
        value = censored_quantile(times, censored, percent)
        yield Number(
            key=f"start-p{percent}",
            group="latency",
            name=f"created to Running, {word}",
            text="longer than the run" if value is None else f"{number(round(value, 3))} s",
            value=value,
            unit="s",
            n=len(times) + censored,
            censored=censored,
            note=f"{censored} never ran, counted as longer" if censored else "",
            proof=first_lines(lines),
            derive="" if value is None else delay(lines, records, rank=_rank(len(times) + censored, percent)),
        )


def censored_quantile(times: Sequence[float], censored: int, percent: int) -> float | None:
    """Return the nearest-rank quantile of what happened and what never did; None where it lies among the latter."""
    rank = _rank(len(times) + censored, percent)
    return sorted(times)[rank - 1] if rank <= len(times) else None


def _rank(n: int, percent: int) -> int:
    return max(1, math.ceil(n * percent / 100))


def latencies(run: Run, endings: Sequence[Ending]) -> Iterator[Number]:
    """From crossing to told, from told to gone, from gone to a final phase: of each VMI, and their medians."""
    detection = [(e, found) for e in run.evictions if (found := detected(run, e)) is not None]
    yield from _each(
        "detection",
        "threshold crossed to told to go",
        [(e.key, when, (*lines, *e.proof)) for e, (when, lines) in detection],
        missing=len(run.evictions) - len(detection),
        why="no availability, or the threshold was crossed before the first sample",
    )
    gone = [
        (e.key, e.gone.minus(e.eviction.told).floor(0.0), (*e.eviction.proof, *e.proof))
        for e in endings
        if e.eviction is not None and e.gone is not None
    ]
    yield from _each(
        "eviction",
        "told to go to gone",
        gone,
        missing=sum(e.eviction is not None and e.gone is None for e in endings),
        why="still there when the records end",
    )
    lagging = []
    waiting = 0
    for ending in endings:
        vmi = ending.incarnation.vmi
        if vmi is None or ending.gone is None:
            continue
        if vmi.final is None:
            waiting += 1
            continue
        arrived = Interval(vmi.final.t, vmi.final.t)
        lagging.append((ending.key, arrived.minus(ending.gone).floor(0.0), (*ending.proof, vmi.final.line)))
    yield from _each(
        "phase-lag",
        "gone to a final phase of the VMI",
        lagging,
        missing=waiting,
        why="no final phase was seen",
    )


def detected(run: Run, eviction: Eviction) -> tuple[Interval, tuple[int, ...]] | None:
    """Return how long after the crossing of its threshold an eviction came, and what shows the crossing."""
    values = series(run.timeline, run.provenance, eviction.node)
    bound = eviction.threshold
    if bound is None:
        size = capacity(run.timeline, run.provenance, eviction.node) or 0
        bound = threshold(kubelet_config(run.timeline, run.provenance, run.scenario, eviction.node), size)
    if not values or bound is None:
        return None
    found = crossing(values, bound, before=eviction.told.high)
    if found is None or math.isinf(found.when.low):
        return None
    return eviction.told.minus(found.when).floor(0.0), found.proof


def _each(
    key: str, name: str, rows: list[tuple[str, Interval, tuple[int, ...]]], *, missing: int, why: str
) -> Iterator[Number]:
    if not rows and not missing:
        return
    for subject, when, lines in rows:
        yield Number(
            key=key,
            group="latency",
            name=name,
            subject=subject,
            text=spread(when, "s"),
            value=finite((when.low + when.high) / 2),
            low=finite(when.low),
            high=finite(when.high),
            unit="s",
            proof=first_lines(sorted(set(lines))),
        )
    middles = sorted(
        (w.low + w.high) / 2 for _, w, _ in rows if math.isfinite(w.low) and math.isfinite(w.high)
    )
    if len(rows) > 1 or missing:
        half = censored_quantile(middles, missing, 50)
        yield Number(
            key=f"{key}-median",
            group="latency",
            name=f"{name}, median",
            text=("not measured" if key == "detection" else "not seen")
            if half is None
            else f"{number(round(half, 3))} s",
            value=None if half is None else finite(half),
            unit="s",
            n=len(rows) + missing,
            censored=missing,
            note=f"{missing} not measured: {why}" if missing else "",
            proof=first_lines(line for _, _, lines in rows for line in lines[:1]),
        )

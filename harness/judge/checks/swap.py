"""`swap`: what the kernel moved to swap: of the nodes the fleets run on, or of the whole machine, and what pods may."""

from __future__ import annotations

from collections.abc import Callable

from harness.judge.checks.bounded import all_of, amount, bounded, share
from harness.judge.checks.evicted import settling
from harness.judge.endings import Ending
from harness.judge.interval import Interval, Truth
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.series import Point, Value, host_series
from harness.spec.expectations import Swap


def look_swap(run: Run, wanted: Swap) -> Seen:
    """Judge swap in use by the fleets' nodes; the whole machine's where a node's own is not known."""
    parts: list[Seen] = []
    amounts = (wanted.min, wanted.max, wanted.min_peak, wanted.max_peak, wanted.min_fall)
    if any(v is not None for v in (*amounts, wanted.pressure)):
        points = _used(run, wanted)
        waiting = not run.timeline.closed
        if not points:
            return unobservable("swap was not recorded: there is none", open_=waiting)
        if waiting and settling(run):
            return undecided("the window is not over", open_=True)
        parts += _amounts(run, wanted, points)
    if wanted.min_limit is not None or wanted.max_limit is not None:
        parts.append(run.each(wanted.of, _limit_of(run, wanted)))
    return all_of(parts)


def _used(run: Run, wanted: Swap) -> list[Point]:
    nodes = {e.incarnation.node for m in run.cast.of(wanted.of) for e in run.inside(m)} - {""}
    by_node = {n: [s for s in run.timeline.node_cgroup.get(n, []) if s.swap is not None] for n in nodes}
    by_node = {node: samples for node, samples in by_node.items() if samples}
    if by_node and len(by_node) == len(nodes):
        return _sum(
            {n: [Point(t=s.t, line=s.line, value=float(s.swap or 0)) for s in f] for n, f in by_node.items()}
        )
    rows = run.timeline.host_rows.get("swap", [])
    free = {p.line: p.value for p in host_series(rows, "free")}
    used = host_series(rows, "used")
    if used:
        return used
    return [
        Point(t=p.t, line=p.line, value=p.value - free[p.line])
        for p in host_series(rows, "total")
        if p.line in free
    ]


def _sum(of: dict[str, list[Point]]) -> list[Point]:
    """Add nodes up: at each sample the latest of every node."""
    latest: dict[str, float] = {}
    found = []
    for point, node in sorted(
        ((p, n) for n, points in of.items() for p in points), key=lambda item: (item[0].t, item[0].line)
    ):
        latest[node] = point.value
        found.append(Point(t=point.t, line=point.line, value=sum(latest.values())))
    return found


def _amounts(run: Run, wanted: Swap, points: list[Point]) -> list[Seen]:
    parts: list[Seen] = []
    inside = [p for p in points if run.timeline.window_start <= p.t <= run.timeline.end] or points
    peak = max(inside, key=lambda p: (p.value, -p.t))
    last = inside[-1]
    if wanted.min is not None or wanted.max is not None:
        value = _exact(last)
        text = f"{amount(Interval(last.value, last.value))} in swap at the end"
        parts.append(
            bounded(Interval(last.value, last.value), wanted.min, wanted.max, text=text, value=value)
        )
    highest = Interval(peak.value, peak.value)
    if wanted.min_peak is not None or wanted.max_peak is not None:
        text = f"at most {amount(highest)} in swap"
        parts.append(bounded(highest, wanted.min_peak, wanted.max_peak, text=text, value=_exact(peak)))
    if wanted.min_fall is not None:
        if peak.value <= 0:
            parts.append(undecided("nothing was ever in swap"))
        else:
            low = min((p for p in inside if p.t >= peak.t), key=lambda p: p.value)
            fall = 1 - low.value / peak.value
            text = f"swap fell by {share(Interval(fall, fall))} of {amount(highest)}"
            value = Value(interval=Interval(fall, fall), proof=(peak.line, low.line))
            parts.append(bounded(Interval(fall, fall), wanted.min_fall, None, text=text, value=value))
    if wanted.pressure is not None:
        parts.append(_pressure(run, wanted, inside))
    return parts


def _exact(point: Point) -> Value:
    return Value(interval=Interval(point.value, point.value), proof=(point.line,))


def _pressure(run: Run, wanted: Swap, points: list[Point]) -> Seen:
    """Judge whether a node of the fleets reported MemoryPressure while swap was in use."""
    using = [p for p in points if p.value > 0]
    if not using:
        return undecided("nothing was ever in swap")
    nodes = {e.incarnation.node for m in run.cast.of(wanted.of) for e in run.inside(m)} - {""}
    pressed = [
        state
        for node in sorted(nodes)
        if (track := run.timeline.nodes.get(node)) is not None
        for state in track.conditions.get("MemoryPressure", [])
        if state.status == "True" and state.t >= using[0].t
    ]
    right = bool(pressed) == wanted.pressure
    text = "MemoryPressure while swap was in use" if pressed else "no MemoryPressure while swap was in use"
    return Seen(
        truth=Truth.of(right),
        text=text,
        proof=(using[0].line, *(state.line for state in pressed[:1])),
        reason="" if right else text,
        timed=False,
    )


def _limit_of(run: Run, wanted: Swap) -> Callable[[Ending], Seen]:
    def one(ending: Ending) -> Seen:
        incarnation = ending.incarnation
        known = [
            (s.line, s.swap_limit)
            for pod in incarnation.pods
            for s in run.timeline.pod_cgroup.get(pod.uid, ())
            if s.swap_limit is not None
        ]
        if not known:
            why = "memory.swap.max of its container was not recorded (cgroup v2 only)"
            return unobservable(why, open_=not run.timeline.closed)
        line, last = known[-1]
        limit = Interval(float(last), float(last))
        value = Value(interval=limit, proof=(line,))
        return bounded(
            limit, wanted.min_limit, wanted.max_limit, text=f"may swap {amount(limit)}", value=value
        )

    return one

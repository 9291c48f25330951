"""Measures of whole fleets: what `ratio` and `stall` compare, and what a control run hands to its main run.

A fleet's value is the mean of its members' (counts are sums). Only members that were there count; one whose value is not
known makes the fleet's unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import median

from harness.judge.endings import DELIVERY, Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.series import Value, change, guest_size, host_series, moment, series, value_at
from harness.judge.timeline import Said
from harness.records import served
from harness.spec.measures import MEASURES

QUANTILES = ("p50", "p99", "max")
NANO = 1e-9
KSM_CPU = "ksm-cpu"


def exactly(value: float, *lines: int) -> Value:
    """Return a value that is known exactly."""
    return Value(interval=Interval(value, value), proof=lines)


def unknown(why: str) -> Value:
    """Return that a value is not known."""
    return Value(interval=None, why=why)


def living(run: Run, fleet: str) -> list[Ending]:
    """Return the latest incarnation of each member that was there in the window."""
    return [mine[-1] for member in run.cast.of(fleet) if (mine := run.inside(member))]


def measure(run: Run, fleet: str, name: str) -> Value:
    """Return a measure of a fleet (a key of spec.measures, or `guest`: its `memory.guest`)."""
    if name == "evictions":
        return _evictions(run, fleet)
    if name == "survivors":
        return _survivors(run, fleet)
    members = living(run, fleet)
    if not members:
        return unknown(f"nobody of {fleet} was seen")
    return _mean([_of_one(run, ending, name) for ending in members], [e.key for e in members])


def _mean(values: list[Value], keys: list[str]) -> Value:
    intervals = []
    for value, key in zip(values, keys, strict=True):
        if value.interval is None:
            return unknown(f"{key}: {value.why}")
        intervals.append(value.interval)
    size = len(intervals)
    return Value(
        interval=Interval(sum(i.low for i in intervals) / size, sum(i.high for i in intervals) / size),
        proof=tuple(sorted({line for value in values for line in value.proof})),
    )


def _of_one(run: Run, ending: Ending, name: str) -> Value:
    if name in _OF_OBJECTS:
        return _OF_OBJECTS[name](ending)
    if name in QUANTILES:
        return quantile(run, ending, name, typical=name == "p50")
    if name == "startup":
        return _startup(run, ending)
    if name == "guest":
        size = guest_size(ending)
        return unknown("its memory was not served") if size is None else exactly(size)
    return value_at(run, series(run, ending, name), "end", ending)


# -- from objects -----------------------------------------------------------------------------------------------------


def _compute(ending: Ending, which: str) -> Value:
    pod = ending.incarnation.pod
    if pod is None:
        return unknown("its pod was not served")
    of = served.container_requests if which == "request" else served.container_limits
    value = of(pod.object).get("compute")
    return (
        unknown(f"its compute container has no {which}") if value is None else exactly(value, pod.first.line)
    )


def _overhead(ending: Ending) -> Value:
    vmi = ending.incarnation.vmi
    found = served.maybe_quantity(
        served.dig(vmi.object if vmi is not None else None, "status", "memory", "memoryOverhead")
    )
    if vmi is None or found is None:
        return unknown("its VMI says no memoryOverhead")
    return exactly(found, vmi.last.line)


def _without_overhead(ending: Ending) -> Value:
    return change(_overhead(ending), _compute(ending, "request"))


def _pod_request(ending: Ending) -> Value:
    pod = ending.incarnation.pod
    if pod is None:
        return unknown("its pod was not served")
    return exactly(served.pod_memory_request(pod.object), pod.first.line)


_OF_OBJECTS: Mapping[str, Callable[[Ending], Value]] = {
    "request": lambda ending: _compute(ending, "request"),
    "limit": lambda ending: _compute(ending, "limit"),
    "overhead": _overhead,
    "request-before-overhead": _without_overhead,
    "pod-request": _pod_request,
}


# -- from the guest ---------------------------------------------------------------------------------------------------


def latencies(run: Run, ending: Ending, during: str | None = None) -> tuple[list[Said], str]:
    """Return the console lines that tell of touching held memory, or why there are none."""
    begin, end = float("-inf"), float("inf")
    if during is not None:
        started = next(
            (a.t for _, a in run.timeline.actions if a.what == "step-start" and a.target == during), None
        )
        done, _, why = moment(run, f"step:{during}")
        if started is None:
            return [], why or f"step {during} did not begin"
        begin, end = started, run.timeline.end if done is None else done
    said = [s for s in ending.lines if s.parsed.latency is not None and begin <= s.t <= end]
    # Whoever holds nothing touches nothing.
    said = [s for s in said if s.parsed.latency is not None and s.parsed.latency[2] > 0]
    if said:
        return said, ""
    if not ending.lines:
        return [], "its console was not recorded"
    return [], "it said nothing of touching memory" + (f" during {during}" if during else "")


def quantile(
    run: Run, ending: Ending, name: str, during: str | None = None, *, typical: bool = False
) -> Value:
    """Return a quantile of one guest's touch latency in seconds: of its worst second, or of the median one."""
    said, why = latencies(run, ending, during)
    if not said:
        return unknown(why)
    index = QUANTILES.index(name)
    values = [(s.parsed.latency[index] * NANO, s.line) for s in said if s.parsed.latency is not None]
    if typical:
        return exactly(median(value for value, _ in values), values[0][1], values[-1][1])
    return exactly(*max(values))


def fleet_quantile(run: Run, fleet: str, name: str, during: str | None = None) -> Value:
    """Return the worst second of a whole fleet."""
    members = living(run, fleet)
    if not members:
        return unknown(f"nobody of {fleet} was seen")
    found = [quantile(run, ending, name, during) for ending in members]
    known = [value for value in found if value.interval is not None]
    if not known:
        return found[0]
    return max(known, key=lambda value: value.interval.high if value.interval is not None else 0.0)


def _startup(run: Run, ending: Ending) -> Value:
    hello = ending.first("hello")
    made = next(
        ((line, a.t) for line, a in run.timeline.actions if a.what == "create" and a.target == ending.key),
        None,
    )
    if hello is None or made is None:
        return unknown("its hello was not recorded" if hello is None else "its creation was not recorded")
    took = hello.t - made[1]
    return Value(interval=Interval(max(0.0, took - DELIVERY), took), proof=(made[0], hello.line))


# -- counts -----------------------------------------------------------------------------------------------------------


def _fleets(run: Run, fleet: str) -> set[str]:
    return set(run.cast.fleets) if fleet == "all" else {fleet}


def _evictions(run: Run, fleet: str) -> Value:
    mine = _fleets(run, fleet)
    found = [e for e in run.evictions if e.may_be_memory and e.fleet in mine]
    if not run.timeline.closed:
        return unknown("the records end before the window does")
    return exactly(float(len(found)), *(line for e in found for line in e.proof))


def _survivors(run: Run, fleet: str) -> Value:
    if not run.timeline.closed:
        return unknown("the records end before the window does")
    members = living(run, fleet)
    if not members:
        return unknown(f"nobody of {fleet} was seen")
    alive = [e for e in members if e.gone is None and e.eviction is None and e.last("panic") is None]
    return exactly(float(len(alive)))


# -- for the main run -------------------------------------------------------------------------------------------------


def ksm_cpu(run: Run, since: str, at: str) -> Value:
    """Return the CPU seconds ksmd used per second between two moments."""
    points = host_series(run.timeline.host_rows.get("ksm", ()), "ksmdCpu")
    if not points:
        return unknown("ksmd's CPU time was not recorded")
    begin, _, why = moment(run, since)
    end, _, why_end = moment(run, at)
    if begin is None or end is None:
        return unknown(why or why_end)
    first = next((p for p in points if p.t >= begin), None)
    last = next((p for p in reversed(points) if p.t <= end), None)
    if first is None or last is None or last.t <= first.t:
        return unknown("ksmd's CPU time was sampled too seldom")
    # utime and stime of /proc/<pid>/stat are whole ticks of 10 ms (USER_HZ 100), each.
    used, tick, seconds = last.value - first.value, 0.02, last.t - first.t
    return Value(
        interval=Interval(max(0.0, used - tick) / seconds, (used + tick) / seconds),
        proof=(first.line, last.line),
    )


def handed_over(run: Run) -> dict[str, list[float]]:
    """Return what a control run measured, by `<measure>/<fleet>`, for its main run to compare with."""
    return {
        name: [value.interval.low, value.interval.high]
        for name, value in sorted(_all(run))
        if value.interval is not None
    }


def _all(run: Run) -> Iterator[tuple[str, Value]]:
    steps = [a.target for _, a in run.timeline.actions if a.what == "step-start"]
    for fleet in dict.fromkeys((*run.cast.fleets, "all")):
        for name in MEASURES:
            yield f"{name}/{fleet}", measure(run, fleet, name)
        for name in QUANTILES:
            yield f"worst-{name}/{fleet}", fleet_quantile(run, fleet, name)
            for step in dict.fromkeys(steps):
                yield f"worst-{name}/{fleet}/{step}", fleet_quantile(run, fleet, name, step)
    for since in ("start", *(f"step:{step}" for step in dict.fromkeys(steps))):
        for at in ("end", *(f"step:{step}" for step in dict.fromkeys(steps))):
            yield f"{KSM_CPU}/{since}/{at}", ksm_cpu(run, since, at)


def from_control(run: Run, name: str) -> Value:
    """Return what this run's control measured."""
    if run.control is None:
        return unknown("there was no control run to compare with")
    found = run.control.measures.get(name) if run.control.measures else None
    if not found or len(found) != 2:
        return unknown(f"the control run did not show {name.partition('/')[0]}")
    return Value(interval=Interval(found[0], found[1]))

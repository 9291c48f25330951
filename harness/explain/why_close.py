"""How close it was where nobody died: each node to its thresholds, each VM to its container's limit."""

from __future__ import annotations

from harness.explain.why_index import Index
from harness.explain.why_model import Closest
from harness.explain.why_ranking import ranking
from harness.explain.why_words import point, size
from harness.judge import availability
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.records import served
from harness.rules import thresholds
from harness.rules.errors import RulesError
from harness.rules.thresholds import MEMORY, Threshold
from harness.units import Bytes


def closest(run: Run, index: Index) -> tuple[Closest, ...]:
    """Return the distances of the nodes VMIs ran on, and of VMIs with a limit; smallest first."""
    nodes = sorted({i.node for i in run.cast.incarnations if i.node and (i.is_vmi or i.fleet)})
    found = [c for node in nodes for c in _node(run, index, node)]
    found += _limits(run)
    return tuple(sorted(found, key=lambda c: c.distance))


def _node(run: Run, index: Index, node: str) -> list[Closest]:
    values = availability.series(run.timeline, run.provenance, node)
    if not values:
        return []
    sample, lowest = min(values, key=lambda item: item[1])
    config = availability.kubelet_config(run.timeline, run.provenance, run.scenario, node)
    capacity = availability.capacity(run.timeline, run.provenance, node, at=sample.t)
    at = f"{size(lowest)} available at {point(sample.when.high)} s, the least seen on {node}"
    limits = _configured(config)
    if not limits:
        what = "no memory threshold is configured there: only the kernel would have acted"
        return [Closest(what=node, distance=lowest, text=f"{at}; {what}", proof=(sample.line,))]
    found = []
    for limit in limits:
        value = limit.value.resolve(Bytes(capacity or 0)).value()
        left = lowest - value
        kind = "hard" if limit.hard else "soft"
        where = f"{size(left)} above" if left >= 0 else f"{size(-left)} below"
        first = _first(run, index, node, sample.when)
        found.append(
            Closest(
                what=node,
                distance=left,
                text=f"{at}: {where} the {kind} threshold of {limit.value}{first}",
                proof=(sample.line,),
            )
        )
    return found


def _configured(config: object) -> list[Threshold]:
    if not isinstance(config, dict) or not config:
        return []
    try:
        return [t for t in thresholds.memory_thresholds(config) if t.signal == MEMORY]
    except RulesError:
        return []


def _first(run: Run, index: Index, node: str, moment: Interval) -> str:
    ranked = ranking(run, index, node=node, moment=moment, victim="")
    if ranked is None:
        return ""
    row = next((row for row in ranked.rows if not row.usage.critical), None)
    return f"; {row.subject} would have been the first to go" if row is not None else ""


def _limits(run: Run) -> list[Closest]:
    found = []
    for incarnation in run.cast.incarnations:
        pod = incarnation.pod
        if not incarnation.is_vmi or pod is None:
            continue
        limit = served.container_limits(pod.object).get("compute")
        samples = run.timeline.pod_cgroup.get(pod.uid, [])
        if limit is None or not samples:
            continue
        most = max(samples, key=lambda s: s.usage)
        text = f"{incarnation.key} used at most {size(most.usage)} (whole pod) at {point(most.t)} s; compute's limit is {size(limit)}"
        found.append(
            Closest(what=incarnation.key, distance=limit - most.usage, text=text, proof=(most.line,))
        )
    return found

"""Which threshold the kubelet acted on, hard or soft, when it was crossed, and what grace that gives.

The Evicted message names quantity and observation (pkg/kubelet/eviction/helpers.go `evictionMessage`, 1.36) but not the
kind. It is told by the configuration in force; where that is not known, by how the kubelet works: a hard threshold evicts in
the pass that first sees it met, a soft one reports MemoryPressure from its first pass on and evicts a grace period later
(eviction_manager.go `synchronize`); SIGKILL follows a hard one after 2 s, so a longer window was a soft one's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from harness.explain.why_index import Index
from harness.explain.why_model import Acted, Kind
from harness.judge import availability
from harness.judge.endings import Ending
from harness.judge.evictions import Eviction
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.records import served
from harness.rules import thresholds
from harness.rules.errors import RulesError
from harness.rules.grace import kill_window, window
from harness.rules.thresholds import ALLOCATABLE_MEMORY, MEMORY, Threshold, max_pod_grace
from harness.units import Bytes, Seconds

MESSAGE = re.compile(
    r"low on resource: (?P<resource>[\w.-]+)\. (?:Threshold quantity: (?P<quantity>[^,]+), available: (?P<available>[^.]+)\.)?"
)
USING = re.compile(r"(?:Container|Pod) (?P<name>\S+) was using (?P<using>\S+), request is (?P<request>\S+),")
LEAD = 3.0
"""Seconds of MemoryPressure before an eviction that no hard threshold leaves: it acts in the pass that raises it."""
HARD_WINDOW = 4.0
"""Seconds after the decision beyond which SIGKILL was not a hard eviction's: 2 s and the end of a large process."""


def message_of(run: Run, eviction: Eviction) -> str:
    """Return the words of the Evicted event, else of the pod's condition."""
    event = next(
        (
            e
            for e in run.timeline.events
            if e.reason == "Evicted" and e.uid == eviction.pod_uid and e.line in eviction.proof
        ),
        None,
    )
    if event is not None:
        return event.message
    pod = run.timeline.pods.get(eviction.pod_uid)
    return pod.disruption.message if pod is not None and pod.disruption is not None else ""


def acted(run: Run, index: Index, ending: Ending) -> Acted | None:
    """Return what is known of the threshold behind an eviction."""
    eviction = ending.eviction
    if eviction is None:
        return None
    message = message_of(run, eviction)
    match = MESSAGE.search(message)
    quantity = match["quantity"].strip() if match and match["quantity"] else ""
    value = served.maybe_quantity(quantity) if quantity else None
    available = match["available"].strip() if match and match["available"] else ""
    node = eviction.node
    config = availability.kubelet_config(run.timeline, run.provenance, run.scenario, node)
    capacity = availability.capacity(run.timeline, run.provenance, node, at=eviction.told.high)
    matching = _matching(config, value, capacity)
    kind, certain, how = _kind(run, index, ending, config=config, matching=matching, quantity=quantity)
    threshold = next((t for t in matching if t.hard == (kind == "hard")), None)
    grace, why, cap = _grace(ending, config, kind, threshold)
    crossing, source = _crossing(run, node, value, before=eviction.told.high)
    return Acted(
        quantity=quantity,
        value=value,
        available=available,
        available_value=served.maybe_quantity(available) if available else None,
        offenders=tuple(
            f"{m['name']} was using {m['using']}, its request is {m['request']}"
            for m in USING.finditer(message)
        ),
        kind=kind,
        certain=certain,
        how=how,
        signal=_signal(index, eviction, available),
        grace=grace,
        grace_why=why,
        cap=cap,
        crossing=crossing.when if crossing is not None else None,
        crossing_source=source,
        latency=eviction.told.minus(crossing.when) if crossing is not None else None,
        proof=tuple(sorted({*eviction.proof, *(crossing.proof if crossing else ())})),
    )


def _matching(config: Mapping[str, Any], value: int | None, capacity: int | None) -> list[Threshold]:
    if value is None or not config:
        return []
    try:
        known = thresholds.memory_thresholds(config)
    except RulesError:
        return []
    return [t for t in known if t.value.resolve(Bytes(capacity or 0)).value() == value]


def _stated(run: Run) -> bool:
    return run.scenario.stated is not None and bool(run.scenario.stated.kubelet)


def _kind(
    run: Run,
    index: Index,
    ending: Ending,
    *,
    config: Mapping[str, Any],
    matching: list[Threshold],
    quantity: str,
) -> tuple[Kind, bool, str]:
    eviction = ending.eviction
    assert eviction is not None
    kinds = {t.hard for t in matching}
    where = "stated for this recording" if _stated(run) else "in the kubelet's configz"
    if len(kinds) == 1:
        threshold = matching[0]
        which = "evictionHard" if threshold.hard else "evictionSoft"
        return "hard" if threshold.hard else "soft", True, f"{which} {MEMORY}: {threshold.value}, {where}"
    lead = (
        f"; {where} both a hard and a soft threshold have this value"
        if kinds
        else _unconfigured(index, eviction, config, quantity)
    )
    pressure = index.pressure_before(eviction.node, eviction.told.low)
    others = [e for e in run.evictions if e is not eviction and e.node == eviction.node]
    if pressure is not None and eviction.told.low - pressure.when.high > LEAD:
        undisturbed = not any(pressure.when.low - 1 <= e.told.high <= eviction.told.high for e in others)
        if undisturbed and _stayed_below(run, eviction, pressure.when.high):
            waited = eviction.told.low - pressure.when.high
            return (
                "soft",
                False,
                f"MemoryPressure stood {waited:.1f} s before the eviction: a hard threshold evicts in the pass that raises it{lead}",
            )
    if ending.gone is not None and ending.gone.low - eviction.told.high > HARD_WINDOW:
        return (
            "soft",
            False,
            f"it lived on {ending.gone.low - eviction.told.high:.1f} s: SIGKILL follows a hard eviction after 2 s (since Kubernetes 1.31){lead}",
        )
    return "", False, f"hard or soft can't be told{lead}"


def _unconfigured(index: Index, eviction: Eviction, config: Mapping[str, Any], quantity: str) -> str:
    if not config:
        return "; the kubelet's configuration was not recorded"
    at = index.configz_at.get(eviction.node)
    restarted = [
        word
        for word in index.words
        if word.reason == "Starting" and word.name == eviction.node and at is not None and word.when.low > at
    ]
    if restarted:
        return f"; the recorded configz is older than the kubelet's restart at {restarted[-1].t:.1f} s and has no {quantity}"
    return f"; the recorded configuration has no threshold of {quantity}" if quantity else ""


def _stayed_below(run: Run, eviction: Eviction, since: float) -> bool:
    """Whether the node was below the threshold in every sample since the pressure began; False where there is none."""
    if eviction.threshold is None:
        return False
    values = availability.series(run.timeline, run.provenance, eviction.node)
    inside = [a for s, a in values if since <= s.when.low and s.when.high <= eviction.told.low]
    return bool(inside) and all(a < eviction.threshold for a in inside)


def _grace(
    ending: Ending, config: Mapping[str, Any], kind: Kind, threshold: Threshold | None
) -> tuple[Seconds | None, str, int | None]:
    pod = ending.incarnation.pod
    found = served.dig(pod.object, "spec", "terminationGracePeriodSeconds") if pod is not None else None
    pod_grace = found if isinstance(found, int) else None
    if kind == "hard":
        return window(1), "a hard eviction asks for 1 s, the container runtime gives at least 2 s", None
    if kind == "soft" and threshold is not None:
        cap = max_pod_grace(config)
        seconds = kill_window(threshold, max_pod_grace=cap, pod_grace=pod_grace)
        unset = " (not set: 0, so as short as a hard eviction)" if not cap else ""
        own = f", the pod's own grace {pod_grace} s" if pod_grace is not None else ""
        return seconds, f"evictionMaxPodGracePeriod {cap}{unset}{own}; at least 2 s", cap
    return None, "the kubelet's evictionMaxPodGracePeriod is not known", None


def _signal(index: Index, eviction: Eviction, available: str) -> str:
    """Tell the node's own signal from that of its pods: the message repeats the observation to the kibibyte."""
    value = served.maybe_quantity(available) if available else None
    if value is None:
        return ""
    for row in index.node_rows.get(eviction.node, ()):
        if abs(row.when.low - eviction.told.low) > 15:
            continue
        if abs(row.available - value) < 1024:
            return MEMORY
        if row.pods_available is not None and abs(row.pods_available - value) < 1024:
            return ALLOCATABLE_MEMORY
    return ""


def _crossing(
    run: Run, node: str, value: int | None, *, before: float
) -> tuple[availability.Crossing | None, str]:
    if value is None:
        return None, ""
    values = availability.series(run.timeline, run.provenance, node)
    if not values:
        return None, "the node's memory was not sampled"
    found = availability.crossing(values, value, before=before)
    return found, values[0][0].source if found is not None else "no sample shows it"


def censored(when: Interval | None) -> bool:
    """Whether the node already was below the threshold at the first sample."""
    return when is not None and math.isinf(when.low)

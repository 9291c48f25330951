"""Explanations as data for `-o json|yaml` and as lines for people. No decisions, no colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.explain.model import Container, Eviction, Explanation, Fit, Pod
from harness.rules import durations
from harness.rules.quantities import Quantity
from harness.units import Bytes


def to_data(explanation: Explanation) -> dict[str, Any]:
    """One element of the JSON list. Quantities as Kubernetes serves them, other amounts in bytes."""
    pod, node, fit = explanation.pod, explanation.node, explanation.fit
    out: dict[str, Any] = {
        "file": explanation.file,
        "vmi": explanation.vmi,
        "admission": {
            "allowed": explanation.admission.allowed,
            "message": explanation.admission.message,
            "warnings": list(explanation.admission.warnings),
            "status": explanation.admission.status,
        },
        "kubevirtColumn": explanation.setting.column,
        "pod": None if pod is None else _pod_data(pod),
        "overhead": [] if pod is None else _overhead_data(pod),
        "memoryOverhead": None if pod is None else str(pod.overhead.quantity),
        "qos": None if pod is None else {"class": pod.qos.name, "reason": pod.qos.reason},
        "containers": [] if pod is None else [_container_data(container) for container in pod.containers],
        "node": None
        if node is None
        else {
            "capacity": node.capacity,
            "allocatable": node.allocatable,
            "kubepodsLimit": node.kubepods_limit,
            "systemReserved": node.system_reserved,
            "kubeReserved": node.kube_reserved,
            "evictionHard": node.eviction_hard,
        },
        "fit": None
        if fit is None
        else {"count": fit.count, "stops": list(fit.stops), "request": fit.request, "left": fit.left},
        "evictions": [_eviction_data(eviction) for eviction in explanation.evictions],
        "warnings": [{"id": caution.id, "text": caution.text} for caution in explanation.cautions],
        "mistakes": [str(mistake) for mistake in explanation.mistakes],
    }
    return out


def _pod_data(pod: Pod) -> dict[str, Any]:
    def listed(roles: set[str]) -> list[dict[str, Any]]:
        return [
            {"name": container.name, "resources": container.resources}
            for container in pod.containers
            if container.role in roles
        ]

    return {
        "spec": {
            "containers": listed({"main"}),
            "initContainers": listed({"sidecar", "init"}),
            "terminationGracePeriodSeconds": pod.grace,
        },
        "status": {"qosClass": pod.qos.name},
    }


def _overhead_data(pod: Pod) -> list[dict[str, Any]]:
    return [{"term": name, "bytes": int(amount)} for name, amount in pod.overhead.terms]


def _container_data(container: Container) -> dict[str, Any]:
    return {
        "name": container.name,
        "role": container.role,
        "resources": container.resources,
        "oomScoreAdj": container.oom_score_adj,
        "swap": {"share": container.swap_share, "bytes": container.swap, "why": container.swap_why},
    }


def _eviction_data(eviction: Eviction) -> dict[str, Any]:
    threshold = eviction.threshold
    return {
        "signal": threshold.signal,
        "kind": "hard" if threshold.hard else "soft",
        "value": str(threshold.value),
        "below": eviction.below,
        "used": eviction.used,
        "gracePeriodSeconds": float(eviction.waits),
        "podGraceSeconds": eviction.asked,
        "killAfterSeconds": float(eviction.window),
        "first": eviction.first,
    }


def human(size: int) -> str:
    """Bytes as the largest binary unit that is exact, else as bytes with MiB in parentheses."""
    text = str(Quantity.of_bytes(size))
    return (
        text
        if not text.lstrip("-").isdecimal() or abs(size) < 1 << 20
        else f"{size} ({size / (1 << 20):.1f}Mi)"
    )


def table(explanation: Explanation) -> Iterator[str]:
    """Lines for people."""
    kind = (explanation.manifest or {}).get("kind", "")
    yield f"{kind or 'not a VMI'} {explanation.name}  ({explanation.file}, KubeVirt {explanation.setting.column})"
    admission, pod = explanation.admission, explanation.pod
    if not admission.allowed:
        yield f"  refused     {admission.message}"
    for warning in admission.warnings:
        yield f"  API warning {warning}"
    if pod is not None:
        yield from _containers(pod)
        yield from _overhead(pod)
        yield f"  QoS         {pod.qos.name}: {pod.qos.reason}"
        yield from _swap(pod)
    if explanation.fit is not None:
        yield from _fit(explanation.fit, explanation)
    if pod is not None:
        yield from _evictions(explanation)
    for caution in explanation.cautions:
        yield f"  ! {caution.id:<10} {caution.text}"


def _rows(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()


def _containers(pod: Pod) -> Iterator[str]:
    rows: list[Sequence[str]] = [
        ("container", "role", "memory request", "memory limit", "cpu request", "cpu limit", "oom_score_adj")
    ]
    for container in pod.containers:
        cells = [
            str(container.amount(kind, name) or "-")
            for name in ("memory", "cpu")
            for kind in ("requests", "limits")
        ]
        rows.append((container.name, container.role, *cells, str(container.oom_score_adj)))
        rows.extend(
            (f"  {name}", "", amount, "", "", "", "")
            for name, amount in container.resources.get("requests", {}).items()
            if name.startswith("hugepages-")
        )
    yield from _rows(rows)


def _overhead(pod: Pod) -> Iterator[str]:
    yield f"  overhead    {human(pod.overhead.total)}"
    yield from _rows([(f"    {name}", human(amount)) for name, amount in pod.overhead.terms])


def _swap(pod: Pod) -> Iterator[str]:
    compute = pod.container("compute")
    if compute.swap_why:
        yield f"  swap        none: {compute.swap_why}"
        return
    size = "" if compute.swap is None else f", {human(compute.swap)}"
    yield f"  swap        {compute.swap_share:.2%} of the node's{size}"


def _fit(fit: Fit, explanation: Explanation) -> Iterator[str]:
    node = explanation.node
    assert node is not None
    stops = " and ".join(fit.stops) or "nothing"
    yield (
        f"  fit         {fit.count} on a node of {human(node.capacity)} (allocatable {human(node.allocatable)}); each requests "
        f"{human(fit.request)}; the next: {stops}, {human(fit.left)} left"
    )


def _evictions(explanation: Explanation) -> Iterator[str]:
    if not explanation.evictions:
        yield "  evicted by  nothing: no memory threshold is in force"
        return
    request = explanation.fit.request if explanation.fit is not None else Bytes(0)
    for eviction in sorted(explanation.evictions, key=lambda item: not item.first):
        threshold = eviction.threshold
        when = f"less than {human(eviction.below)} available"
        when += (
            " on the node"
            if eviction.subject == "node"
            else f" to all pods (they use more than {human(eviction.used)})"
        )
        waits = "" if threshold.hard else f" for {durations.text(eviction.waits)}"
        yield (
            f"  {'evicted by ' if eviction.first else 'or by      '} {threshold.signal} ({'hard' if threshold.hard else 'soft'}): "
            f"{when}{waits}; SIGKILL {eviction.window:g} s after SIGTERM"
        )
    yield f"  ranked      over its request once the pod uses more than {human(request)}; then before all that aren't, lowest priority first"


def diff(before: Explanation, after: Explanation) -> list[dict[str, Any]]:
    """What changes from one manifest to another: `{"what", "before", "after", "delta"}`, delta in bytes or counts."""
    rows: list[dict[str, Any]] = []

    def row(what: str, old: Any, new: Any, delta: int | None = None) -> None:
        if old != new:
            rows.append({"what": what, "before": old, "after": new, "delta": delta})

    row("admission", _verdict(before), _verdict(after))
    if before.pod is None or after.pod is None:
        return rows
    row("QoS", before.pod.qos.name, after.pod.qos.name)
    for name in dict.fromkeys(c.name for pod in (before.pod, after.pod) for c in pod.containers):
        old, new = _find(before.pod, name), _find(after.pod, name)
        for kind in ("requests", "limits"):
            amounts = [None if c is None else c.amount(kind) for c in (old, new)]
            values = [0 if amount is None else int(amount.value()) for amount in amounts]
            texts = [None if amount is None else str(amount) for amount in amounts]
            row(f"{name} memory {kind[:-1]}", texts[0], texts[1], values[1] - values[0])
        scores = [None if c is None else c.oom_score_adj for c in (old, new)]
        row(f"{name} oom_score_adj", scores[0], scores[1])
    terms = [dict(pod.overhead.terms) for pod in (before.pod, after.pod)]
    for name in dict.fromkeys((*terms[0], *terms[1])):
        sizes = [int(part.get(name, 0)) for part in terms]
        row(f"overhead {name}", sizes[0], sizes[1], sizes[1] - sizes[0])
    if before.fit is not None and after.fit is not None:
        row("pod request", before.fit.request, after.fit.request, after.fit.request - before.fit.request)
        row("fit", before.fit.count, after.fit.count, after.fit.count - before.fit.count)
    row(
        "compute swap share",
        before.pod.container("compute").swap_share,
        after.pod.container("compute").swap_share,
    )
    row("termination grace", before.pod.grace, after.pod.grace, after.pod.grace - before.pod.grace)
    return rows


def _verdict(explanation: Explanation) -> str:
    return "allowed" if explanation.admission.allowed else explanation.admission.message


def _find(pod: Pod, name: str) -> Container | None:
    return next((container for container in pod.containers if container.name == name), None)


def diff_table(before: Explanation, after: Explanation) -> Iterator[str]:
    """Lines for people: what a change buys."""
    rows = diff(before, after)
    yield f"{before.name} ({before.file}) -> {after.name} ({after.file})"
    if not rows:
        yield "  no difference"
        return
    yield from _rows([_diff_row(row) for row in rows])


def _diff_row(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    delta = row["delta"]
    if delta is None:
        change = ""
    elif row["what"] in {"fit", "termination grace"}:
        change = f"{delta:+d}"
    else:
        change = f"{'+' if delta >= 0 else '-'}{human(abs(delta))}"
    return (
        row["what"],
        str(row["before"] if row["before"] is not None else "-"),
        f"-> {row['after'] if row['after'] is not None else '-'}",
        change,
    )

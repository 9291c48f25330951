"""`status` of a pod as the kubelet writes it: phase, conditions, container statuses.

Source: kubelet_pods.go `getPhase`, status/generate.go and status/status_manager.go (Kubernetes 1.36); order and
wording as recorded on a real kind cluster. Conditions of others (scheduler, virt-controller) are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.embedded.kubelet.containers import Container, Running, Terminated, Waiting, container_status

KUBELETS = ("DisruptionTarget", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why the kubelet ended a pod: an eviction or a refused admission. `disruption`: sets DisruptionTarget."""

    reason: str
    message: str
    disruption: bool


def phase_of(containers: Sequence[Container]) -> str:
    """Return the phase of a pod with restartPolicy Never from its containers' states."""
    init = [c for c in containers if c.role != "main"]
    main = [c for c in containers if c.role == "main"]
    if any(isinstance(c.state, Terminated) and c.state.code != 0 for c in init if c.role == "init"):
        return "Failed"
    initialised = all(c.ready for c in init if c.role == "init") and not any(
        isinstance(c.state, Waiting) and c.last is None for c in init
    )
    ended = [_end(c) for c in main]
    if all(ended):
        if any(isinstance(c.state, Running) for c in init):
            return "Running"
        return "Failed" if any(end is not None and end.code != 0 for end in ended) else "Succeeded"
    if not initialised or any(isinstance(c.state, Waiting) and c.last is None for c in main):
        return "Pending"
    return "Running"


def _end(container: Container) -> Terminated | None:
    if isinstance(container.state, Terminated):
        return container.state
    return container.last if isinstance(container.state, Waiting) else None


def pod_status(
    pod: Mapping[str, Any],
    containers: Sequence[Container],
    *,
    now: str,
    sandbox: bool,
    started: str,
    address: str,
    host_address: str,
    verdict: Verdict | None = None,
    phase: str | None = None,
) -> dict[str, Any]:
    """Return the pod's new `status`. `verdict` shows only once no container runs (status_manager.go:1375-1417)."""
    old = pod.get("status") or {}
    phase = phase or phase_of(containers)
    terminal = phase in {"Succeeded", "Failed"}
    generation = pod["metadata"].get("generation", 1)
    previous = {c["type"]: c for c in old.get("conditions") or ()}

    def condition(kind: str, holds: bool, reason: str = "", message: str = "") -> dict[str, Any]:
        before = previous.get(kind)
        status = "True" if holds else "False"
        same = before is not None and before["status"] == status
        return {
            "type": kind,
            "observedGeneration": generation,
            "status": status,
            "lastProbeTime": None,
            "lastTransitionTime": before["lastTransitionTime"] if same and before else now,
            **({"reason": reason} if reason else {}),
            **({"message": message} if message else {}),
        }

    conditions = [
        c for c in old.get("conditions") or () if c["type"] not in KUBELETS and c["type"] != "PodScheduled"
    ]
    foreign = {c["type"]: c["status"] for c in conditions}
    if terminal and verdict is not None and verdict.disruption:
        conditions.append(condition("DisruptionTarget", True, "TerminationByKubelet", verdict.message))
    conditions.append(condition("PodReadyToStartContainers", sandbox and not terminal))
    conditions += _initialised_and_ready(pod, containers, phase=phase, foreign=foreign, condition=condition)
    if "PodScheduled" in previous:
        conditions.append({**previous["PodScheduled"], "observedGeneration": generation})

    status: dict[str, Any] = {"observedGeneration": generation, "phase": phase, "conditions": conditions}
    # An evicted pod whose containers all ended well is Succeeded, with neither reason nor message (seen on 1.36.2).
    if phase == "Failed" and verdict is not None:
        status |= {"message": verdict.message, "reason": verdict.reason}
    status |= {"hostIP": host_address, "hostIPs": [{"ip": host_address}]}
    if address and sandbox:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["startTime"] = old.get("startTime") or started
    status["initContainerStatuses"] = [container_status(c) for c in containers if c.role != "main"]
    status["containerStatuses"] = [container_status(c) for c in containers if c.role == "main"]
    for kept in ("qosClass", "allocatedResources", "resources"):
        if kept in old:
            status[kept] = old[kept]
    return status


def _initialised_and_ready(
    pod: Mapping[str, Any],
    containers: Sequence[Container],
    *,
    phase: str,
    foreign: Mapping[str, str],
    condition: Any,
) -> list[dict[str, Any]]:
    """Return Initialized, Ready and ContainersReady (status/generate.go)."""
    incomplete = [c.name for c in containers if not _initialised(c)]
    unready = [c.name for c in containers if c.role != "init" and not c.ready]
    if phase == "Succeeded":
        done = "PodCompleted"
        return [
            condition("Initialized", True, done),
            condition("Ready", False, done),
            condition("ContainersReady", False, done),
        ]
    if phase == "Failed":
        done = "PodFailed"
        return [
            condition("Initialized", True)
            if any((c.role == "main" and not isinstance(c.state, Waiting)) or c.last for c in containers)
            else condition("Initialized", False, done),
            condition("Ready", False, done),
            condition("ContainersReady", False, done),
        ]
    found = [
        condition(
            "Initialized",
            False,
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(incomplete)}]",
        )
        if incomplete
        else condition("Initialized", True)
    ]
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return [
            *found,
            condition("Ready", False, "ContainersNotReady", message),
            condition("ContainersReady", False, "ContainersNotReady", message),
        ]
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    lacking = [gate for gate in gates if foreign.get(gate) != "True"]
    ready = (
        condition(
            "Ready",
            False,
            "ReadinessGatesNotReady",
            f'corresponding condition of pod readiness gate "{lacking[0]}" does not exist.',
        )
        if lacking
        else condition("Ready", True)
    )
    return [*found, ready, condition("ContainersReady", True)]


def _initialised(container: Container) -> bool:
    match container.role:
        case "main":
            return True
        case "sidecar":
            return not isinstance(container.state, Waiting)
        case "init":
            return container.ready

"""A VMI's Ready condition, made from its phase and its pod.

Source: KubeVirt pkg/virt-controller/watch/vmi/lifecycle.go:874-924 `syncReadyConditionFromPod` (main).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.embedded.vmi import set_condition


def sync_ready(status: dict[str, Any], pods: Sequence[Mapping[str, Any]], *, now: str) -> None:
    """Set Ready in place: the pod's word while the guest runs, else why it isn't ready."""

    def not_ready(reason: str, message: str) -> None:
        set_condition(status, "Ready", "False", reason=reason, message=message, probe=now, transition=now)

    if not pods:
        not_ready("PodNotExists", "virt-launcher pod has not yet been scheduled")
        return
    pod = pods[0]
    if _terminating(pod):
        not_ready("PodTerminating", "virt-launcher pod is terminating")
        return
    if status.get("phase") != "Running":
        not_ready("GuestNotRunning", "Guest VM is not reported as running")
        return
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "Ready":
            set_condition(
                status,
                "Ready",
                condition["status"],
                reason=condition.get("reason", ""),
                message=condition.get("message", ""),
                probe=condition.get("lastProbeTime"),
                transition=condition["lastTransitionTime"],
            )
            return
    not_ready("PodConditionMissing", "virt-launcher pod is missing the Ready condition")


def _terminating(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return True
    status = pod.get("status", {})
    if status.get("phase") in {"Succeeded", "Failed"}:
        return True
    return any(
        container["name"] == "compute" and "terminated" in container.get("state", {})
        for container in status.get("containerStatuses") or ()
    )

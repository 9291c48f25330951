"""What each cause of death leaves in the API: pod, compute container, VMI, and what a VM does next.

Source: KubeVirt pkg/virt-handler/vm.go, pkg/virt-controller/watch/{vmi,vm} (main; facts of a real kind 1.36.2 where seen),
Kubernetes pkg/kubelet/status/status_manager.go. `[live]` marks what nobody here has seen on a cluster.
KubeVirt copies no cause into the VMI: phase and event are all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from harness.rules import columns
from harness.rules.messages import CRASHED, SHUT_DOWN
from harness.units import Seconds

Cause = Literal[
    "hard-eviction",
    "soft-eviction",
    "container-oom",
    "node-oom",
    "guest-shutdown",
    "guest-panic",
    "qemu-killed",
    "launcher-killed",
]
Strategy = Literal["Always", "RerunOnFailure", "Once", "Manual", "Halted"]
Event = tuple[str, str, str]
"""Type, reason, message."""

LAUNCHER_UNRESPONSIVE: Final = Seconds(39.5)
"""How long a deaf evicted guest's VMI stayed Running on a real cluster (seen once each, hard and soft)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What can be read afterwards."""

    vmi_phase: Literal["Succeeded", "Failed", "Running"]
    vmi_event: Event | None
    pod_phase: Literal["Succeeded", "Failed", "Running"]
    pod_reason: str = ""
    """`status.reason`: Evicted, or empty (also for an evicted pod whose containers all exited 0 in time)."""
    disruption: bool = False
    """Condition DisruptionTarget/TerminationByKubelet and the Evicted event are there."""
    exit_code: int | None = None
    container_reason: str = ""
    guest_events: tuple[str, ...] = ()
    """Events on the VMI before: `ShuttingDown` where the power button was pressed."""
    phase_lag: Seconds = Seconds(0.0)
    """How long the VMI may still say Running after its pod died."""
    note: str = ""


_OOM: Final = Outcome(
    vmi_phase="Failed",
    vmi_event=CRASHED,
    pod_phase="Failed",
    exit_code=137,
    container_reason="OOMKilled",
)


def outcome(
    cause: Cause,
    *,
    column: str,
    clean: bool = False,
    in_time: bool = True,
    vmi_grace: int = 30,
    group_kill: bool = True,
) -> Outcome:
    """Describe what a cause of death leaves behind.

    `clean`: the guest heard the power button and shut down. `in_time`: all containers then exited 0 before SIGKILL.
    `vmi_grace`: the VMI's terminationGracePeriodSeconds. `group_kill`: memory.oom.group is set (cgroup v2 unless
    singleProcessOOMKill); without it only QEMU dies of an OOM. Raises ColumnError.
    """
    lag = Seconds(0.0) if columns.column(column).fails_at_once else LAUNCHER_UNRESPONSIVE
    match cause:
        case "hard-eviction" | "soft-eviction":
            return _evicted(clean=clean, in_time=in_time, vmi_grace=vmi_grace, lag=lag)
        case "container-oom" | "node-oom":
            if group_kill:
                return replace(_OOM, phase_lag=lag)
            return replace(
                _OOM,
                pod_phase="Succeeded",
                exit_code=0,
                note="QEMU alone dies; virt-launcher exits 0 some seconds later, so the pod succeeds",
            )
        case "guest-shutdown":
            return Outcome(vmi_phase="Succeeded", vmi_event=SHUT_DOWN, pod_phase="Succeeded", exit_code=0)
        case "guest-panic":
            return Outcome(
                vmi_phase="Failed",
                vmi_event=CRASHED,
                pod_phase="Succeeded",
                exit_code=0,
                note="with a panic device also an event GuestPanicked; without one a panicked guest that doesn't reboot "
                "stays Running [live]",
            )
        case "qemu-killed":
            return Outcome(vmi_phase="Failed", vmi_event=CRASHED, pod_phase="Succeeded", exit_code=0)
        case "launcher-killed":
            return Outcome(
                vmi_phase="Failed", vmi_event=CRASHED, pod_phase="Failed", exit_code=137, phase_lag=lag
            )


def _evicted(*, clean: bool, in_time: bool, vmi_grace: int, lag: Seconds) -> Outcome:
    if clean and in_time:
        return Outcome(
            vmi_phase="Succeeded",
            vmi_event=SHUT_DOWN,
            pod_phase="Succeeded",
            disruption=True,
            exit_code=0,
            container_reason="Completed",
            guest_events=("ShuttingDown",),
            note="an evicted pod whose containers all exit 0 has neither reason nor message",
        )
    killed = Outcome(
        vmi_phase="Failed",
        vmi_event=CRASHED,
        pod_phase="Failed",
        pod_reason="Evicted",
        disruption=True,
        exit_code=137,
        guest_events=("ShuttingDown",),
        phase_lag=lag,
    )
    if clean or vmi_grace == 0:
        return replace(
            killed,
            vmi_phase="Succeeded",
            vmi_event=SHUT_DOWN,
            phase_lag=Seconds(0.0),
            guest_events=("ShuttingDown",) if clean else (),
        )
    return killed


def restarts(strategy: Strategy, vmi_phase: str) -> bool:
    """Whether a VM with this runStrategy makes a new VMI: Always after any end, RerunOnFailure after Failed only.

    A VMI that had been Running is restarted without back-off; nothing prefers its old node.
    """
    if vmi_phase not in {"Succeeded", "Failed"}:
        return False
    return strategy == "Always" or (strategy == "RerunOnFailure" and vmi_phase == "Failed")


def start_backoff(failures: int) -> Seconds:
    """Wait before the n-th retry of a VM whose VMI failed before it ever ran: n^2 x 10 s, at most 300 s (plus jitter)."""
    return Seconds(float(min(300, failures * failures * 10)))

"""How long an evicted pod has between SIGTERM and SIGKILL.

Source: Kubernetes pkg/kubelet/eviction/eviction_manager.go, pod_workers.go `calculateEffectiveGracePeriod`,
kuberuntime/kuberuntime_container.go (1.36); KubeVirt pkg/virt-controller/services/template.go. Unit: seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.rules.thresholds import Threshold
from harness.rules.vmi import grace_seconds, spec
from harness.units import Seconds

HARD_OVERRIDE: Final = 1
"""Since Kubernetes ~1.31 [MEM] (PR 124063); before, a hard eviction gave the pod's whole grace period."""
MINIMUM_WINDOW: Final = Seconds(2.0)
"""`minimumGracePeriodInSeconds` of the container runtime manager."""
LAUNCHER_PADDING: Final = 15
KILL_TIMEOUT: Final = Seconds(10.0)


def pod_grace_seconds(vmi: Mapping[str, Any]) -> int:
    """The virt-launcher pod's terminationGracePeriodSeconds: the VMI's own + 15 + 15 (60 by default)."""
    return grace_seconds(spec(vmi)) + 2 * LAUNCHER_PADDING


def override(threshold: Threshold, *, max_pod_grace: int, pod_grace: int | None) -> int:
    """Grace the eviction manager asks for: 1 if hard, else min(evictionMaxPodGracePeriod, the pod's).

    May be 0 or negative: the default cap of 0 makes a soft eviction as abrupt as a hard one.
    """
    if threshold.hard:
        return HARD_OVERRIDE
    return max_pod_grace if pod_grace is None else min(max_pod_grace, pod_grace)


def window(asked: int) -> Seconds:
    """SIGTERM to SIGKILL: what is asked for, but at least 1 s for the pod worker and 2 s for a container.

    Negative means 1 s too, whatever the flag's help says (kubernetes#118172).
    """
    return max(MINIMUM_WINDOW, Seconds(float(max(1, asked))))


def kill_window(threshold: Threshold, *, max_pod_grace: int, pod_grace: int | None) -> Seconds:
    """SIGTERM to SIGKILL of a pod evicted by this threshold."""
    return window(override(threshold, max_pod_grace=max_pod_grace, pod_grace=pod_grace))


def kill_timeout(asked: int) -> Seconds:
    """How long the eviction manager waits, doing nothing else: max(10 s, grace + grace / 2)."""
    grace = max(1, asked)
    return max(KILL_TIMEOUT, Seconds(float(grace + grace // 2)))

"""The effective KubeletConfiguration, as `/configz` shows it.

Source: pkg/kubelet/apis/config/v1beta1/defaults.go (Kubernetes 1.36), recorded `configz` of a real 1.36.2. A kubelet
that loads a --config file; on cgroup v1 with failCgroupV1 false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.machine.base import Accounting
from harness.rules import durations
from harness.rules.allocatable import node_memory
from harness.rules.errors import ThresholdError
from harness.rules.swap import swap_behavior, why_not_started
from harness.rules.thresholds import effective_hard, parse_thresholds, transition_period
from harness.units import Bytes

_NONE = Bytes(0)
_DEFAULTS: Mapping[str, Any] = {
    "kind": "KubeletConfiguration",
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "syncFrequency": "1m0s",
    "port": 10250,
    "oomScoreAdj": -999,
    "nodeStatusUpdateFrequency": "10s",
    "nodeStatusReportFrequency": "5m0s",
    "nodeLeaseDurationSeconds": 40,
    "cgroupRoot": "/",
    "cgroupsPerQOS": True,
    "cgroupDriver": "cgroupfs",
    "cpuManagerPolicy": "none",
    "memoryManagerPolicy": "None",
    "topologyManagerPolicy": "none",
    "maxPods": 110,
    "podPidsLimit": -1,
    "mergeDefaultEvictionSettings": False,
    "failSwapOn": True,
    "memorySwap": {},
    "enforceNodeAllocatable": ["pods"],
    "memoryThrottlingFactor": 0.9,
    "memoryReservationPolicy": "None",
    "registerNode": True,
    "localStorageCapacityIsolation": True,
}


def effective(
    fragment: Mapping[str, Any], *, capacity: Bytes, accounting: Accounting, swap: Bytes = _NONE
) -> dict[str, Any]:
    """Return the configuration a kubelet runs with on a node of that much memory and swap.

    Raises RulesError with the text it would refuse to start with.
    """
    hard = effective_hard(fragment)
    configuration = {**_DEFAULTS, **fragment, "evictionHard": dict(hard)}
    configuration["evictionPressureTransitionPeriod"] = durations.text(transition_period(fragment))
    if configuration.get("enforceNodeAllocatable") is None:
        configuration["enforceNodeAllocatable"] = ["pods"]
    if accounting != "v2":
        configuration["failCgroupV1"] = False
    parse_thresholds(configuration)
    node_memory(configuration, capacity=capacity)
    swap_behavior(configuration)
    if why := why_not_started(configuration, swap_total=swap):
        raise ThresholdError(why)
    return configuration

"""Whether a scenario's machine merges pages, why it may never come to that, and what KubeVirt's handler would set on a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules.ksm import INTERVAL, KsmTuning, KsmValues, next_values
from harness.rules.ksmtuned import settings
from harness.spec.model import Scenario
from harness.units import Bytes

_KB: Final = 1 << 10
_MIB: Final = 1 << 20


def merges(scenario: Scenario) -> bool:
    """Whether ksmd runs at some time, or may be started."""
    found = (scenario.host.ksm, *(step.ksm for step in scenario.workload))
    return any(ksm is not None and ksm.merges for ksm in found)


def never(scenario: Scenario) -> Iterator[str]:
    """Say why whoever is to tune KSM will not start it."""
    ksm = scenario.host.ksm
    if ksm is None:
        return
    configured = scenario.kubevirt.get("ksmConfiguration") or {}
    if ksm.by == "kubevirt" and configured.get("nodeLabelSelector") is None:
        yield (
            "KubeVirt's handler takes no node, since kubevirt.ksmConfiguration.nodeLabelSelector is not set: "
            "it never starts KSM"
        )
    if ksm.tuned is not None and scenario.budget is not None:
        interval = settings(ksm.tuned.values).interval
        if interval >= scenario.budget:
            yield (
                f"ksmtuned looks for the first time after {interval:g} s (KSM_MONITOR_INTERVAL), and the scenario's budget is "
                f"{scenario.budget:g} s: it never starts KSM"
            )


def by_kubevirt(configuration: Mapping[str, Any], *, node_memory: Bytes) -> str:
    """Say what virt-handler does about KSM on a node of that size; '' where it is not configured to."""
    if configuration.get("ksmConfiguration") is None:
        return ""
    if configuration["ksmConfiguration"].get("nodeLabelSelector") is None:
        return "ksmConfiguration without nodeLabelSelector takes no node: virt-handler never starts KSM"
    usual, total = KsmTuning(), node_memory // _KB
    available = int(total * usual.free_percent)
    first = next_values(KsmValues(), total_kb=total, available_kb=available)
    return (
        f"on the nodes that ksmConfiguration takes, virt-handler starts KSM only once {available * _KB // _MIB} MiB or less of "
        f"{node_memory // _MIB} are available: {usual.pages_init} pages every {first.sleep_ms} ms then, {usual.pages_boost} more "
        f"every {INTERVAL / 60:g} min up to {usual.pages_max}; annotations kubevirt.io/ksm-*-override of the node change that, "
        "no file does"
    )

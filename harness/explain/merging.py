"""Whether a scenario's machine merges pages, and why it may never come to that."""

from __future__ import annotations

from collections.abc import Iterator

from harness.rules.ksmtuned import settings
from harness.spec.model import Scenario


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

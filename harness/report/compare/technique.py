"""Which technique of raising density a run used, read from its scenario; and the other ways to group runs.

Words: `baseline`, `headless`, `overcommit-overhead`, `overcommit-guest`, `overcommit-percent`, `ksm`, `swap`,
`no-console-log`, `no-free-page-reporting`, joined by `+`. A run that says its technique itself (`technique` among its
qualifiers, or in its scenario) is taken at its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.records.model import Provenance
from harness.records.served import dig, maybe_quantity
from harness.report.errors import ReportError
from harness.resources import techniques_file
from harness.spec.model import Scenario
from harness.spec.techniques import JOIN, read_techniques

By = str
"""`technique`, `version`, `cluster`, or an axis of the scenarios' matrix."""


def group_of(
    by: By, provenance: Provenance, scenario: Scenario, seen: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return the name of the group a run belongs to. `seen`: VMIs as served, for recordings that created none.

    Raises ReportError for an axis that the run's matrix does not have.
    """
    if by == "version":
        return provenance.versions.get("kubevirtColumn") or "unknown version"
    if by == "cluster":
        return provenance.cluster
    if by != "technique":
        if by not in scenario.matrix:
            known = ", ".join(("technique", "version", "cluster", *scenario.matrix))
            raise ReportError(f"--by {by}: {scenario.name} has no such axis; one of {known}")
        return scenario.matrix[by]
    return provenance.qualifiers.get("technique") or scenario.technique or technique(scenario, seen)


def technique(scenario: Scenario, seen: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the techniques a scenario uses: of all its nodes, and of any VMI of its fleets (or any VMI seen)."""
    found = []
    manifests = [fleet.manifest for fleet in scenario.fleet if not fleet.match] or list(seen)
    if any(dig(m, "spec", "domain", "devices", "autoattachGraphicsDevice") is False for m in manifests):
        found.append("headless")
    if any(dig(m, "spec", "domain", "resources", "overcommitGuestOverhead") is True for m in manifests):
        found.append("overcommit-overhead")
    if any(map(_less_than_guest, manifests)):
        found.append("overcommit-guest")
    percent = dig(scenario.kubevirt, "developerConfiguration", "memoryOvercommit")
    if isinstance(percent, int) and percent > 100:
        found.append("overcommit-percent")
    settings = (scenario.host.ksm, *(step.ksm for step in scenario.workload))
    merges = any(ksm is not None and ksm.merges for ksm in settings)
    if merges or dig(scenario.kubevirt, "ksmConfiguration") is not None:
        found.append("ksm")
    if any(_swaps(node.kubelet) for node in scenario.nodes):
        found.append("swap")
    if any(dig(m, "spec", "domain", "devices", "logSerialConsole") is False for m in manifests):
        found.append("no-console-log")
    if any(
        "kubevirt.io/free-page-reporting-disabled" in (dig(m, "metadata", "annotations") or {})
        for m in manifests
    ):
        found.append("no-free-page-reporting")
    return "+".join(found) or "baseline"


def words(groups: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return what the techniques that these groups are made of mean, in the order of `suites/techniques.yaml`."""
    used = {part for group in groups for part in group.split(JOIN)}
    file = techniques_file()
    known = read_techniques(file.read_text(encoding="utf-8"), file=file.name).known
    return tuple((name, one.title) for name, one in known.items() if name in used)


def _less_than_guest(manifest: Mapping[str, Any]) -> bool:
    guest = maybe_quantity(dig(manifest, "spec", "domain", "memory", "guest"))
    request = maybe_quantity(dig(manifest, "spec", "domain", "resources", "requests", "memory"))
    return guest is not None and request is not None and request < guest


def _swaps(kubelet: Mapping[str, Any]) -> bool:
    return bool(dig(kubelet, "memorySwap", "swapBehavior") == "LimitedSwap")

"""What a run says of itself beside its findings: the qualifiers in `run.json`."""

from __future__ import annotations

from harness.cluster.base import Cluster
from harness.spec.model import Scenario


def qualifiers(scenario: Scenario, cluster: Cluster) -> dict[str, str]:
    """Return the cluster's qualifiers, and the technique the scenario names, where it names one."""
    technique = {"technique": scenario.technique} if scenario.technique else {}
    return {**cluster.qualifiers, **technique}

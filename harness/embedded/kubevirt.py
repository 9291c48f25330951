"""The KubeVirt CR of an embedded cluster: deployed, available, of the version that is played."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.kubelet.status import MARKER

KUBEVIRT_NAMESPACE = "kubevirt"
KUBEVIRT_NAME = "kubevirt"
KUBEVIRT_VERSIONS: Mapping[str, str] = {
    "v1.6": "v1.6.0",
    "v1.7": "v1.7.0",
    "v1.8": "v1.8.0",
    "v1.9": "v1.9.0",
    "main": "v1.10.0-main",
}
"""Column → `observedKubeVirtVersion`; each leads back to its column (rules.columns.column)."""


def kubevirt_object(column: str, configuration: Mapping[str, Any], *, now: str) -> dict[str, Any]:
    """Return the CR to store. `configuration`: its `spec.configuration`."""
    version = KUBEVIRT_VERSIONS[column]

    def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": now,
            "lastTransitionTime": now,
        }

    ready = ("AllComponentsReady", "All components are ready.")
    return {
        "metadata": {
            "name": KUBEVIRT_NAME,
            "namespace": KUBEVIRT_NAMESPACE,
            "annotations": {
                MARKER: "true",
                "kubevirt.io/latest-observed-api-version": "v1",
                "kubevirt.io/storage-observed-api-version": "v1",
            },
        },
        "spec": {
            "certificateRotateStrategy": {},
            "configuration": dict(configuration),
            "customizeComponents": {},
            "imagePullPolicy": "IfNotPresent",
            "workloadUpdateStrategy": {},
        },
        "status": {
            "conditions": [
                condition("Available", "True", *ready),
                condition("Progressing", "False", *ready),
                condition("Degraded", "False", *ready),
                condition("Created", "True", "AllResourcesCreated", "All resources were created."),
            ],
            "defaultArchitecture": "amd64",
            "observedKubeVirtVersion": version,
            "operatorVersion": version,
            "targetKubeVirtVersion": version,
            "phase": "Deployed",
        },
    }

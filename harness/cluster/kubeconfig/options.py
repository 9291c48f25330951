"""What the user chooses of an existing cluster: by flags, else by the environment, so that pytest sees the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.cluster.errors import ClusterError

ENVIRONMENT: Mapping[str, str] = {
    "context": "DENSITY_CONTEXT",
    "meant": "DENSITY_I_MEAN_IT",
    "namespace": "DENSITY_NAMESPACE",
    "agent_image": "DENSITY_AGENT_IMAGE",
    "nodes": "DENSITY_NODES",
    "patch_kubevirt": "DENSITY_PATCH_KUBEVIRT",
}
_TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices. A kubeconfig that is not named is $KUBECONFIG, else ~/.kube/config."""

    kubeconfig: Path | Mapping[str, Any] | None = None
    context: str | None = None
    meant: bool = False
    """`--i-mean-it`, for what looks like production."""
    namespace: str = ""
    """An existing namespace to run in; '' makes one per run."""
    agent_image: str = ""
    """Registry reference of the guest image."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Scenario node name → node of the cluster."""
    patch_kubevirt: bool = False
    """May the KubeVirt CR be patched (and restored)?"""

    @classmethod
    def of(cls, environment: Mapping[str, str], given: Mapping[str, Any]) -> Self:
        """Return what was given, and of the rest what the environment says. Raises ClusterError."""
        told: dict[str, Any] = {
            name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)
        }
        for name in ("meant", "patch_kubevirt"):
            if name in told:
                told[name] = told[name].lower() in _TRUE
        told |= {name: value for name, value in given.items() if value not in (None, [], ())}
        if "nodes" in told:
            items = told["nodes"].split(",") if isinstance(told["nodes"], str) else told["nodes"]
            told["nodes"] = dict(_pair(item) for item in items)
        return cls(**told)


def _pair(item: str) -> tuple[str, str]:
    name, equals, node = item.strip().partition("=")
    if not (name and equals and node):
        raise ClusterError(f"--node {item}: expected SCENARIO-NODE=CLUSTER-NODE")
    return name, node

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
    "guest_disk": "DENSITY_GUEST_DISK",
    "nodes": "DENSITY_NODES",
    "patch_kubevirt": "DENSITY_PATCH_KUBEVIRT",
    "node_reader": "DENSITY_NODE_READER",
    "node_reader_image": "DENSITY_NODE_READER_IMAGE",
    "allow_kubelet_config": "DENSITY_ALLOW_KUBELET_CONFIG",
}
_SWITCHES = ("meant", "patch_kubevirt", "node_reader", "allow_kubelet_config")
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
    guest_disk: str = ""
    """Registry reference of a stock container disk with cloud-init, in place of the guest image: a lesser guest."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Scenario node name → node of the cluster."""
    patch_kubevirt: bool = False
    """May the KubeVirt CR be patched (and restored)?"""
    node_reader: bool = False
    """May a privileged DaemonSet read the nodes' cgroups, memory and kernel log?"""
    node_reader_image: str = ""
    """Registry reference of an image with sh, grep, cat, tr and sleep; for touching kubelets also nsenter."""
    allow_kubelet_config: bool = False
    """May kubelets of the chosen nodes be given other settings, and restarted? Put back at the end."""

    @classmethod
    def of(cls, environment: Mapping[str, str], given: Mapping[str, Any]) -> Self:
        """Return what was given, and of the rest what the environment says. Raises ClusterError."""
        told: dict[str, Any] = {
            name: environment[variable] for name, variable in ENVIRONMENT.items() if environment.get(variable)
        }
        for name in _SWITCHES:
            if name in told:
                told[name] = told[name].lower() in _TRUE
        told |= {name: value for name, value in given.items() if value not in (None, [], ())}
        if "nodes" in told:
            items = told["nodes"].split(",") if isinstance(told["nodes"], str) else told["nodes"]
            told["nodes"] = dict(_pair(item) for item in items)
        made = cls(**told)
        made.check()
        return made

    def check_guest(self) -> None:
        """Raise ClusterError where no guest is named."""
        if not (self.agent_image or self.guest_disk):
            raise ClusterError(
                "nodes of an existing cluster pull the guest from a registry: name its image with --agent-image REF, "
                "or a stock container disk with --guest-disk REF"
            )

    def check(self) -> None:
        """Raise ClusterError for choices that can't be meant together."""
        if self.agent_image and self.guest_disk:
            raise ClusterError("--agent-image and --guest-disk both name the guest: name one of them")
        for chosen, flag in (
            (self.node_reader, "--node-reader"),
            (self.allow_kubelet_config, "--allow-kubelet-config"),
        ):
            if chosen and not self.node_reader_image:
                raise ClusterError(
                    f"{flag} runs a privileged pod on the nodes: name its image with --node-reader-image REF "
                    "(sh, coreutils and grep; busybox will do)"
                )


def _pair(item: str) -> tuple[str, str]:
    name, equals, node = item.strip().partition("=")
    if not (name and equals and node):
        raise ClusterError(f"--node {item}: expected SCENARIO-NODE=CLUSTER-NODE")
    return name, node

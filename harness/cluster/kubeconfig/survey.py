"""Looking at a cluster before anything is done: is it there, may we, what is it, which nodes can play a scenario's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.errors import ClusterError, NotObservable
from harness.kube import node as kubelet
from harness.kube.errors import ApiError, Forbidden, KubeError, NotFound, Unauthorized, Unreachable
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS, NODES
from harness.rules.columns import observed_name
from harness.rules.errors import RulesError
from harness.rules.quantities import parse_bytes
from harness.units import Bytes

EMBEDDED_VERSION = "+density.embedded"
EMBEDDED_ANNOTATION = "density.dev/embedded"
SCHEDULABLE = "kubevirt.io/schedulable"
_KEEPS_OFF = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is there."""

    kubernetes: str
    embedded: bool
    nodes: tuple[Mapping[str, Any], ...]
    kubevirt: Mapping[str, Any]
    """The KubeVirt CR."""

    @property
    def kubevirt_version(self) -> str:
        """`observedKubeVirtVersion`."""
        return str((self.kubevirt.get("status") or {}).get("observedKubeVirtVersion") or "")

    @property
    def column(self) -> str:
        """Version column of the constants, '' where none is known for this version."""
        return observed_name(self.kubevirt_version)

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The CR's `spec.configuration`."""
        return (self.kubevirt.get("spec") or {}).get("configuration") or {}

    @property
    def emulated(self) -> bool:
        """Whether KubeVirt may fall back to TCG."""
        return bool((self.configuration.get("developerConfiguration") or {}).get("useEmulation"))


async def look(objects: Objects, *, context: str) -> Survey:
    """Raises ClusterError: unreachable, not logged in, not allowed, no KubeVirt, KubeVirt not available."""
    try:
        version = await kubelet.version(objects)
        nodes, _ = await objects.list_all(NODES)
        kubevirts = await _kubevirts(objects)
    except KubeError as error:
        raise in_words(error, context=context) from error
    git = str(version.get("gitVersion") or "")
    embedded = git.endswith(EMBEDDED_VERSION) or any(
        EMBEDDED_ANNOTATION in (item["metadata"].get("annotations") or {}) for item in (*nodes, *kubevirts)
    )
    if not kubevirts:
        raise ClusterError(
            f"context {context}: KubeVirt is not installed (no KubeVirt object): "
            "install it (https://kubevirt.io/user-guide/cluster_admin/installation) or use --cluster kind"
        )
    kubevirt = kubevirts[0]
    _available(kubevirt, context=context)
    return Survey(kubernetes=git, embedded=embedded, nodes=tuple(nodes), kubevirt=kubevirt)


async def _kubevirts(objects: Objects) -> list[dict[str, Any]]:
    try:
        found, _ = await objects.list_all(KUBEVIRTS)
    except NotFound:
        return []
    return found


def _available(kubevirt: Mapping[str, Any], *, context: str) -> None:
    for condition in (kubevirt.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available" and condition.get("status") != "True":
            raise ClusterError(
                f"context {context}: KubeVirt is not available: "
                f"{condition.get('message') or condition.get('reason') or 'no reason given'}"
            )


def in_words(error: KubeError, *, context: str) -> ClusterError:
    """Return what a failing first call means to the user, in one line."""
    match error:
        case Unauthorized():
            return ClusterError(
                f"context {context}: the API server does not accept the credentials (expired?): log in again, "
                f"or make a new token; check with kubectl --context {context} auth whoami"
            )
        case Forbidden():
            return ClusterError(f"RBAC denies: {error}; density rbac | kubectl apply -f - grants it")
        case Unreachable():
            return ClusterError(f"context {context}: the API server can't be reached: {error}")
        case ApiError():
            return ClusterError(f"context {context}: {error}")
    return ClusterError(str(error))


# -- nodes ---------------------------------------------------------------------------------------------------------


def capacity(node: Mapping[str, Any]) -> Bytes:
    """Return `status.capacity.memory` in bytes, 0 where it is not said."""
    return _memory(node, "capacity")


def allocatable(node: Mapping[str, Any]) -> Bytes:
    """Return `status.allocatable.memory` in bytes, 0 where it is not said."""
    return _memory(node, "allocatable")


def _memory(node: Mapping[str, Any], key: str) -> Bytes:
    value = ((node.get("status") or {}).get(key) or {}).get("memory")
    try:
        return parse_bytes(str(value)) if value is not None else Bytes(0)
    except RulesError:
        return Bytes(0)


def why_not(node: Mapping[str, Any], *, kubevirt_labels: bool) -> str:
    """Return why VMs can't be placed on a node, '' if they can."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    if not any(
        c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()
    ):
        return "is not Ready"
    if spec.get("unschedulable"):
        return "is cordoned"
    for taint in spec.get("taints") or ():
        if taint.get("effect") in _KEEPS_OFF:
            return f"has the taint {taint.get('key')}:{taint.get('effect')}"
    labels = node["metadata"].get("labels") or {}
    if kubevirt_labels and labels.get(SCHEDULABLE) != "true":
        return f"has no label {SCHEDULABLE}=true (virt-handler does not run there)"
    return ""


def choose(
    nodes: Sequence[Mapping[str, Any]], wanted: Sequence[str], *, named: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """Return a node for each of a scenario's names: those the user named, else the largest usable ones.

    Raises ClusterError for a named node that is not there or can't be used, NotObservable when there are too few.
    """
    by_name = {str(node["metadata"]["name"]): node for node in nodes}
    labelled = any((n["metadata"].get("labels") or {}).get(SCHEDULABLE) for n in nodes)
    chosen: dict[str, Mapping[str, Any]] = {}
    for name in wanted:
        if name in named:
            node = by_name.get(named[name])
            if node is None:
                raise ClusterError(
                    f"--node {name}={named[name]}: no such node (there are {', '.join(by_name)})"
                )
            if reason := why_not(node, kubevirt_labels=labelled):
                raise ClusterError(f"--node {name}={named[name]}: the node {reason}")
            chosen[name] = node
    taken = {str(node["metadata"]["name"]) for node in chosen.values()}
    reasons = {name: why_not(node, kubevirt_labels=labelled) for name, node in by_name.items()}
    free = sorted(
        (n for n in by_name if n not in taken and not reasons[n]), key=lambda n: (-allocatable(by_name[n]), n)
    )
    for name in wanted:
        if name not in chosen:
            if not free:
                told = "; ".join(f"{n} {why}" for n, why in reasons.items() if why) or "no others"
                raise NotObservable(f"the scenario needs {len(wanted)} nodes, this cluster has fewer: {told}")
            chosen[name] = by_name[free.pop(0)]
    return chosen

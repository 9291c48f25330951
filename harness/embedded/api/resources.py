"""The kinds that are served: one `Resource` each, in the words of Kubernetes discovery.

Short names and categories are those of Kubernetes 1.36 and KubeVirt 1.9
(kubevirt: pkg/virt-operator/resource/generate/components/crds.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ALL_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A part of an object that is served on its own path, such as `pods/log`."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""
    """Group and version of `kind` where they differ from the parent's (eviction: policy/v1)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Resource:
    """A kind as it is addressed: `apis/<group>/<version>/[namespaces/<ns>/]<plural>`.

    There is one object per kind, compared by identity, so that it is a cheap key. `version` is the stored one; `also_served` are further
    versions under which the same objects are served with another `apiVersion`.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    also_served: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    generation: Literal["none", "spec", "all"] = "none"
    """What raises `metadata.generation`: nothing, changes outside metadata and status, or outside metadata.

    As recorded on a real cluster: nodes and events carry none, a pod's stays 1, a VMI's grows with its status.
    """

    def __repr__(self) -> str:
        return f"<{self.qualified}>"

    @property
    def api_version(self) -> str:
        """`v1` or `kubevirt.io/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods` or `virtualmachineinstances.kubevirt.io`, as error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def versions(self) -> tuple[str, ...]:
        """Every served version, the stored one first."""
        return (self.version, *self.also_served)

    @property
    def status_is_separate(self) -> bool:
        """Whether `/status` is a subresource, so that plain writes leave `status` alone."""
        return any(sub.name == "status" for sub in self.subresources)

    def details(self, name: str) -> dict[str, Any]:
        """`details` of a Status about one object."""
        return {"name": name, **({"group": self.group} if self.group else {}), "kind": self.plural}


_STATUS = ("get", "patch", "update")

NAMESPACES = Resource(
    group="",
    version="v1",
    plural="namespaces",
    kind="Namespace",
    namespaced=False,
    singular="namespace",
    short_names=("ns",),
    subresources=(Subresource(name="status", kind="Namespace", verbs=_STATUS),),
)
NODES = Resource(
    group="",
    version="v1",
    plural="nodes",
    kind="Node",
    namespaced=False,
    singular="node",
    short_names=("no",),
    subresources=(
        Subresource(name="proxy", kind="NodeProxyOptions", verbs=("get",)),
        Subresource(name="status", kind="Node", verbs=_STATUS),
    ),
)
PODS = Resource(
    group="",
    version="v1",
    plural="pods",
    kind="Pod",
    namespaced=True,
    singular="pod",
    short_names=("po",),
    categories=("all",),
    generation="spec",
    subresources=(
        Subresource(name="eviction", kind="Eviction", verbs=("create",), group="policy", version="v1"),
        Subresource(name="log", kind="Pod", verbs=("get",)),
        Subresource(name="status", kind="Pod", verbs=_STATUS),
    ),
)
EVENTS = Resource(
    group="",
    version="v1",
    plural="events",
    kind="Event",
    namespaced=True,
    singular="event",
    short_names=("ev",),
)
CONFIG_MAPS = Resource(
    group="",
    version="v1",
    plural="configmaps",
    kind="ConfigMap",
    namespaced=True,
    singular="configmap",
    short_names=("cm",),
)
"""Kept and served; nothing here reads one, as no KubeVirt of today does."""

SERVICES = Resource(
    group="",
    version="v1",
    plural="services",
    kind="Service",
    namespaced=True,
    singular="service",
    short_names=("svc",),
    verbs=READ_VERBS,
)
"""Always empty; `kubectl cluster-info` asks for it."""

LEASES = Resource(
    group="coordination.k8s.io",
    version="v1",
    plural="leases",
    kind="Lease",
    namespaced=True,
    singular="lease",
    verbs=READ_VERBS,
)
"""Empty unless a kubelet writes them; `kubectl describe node` asks for it."""

VIRTUALMACHINEINSTANCES = Resource(
    group="kubevirt.io",
    version="v1",
    plural="virtualmachineinstances",
    kind="VirtualMachineInstance",
    namespaced=True,
    singular="virtualmachineinstance",
    short_names=("vmi", "vmis"),
    categories=("all",),
    also_served=("v1alpha3",),
    generation="all",
    subresources=(Subresource(name="status", kind="VirtualMachineInstance", verbs=_STATUS),),
)
VIRTUALMACHINES = Resource(
    group="kubevirt.io",
    version="v1",
    plural="virtualmachines",
    kind="VirtualMachine",
    namespaced=True,
    singular="virtualmachine",
    short_names=("vm", "vms"),
    categories=("all",),
    also_served=("v1alpha3",),
    generation="spec",
    subresources=(Subresource(name="status", kind="VirtualMachine", verbs=_STATUS),),
)
KUBEVIRTS = Resource(
    group="kubevirt.io",
    version="v1",
    plural="kubevirts",
    kind="KubeVirt",
    namespaced=True,
    singular="kubevirt",
    short_names=("kv", "kvs"),
    categories=("all",),
    also_served=("v1alpha3",),
    generation="spec",
    subresources=(Subresource(name="status", kind="KubeVirt", verbs=_STATUS),),
)

VMIS = VIRTUALMACHINEINSTANCES
VMS = VIRTUALMACHINES

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SERVICES,
    LEASES,
    VIRTUALMACHINES,
    VIRTUALMACHINEINSTANCES,
    KUBEVIRTS,
)
"""Everything that is served and stored."""

CONSOLE_GROUP = "subresources.kubevirt.io"
"""The aggregated API of virt-api: no objects, only what hangs below a VMI or VM."""

CONSOLE_VERSIONS = ("v1", "v1alpha3")
CONSOLE_SUBRESOURCES = ("console", "vnc")
LIFECYCLE_SUBRESOURCES = ("restart", "start", "stop")
"""What hangs below a VM; PUT, as virtctl sends it."""


def find(group: str, version: str, plural: str) -> Resource | None:
    """Return the resource served at this group, version and plural."""
    for resource in RESOURCES:
        if resource.group == group and resource.plural == plural and version in resource.versions:
            return resource
    return None

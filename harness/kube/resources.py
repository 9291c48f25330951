"""The resources the harness speaks of, and their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind as the API addresses it. `group` '' is the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of a collection, object or subresource; namespace '' means all of them."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


NODES = Resource(group="", version="v1", plural="nodes", kind="Node", namespaced=False)
NAMESPACES = Resource(group="", version="v1", plural="namespaces", kind="Namespace", namespaced=False)
PODS = Resource(group="", version="v1", plural="pods", kind="Pod")
EVENTS = Resource(group="", version="v1", plural="events", kind="Event")
CONFIG_MAPS = Resource(group="", version="v1", plural="configmaps", kind="ConfigMap")
VMIS = Resource(
    group="kubevirt.io", version="v1", plural="virtualmachineinstances", kind="VirtualMachineInstance"
)
VMS = Resource(group="kubevirt.io", version="v1", plural="virtualmachines", kind="VirtualMachine")
KUBEVIRTS = Resource(group="kubevirt.io", version="v1", plural="kubevirts", kind="KubeVirt")
RESOURCE_QUOTAS = Resource(group="", version="v1", plural="resourcequotas", kind="ResourceQuota")
LIMIT_RANGES = Resource(group="", version="v1", plural="limitranges", kind="LimitRange")

BY_KIND = {r.kind: r for r in (NODES, NAMESPACES, PODS, EVENTS, VMIS, VMS, KUBEVIRTS)}
"""Kind → resource, for manifests."""

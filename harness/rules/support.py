"""The containers beside compute in a virt-launcher pod: what they request and when they are there.

Source: KubeVirt pkg/virt-controller/services/{serialconsolelog,renderresources}.go, pkg/container-disk,
pkg/virtiofs/resources.go, pkg/network/netbinding (main).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from harness.rules.errors import ManifestError
from harness.rules.quantities import Quantity
from harness.rules.vmi import attached_by_default, get, items, mapping

HOOKS_ANNOTATION: Final = "hooks.kubevirt.io/hookSidecars"

Resources = tuple[dict[str, Quantity], dict[str, Quantity]]
"""Requests, limits."""


class Supports:
    """`supportContainerResources` of the KubeVirt CR: the first entry of the type whose value isn't zero."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._entries = tuple(items(configuration, "supportContainerResources"))

    def get(self, container: str, kind: str, name: str) -> Quantity | None:
        """Return what is configured for a container type; `kind`: requests or limits, `name`: cpu or memory."""
        for entry in self._entries:
            if entry.get("type") == container:
                value = get(entry, "resources", kind, name)
                if value is not None and not (quantity := Quantity.of(value)).is_zero():
                    return quantity
        return None


def support(
    supports: Supports,
    container: str,
    requests: tuple[str, str],
    limits: tuple[str, str],
    *,
    equal: bool,
) -> Resources:
    """CPU and memory of a support container; `equal`: requests raised to the limits."""
    lists: list[dict[str, Quantity]] = []
    for kind, defaults in (("requests", requests), ("limits", limits)):
        chosen: dict[str, Quantity] = {}
        for name, default in zip(("cpu", "memory"), defaults, strict=True):
            chosen[name] = supports.get(container, kind, name) or Quantity.parse(default)
        lists.append(chosen)
    return (dict(lists[1]) if equal else lists[0]), lists[1]


def sidecar(supports: Supports, *, equal: bool) -> Resources:
    """Hook sidecars: nothing unless configured; 200m and 64M if the VMI wants equal requests and limits."""
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    for name, default in (("cpu", "200m"), ("memory", "64M")):
        limit = supports.get("sidecar", "limits", name)
        request = supports.get("sidecar", "requests", name)
        if equal:
            limit = request = limit or Quantity.parse(default)
        if limit is not None:
            limits[name] = limit
        if request is not None:
            requests[name] = request
    return requests, limits


def hook_count(
    vmi_spec: Mapping[str, Any], annotations: Mapping[str, Any], configuration: Mapping[str, Any]
) -> int:
    """Count hook sidecars: those of the annotation, and one for each binding plugin with a sidecar image. Raises ManifestError."""
    count = 0
    if (raw := annotations.get(HOOKS_ANNOTATION)) is not None:
        try:
            count = len(json.loads(raw))
        except (ValueError, TypeError) as error:
            raise ManifestError(f"metadata.annotations[{HOOKS_ANNOTATION}]: not a JSON list") from error
    bindings = mapping(get(configuration, "network", "binding"))
    plugins = {
        str(mapping(interface.get("binding")).get("name", ""))
        for interface in items(vmi_spec, "domain", "devices", "interfaces")
    }
    return count + sum(1 for name in plugins if get(mapping(bindings.get(name)), "sidecarImage"))


def console_log(vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
    """Whether the guest-console-log sidecar is there (serialconsolelog.go isSerialConsoleLogEnabled)."""
    if not attached_by_default(vmi_spec, "autoattachSerialConsole"):
        return False
    chosen = get(vmi_spec, "domain", "devices", "logSerialConsole")
    if chosen is not None:
        return bool(chosen)
    return get(configuration, "virtualMachineOptions", "disableSerialConsoleLog") is None

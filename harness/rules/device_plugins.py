"""What a virt-launcher pod asks of device plugins, and which devices and bindings keep it from being made.

Source: KubeVirt pkg/virt-controller/services/{renderresources,template}.go, pkg/network/vmispec/devices.go,
pkg/network/netbinding (main).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.quantities import Quantity
from harness.rules.vmi import attached_by_default, get, has_vfio, items, mapping

ONE: Final = Quantity.parse("1")


def virtualization(vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Quantity]:
    """`getRequiredResources`: devices that go into the limits alone; request := limit is the API server's."""
    emulation = bool(get(configuration, "developerConfiguration", "useEmulation"))
    interfaces = tuple(items(vmi_spec, "domain", "devices", "interfaces"))
    out: dict[str, Quantity] = {}
    if interfaces or attached_by_default(vmi_spec, "autoattachPodInterface"):
        out["devices.kubevirt.io/tun"] = ONE
    if not emulation and any(interface.get("model") in (None, "", "virtio") for interface in interfaces):
        out["devices.kubevirt.io/vhost-net"] = ONE
    if not emulation:
        out["devices.kubevirt.io/kvm"] = ONE
    if get(vmi_spec, "domain", "devices", "autoattachVSOCK"):
        out["devices.kubevirt.io/vhost-vsock"] = ONE
    return out


def plugin_devices(
    vmi_spec: Mapping[str, Any], version: columns.Column, configuration: Mapping[str, Any]
) -> list[str]:
    """Device plugin resources asked for one by one: GPUs, host devices, SEV, TDX, persistent reservations."""
    out = [
        str(device["deviceName"])
        for kind in ("gpus", "hostDevices")
        if has_vfio(vmi_spec)
        for device in items(vmi_spec, "domain", "devices", kind)
        if device.get("deviceName") and device.get("claimName") is None
    ]
    security = mapping(get(vmi_spec, "domain", "launchSecurity"))
    if security.get("sev") is not None or security.get("snp") is not None:
        out.append("devices.kubevirt.io/sev")
    if security.get("tdx") is not None and version.tdx_device:
        out.append("devices.kubevirt.io/tdx")
    if any(get(disk, "lun", "reservation") for disk in items(vmi_spec, "domain", "devices", "disks")):
        out.append("devices.kubevirt.io/pr-helper")
    if version.tdx_device and columns.gate(
        "IOMMUFD", column=version, configuration=configuration, beta=False
    ):
        out.append("devices.kubevirt.io/iommufd")
    return out


def unrenderable(vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any]) -> str:
    """Why virt-controller makes no pod of an accepted VMI, or '': devices not permitted, a binding plugin it doesn't know.

    Source: renderresources.go `validatePermittedHostDevices`, pkg/network/netbinding `NetBindingPluginSidecarList`.
    """
    permitted = get(configuration, "permittedHostDevices")
    if permitted is not None:
        known = {
            device.get("resourceName")
            for kind in ("pciHostDevices", "mediatedDevices", "usb")
            for device in items(mapping(permitted), kind)
        }
        wrong = [
            f"{word} {device.get('deviceName') or ''} is not permitted in permittedHostDevices configuration"
            for kind, word in (("gpus", "GPU"), ("hostDevices", "HostDevice"))
            for device in items(vmi_spec, "domain", "devices", kind)
            if device.get("claimName") is None and device.get("deviceName") not in known
        ]
        if wrong:
            return " ".join(wrong)
    bindings = mapping(get(configuration, "network", "binding"))
    for interface in items(vmi_spec, "domain", "devices", "interfaces"):
        name = mapping(interface.get("binding")).get("name")
        if name is not None and name not in bindings:
            return f"couldn't find configuration for network binding: {name}"
    return ""

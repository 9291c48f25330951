"""What KubeVirt's mutating webhook writes into volumes, disks and probes, and for an architecture.

Source: KubeVirt pkg/defaults/{defaults,amd64,arm64,s390x}.go, pkg/util/util.go `SetDefaultVolumeDisk`,
staging/src/kubevirt.io/api/core/v1/defaults.go (main).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.quantities import Quantity
from harness.rules.vmi import items, mapping

_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_TARGETS: Final = ("disk", "cdrom", "lun")


def _each(
    parent: dict[str, Any], name: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    if parent.get(name):
        parent[name] = [dict(change(item)) for item in items(parent, name)]


def capacities(vmi_spec: dict[str, Any]) -> None:
    """Print capacities of emptyDisks and hostDisks canonically. Raises QuantityError."""

    def volume(item: Mapping[str, Any]) -> Mapping[str, Any]:
        out = dict(item)
        for kind in ("emptyDisk", "hostDisk"):
            if (source := out.get(kind)) is not None and mapping(source).get("capacity") is not None:
                out[kind] = {**source, "capacity": str(Quantity.of(source["capacity"]))}
        return out

    _each(vmi_spec, "volumes", volume)


def pull_policies(vmi_spec: dict[str, Any]) -> None:
    """Set `imagePullPolicy` of containerDisks: Always for `:latest` and for images without a tag or digest."""

    def policy(volume: Mapping[str, Any]) -> Mapping[str, Any]:
        disk = volume.get("containerDisk")
        if disk is None or mapping(disk).get("imagePullPolicy"):
            return volume
        image = str(disk.get("image") or "")
        latest = image.endswith(":latest") or not any(mark in image for mark in ":@")
        return {
            **volume,
            "containerDisk": {**disk, "imagePullPolicy": "Always" if latest else "IfNotPresent"},
        }

    _each(vmi_spec, "volumes", policy)


def volume_disks(vmi_spec: Mapping[str, Any], devices: dict[str, Any]) -> None:
    """Add a disk for every volume that no disk and no filesystem names."""
    named = {item.get("name") for kind in ("disks", "filesystems") for item in items(devices, kind)}
    added = [
        {"name": volume.get("name", "")}
        for volume in items(vmi_spec, "volumes")
        if volume.get("name") not in named
    ]
    if added:
        devices["disks"] = [*items(devices, "disks"), *added]


def targets(vmi_spec: dict[str, Any], devices: dict[str, Any]) -> None:
    """Fill in disks without a target, CD-ROMs, inputs and probes."""

    def disk(item: Mapping[str, Any]) -> Mapping[str, Any]:
        if all(item.get(target) is None for target in _TARGETS):
            return {**item, "disk": {}}
        if item.get("cdrom") is not None:
            cdrom = dict(mapping(item["cdrom"]))
            if cdrom.get("readonly") is None:
                cdrom["readonly"] = True
            cdrom["tray"] = cdrom.get("tray") or "closed"
            return {**item, "cdrom": cdrom}
        return item

    def tablet(item: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**item, "bus": item.get("bus") or "usb", "type": item.get("type") or "tablet"}

    _each(devices, "disks", disk)
    _each(devices, "inputs", tablet)
    for name in ("livenessProbe", "readinessProbe"):
        if vmi_spec.get(name) is not None:
            probe = dict(mapping(vmi_spec[name]))
            probe |= {key: least for key, least in _PROBE.items() if int(probe.get(key) or 0) < 1}
            vmi_spec[name] = probe


def architecture_devices(domain: dict[str, Any], architecture: str, version: columns.Column) -> None:
    """Set disk buses (sata on amd64, else virtio), amd64's watchdog action, arm64's CPU model and UEFI."""
    bus = "virtio" if architecture in {"arm64", "s390x"} else "sata"

    def disk(item: Mapping[str, Any]) -> Mapping[str, Any]:
        out = dict(item)
        for target in _TARGETS:
            if out.get(target) is not None and not mapping(out[target]).get("bus"):
                out[target] = {**out[target], "bus": bus}
        return out

    devices = domain["devices"]
    _each(devices, "disks", disk)
    if architecture == "arm64":
        domain["cpu"]["model"] = domain["cpu"].get("model") or "host-passthrough"
        _uefi(domain, always=version.arm64_secure_boot)
    elif architecture != "s390x" and devices.get("watchdog") is not None:
        watchdog = dict(mapping(devices["watchdog"]))
        device = dict(mapping(watchdog.get("i6300esb")))
        watchdog["i6300esb"] = {**device, "action": device.get("action") or "reset"}
        devices["watchdog"] = watchdog


def _uefi(domain: dict[str, Any], *, always: bool) -> None:
    """Boot by UEFI without SecureBoot; up to v1.8.2 only where no boot loader is chosen (`always` is false)."""
    firmware = dict(mapping(domain.get("firmware")))
    bootloader = dict(mapping(firmware.get("bootloader")))
    if firmware.get("bootloader") is None:
        bootloader["efi"] = {}
    elif not always:
        return
    if bootloader.get("efi") is not None:
        efi = dict(mapping(bootloader["efi"]))
        if efi.get("secureBoot") is None:
            efi["secureBoot"] = False
        bootloader["efi"] = efi
    domain["firmware"] = {**firmware, "bootloader": bootloader}

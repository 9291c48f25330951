"""What KubeVirt's create validator refuses of disks and volumes, with its words.

Source: KubeVirt pkg/storage/admitters/disks.go, pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go
`validateBootOrder`, `validateVolumes` (main). Not here: base64 of cloud-init data.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.admission_interfaces import is_pci_address
from harness.rules.causes import INVALID, NOT_FOUND, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.names import label_errors
from harness.rules.quantities import Quantity
from harness.rules.vmi import get, items, mapping

_SOURCES: Final = (
    "persistentVolumeClaim", "sysprep", "cloudInitNoCloud", "cloudInitConfigDrive", "containerDisk", "ephemeral",
    "emptyDisk", "hostDisk", "dataVolume", "configMap", "secret", "downwardAPI", "serviceAccount", "downwardMetrics",
    "memoryDump", "containerPath",
)  # fmt: skip
_SERIAL: Final = re.compile(r"[A-Za-z0-9_.+-]+", re.ASCII)
_LONGEST_SERIAL: Final = 256
_SMALLEST_BLOCK: Final = 512
_LARGEST_BLOCK: Final = 2 << 20
_CLOUD_INIT_BYTES: Final = 2048
_RESERVED_PATHS: Final = ("/var/run/kubevirt", "/var/run/libvirt")
_ONCE: Final = {
    "serviceAccount": "serviceAccount volume",
    "downwardMetrics": "downwardMetric volume",
    "memoryDump": "memory dump volume",
}


def boot_order_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """Match disks with volumes, and hold the boot orders of disks and interfaces against each other."""
    volumes: dict[str, Mapping[str, Any]] = {}
    for volume in items(vmi_spec, "volumes"):
        volumes[str(volume.get("name", ""))] = volume
    orders: set[int] = set()
    at = f"{field}.domain.devices.disks"
    empty_cdrom = columns.gate(
        "DeclarativeHotplugVolumes", column=version, configuration=configuration
    ) or columns.gate("HotplugVolumes", column=version, configuration=configuration, beta=False)
    for index, disk in enumerate(items(vmi_spec, "domain", "devices", "disks")):
        path = f"{at}[{index}]"
        name = str(disk.get("name", ""))
        matching = volumes.get(name)
        if matching is None:
            if disk.get("cdrom") is None:
                yield Cause(INVALID, f"{path}.Name '{name}' not found.", f"{path}.name")
            elif not empty_cdrom:
                text = (
                    "DeclarativeHotplugVolumes feature gate not enabled, cannot define an empty CD-ROM disk"
                )
                yield Cause(INVALID, text, f"{path}.name")
        else:
            yield from _matched(disk, matching, path)
        order = disk.get("bootOrder")
        if order is not None:
            if int(order) in orders:
                text = f"Boot order for {path}.bootOrder already set for a different device."
                yield Cause(INVALID, text, f"{path}.bootOrder")
            orders.add(int(order))
    for index, interface in enumerate(items(vmi_spec, "domain", "devices", "interfaces")):
        order = interface.get("bootOrder")
        if order is None:
            continue
        path = f"{field}.domain.devices.interfaces[{index}].bootOrder"
        if int(order) < 1:
            text = f"{field}[{index}] must have a boot order > 0, if supplied"
            yield Cause(INVALID, text, f"{field}[{index}].bootOrder")
        else:
            if int(order) in orders:
                text = f"Boot order for {path} already set for a different device."
                yield Cause(INVALID, text, path)
            orders.add(int(order))


def _matched(disk: Mapping[str, Any], volume: Mapping[str, Any], path: str) -> Iterator[Cause]:
    claims = volume.get("persistentVolumeClaim") is not None or volume.get("dataVolume") is not None
    if disk.get("lun") is not None and not claims:
        text = f"{path}.lun can only be mapped to a DataVolume or PersistentVolumeClaim volume."
        yield Cause(INVALID, text, f"{path}.lun")
    if volume.get("downwardMetrics") is not None:
        bus = mapping(disk.get("disk")).get("bus")
        if disk.get("disk") is None:
            text = f"DownwardMetrics volume must be mapped to a disk, but disk is not set on {path}.disk."
            yield Cause(REQUIRED, text, f"{path}.disk")
        elif bus not in (None, "", "virtio"):
            text = f"DownwardMetrics volume must be mapped to virtio bus, but {path}.disk.bus is set to {bus}"
            yield Cause(INVALID, text, f"{path}.disk.bus")


def disk_causes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """Names, targets, addresses, buses, serials, caches, policies and block sizes of disks (`ValidateDisks`)."""
    at = f"{field}.domain.devices.disks"
    names: list[str] = []
    for index, disk in enumerate(items(vmi_spec, "domain", "devices", "disks")):
        path, name = f"{at}[{index}]", str(disk.get("name", ""))
        for other, known in enumerate(names):
            if known == name:
                text = f"{path} and {at}[{other}] must not have the same Name."
                yield Cause(INVALID, text, f"{path}.name")
        names.append(name)
        if sum(disk.get(target) is not None for target in ("disk", "lun", "cdrom")) > 1:
            yield Cause(INVALID, f"{path} can only have a single target type defined", path)
        yield from _pci_address(disk, f"{at}.domain.devices.disks.disk[{index}]")
        if disk.get("bootOrder") is not None and int(disk["bootOrder"]) < 1:
            yield Cause(INVALID, f"{path} must have a boot order > 0, if supplied", f"{path}.bootOrder")
        yield from _bus(disk, path, f"{at}.domain.devices.disks[{index}]")
        yield from _attributes(disk, path, at, index)
        for error in label_errors(name):
            yield Cause(INVALID, error, f"{at}.domain.devices.disks[{index}].name")
        if get(disk, "blockSize", "custom") is not None:
            yield from _block_size(disk, version, f"{path}.blockSize")


def _pci_address(disk: Mapping[str, Any], odd_path: str) -> Iterator[Cause]:
    address = str(get(disk, "disk", "pciAddress") or "")
    if not address:
        return
    if get(disk, "disk", "bus") != "virtio":
        text = f"disk {odd_path}.name - setting a PCI address is only possible with bus type virtio."
        yield Cause(INVALID, text, f"{odd_path}.pciAddress")
    if not is_pci_address(address):
        text = f"disk {odd_path}.name has malformed PCI address ({address})."
        yield Cause(INVALID, text, f"{odd_path}.pciAddress")


def _block_size(disk: Mapping[str, Any], version: columns.Column, at: str) -> Iterator[Cause]:
    match = get(disk, "blockSize", "matchVolume")
    if match is not None and mapping(match).get("enabled") is not False:
        yield Cause(INVALID, "Block size matching can't be enabled together with a custom value", at)
        return
    custom = mapping(get(disk, "blockSize", "custom"))
    logical, physical, discard = (
        int(custom.get(name) or 0) for name in ("logical", "physical", "discardGranularity")
    )
    sata = any(get(disk, kind, "bus") == "sata" for kind in ("disk", "lun", "cdrom"))
    if logical > physical:
        text = f"Logical size {logical} must be the same or less than the physical size of {physical}"
        yield Cause(INVALID, text, f"{at}.custom.logical")
    elif sata and logical != _SMALLEST_BLOCK and version.since("v1.7"):
        text = f"Logical size {logical} must be {_SMALLEST_BLOCK} for SATA devices"
        yield Cause(INVALID, text, f"{at}.custom.logical")
    elif logical and discard % logical:
        text = f"Discard granularity {discard} must be multiples of logical size {logical}"
        yield Cause(INVALID, text, f"{at}.custom.discardGranularity")
    else:
        for name, size in (("logical", logical), ("physical", physical)):
            if wrong := _wrong_block(size):
                yield Cause(INVALID, wrong, f"{at}.custom.{name}")


def _wrong_block(size: int) -> str:
    if size < _SMALLEST_BLOCK:
        return f"Provided size of {size} is less than the supported minimum size of {_SMALLEST_BLOCK}"
    if size > _LARGEST_BLOCK:
        return f"Provided size of {size} is greater than the supported maximum size of {_LARGEST_BLOCK}"
    return f"Provided size of {size} is not a power of 2" if size & (size - 1) else ""


def _bus(disk: Mapping[str, Any], path: str, odd_path: str) -> Iterator[Cause]:
    kind = next((kind for kind in ("disk", "lun", "cdrom") if disk.get(kind) is not None), "")
    bus = mapping(disk.get(kind)).get("bus") or ""
    if not bus:
        return
    where = f"{path}.{kind}.bus"
    if bus == "ide":
        yield Cause(INVALID, "IDE bus is not supported", where)
    elif bus == "virtio":
        if kind == "cdrom":
            yield Cause(INVALID, f"Bus type {bus} is invalid for CD-ROM device", f"{path}.cdrom.bus")
    elif bus == "sata":
        if mapping(disk.get("disk")).get("readonly"):
            yield Cause(INVALID, f"{bus} hard-disks do not support read-only.", f"{path}.disk.bus")
    elif bus not in {"scsi", "usb"}:
        text = f"{path} is set with an unrecognized bus {bus}, must be one of: [virtio scsi sata usb]"
        yield Cause(INVALID, text, where)
    if disk.get("dedicatedIOThread") and bus != "virtio":
        yield Cause(NOT_SUPPORTED, f"IOThreads are not supported for disks on a {bus} bus", odd_path)


def _attributes(disk: Mapping[str, Any], path: str, at: str, index: int) -> Iterator[Cause]:
    serial = disk.get("serial") or ""
    if serial and not _SERIAL.fullmatch(serial):
        text = f"{path} must be made up of the following characters [A-Za-z0-9_.+-], if specified"
        yield Cause(INVALID, text, f"{path}.serial")
    if len(serial) > _LONGEST_SERIAL:
        text = f"{path} must be less than or equal to {_LONGEST_SERIAL} in length, if specified"
        yield Cause(INVALID, text, f"{path}.serial")
    if (cache := disk.get("cache") or "") not in {"", "none", "writethrough", "writeback"}:
        yield Cause(INVALID, f"{path}.cache has invalid value {cache}", f"{path}.cache")
    if (disk.get("io") or "") not in {"", "native", "threads"}:
        text = f"Disk IO mode for {at} is not supported. Supported modes are: native, threads."
        yield Cause(NOT_SUPPORTED, text, f"{at}.domain.devices.disks[{index}].io")
    policy = disk.get("errorPolicy")
    if policy is not None and policy not in {"stop", "ignore", "report", "enospace"}:
        yield Cause(INVALID, f'{path}.errorPolicy has invalid value "{policy}"', f"{path}.errorPolicy")


def volume_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """Names, sources and gates of volumes (`validateVolumes`)."""
    at = f"{field}.volumes"
    first: dict[str, int] = {}
    counts = dict.fromkeys(_ONCE, 0)
    for index, volume in enumerate(items(vmi_spec, "volumes")):
        path, name = f"{at}[{index}]", str(volume.get("name", ""))
        if name in first:
            text = f"{path} and {at}[{first[name]}] must not have the same Name."
            yield Cause(INVALID, text, f"{path}.name")
        else:
            first[name] = index
        if volume.get("dataVolume") is not None and not mapping(volume["dataVolume"]).get("name"):
            yield Cause(REQUIRED, "DataVolume 'name' must be set", f"{path}.name")
        if sum(volume.get(source) is not None for source in _SOURCES) != 1:
            yield Cause(INVALID, f"{path} must have exactly one source type set", path)
        for kind in counts:
            counts[kind] += volume.get(kind) is not None
        yield from _cloud_init(volume, path)
        yield from _gated(volume, path, configuration, version)
        for kind, key in (
            ("configMap", "name"),
            ("secret", "secretName"),
            ("serviceAccount", "serviceAccountName"),
        ):
            if volume.get(kind) is not None and not mapping(volume[kind]).get(key):
                yield Cause(INVALID, f"{path}.{kind}.{key} is a required field", f"{path}.{kind}.{key}")
    for kind, words in _ONCE.items():
        if counts[kind] > 1:
            yield Cause(INVALID, f"{at} must have max one {words} set", at)


def _cloud_init(volume: Mapping[str, Any], path: str) -> Iterator[Cause]:
    kind = next(
        (kind for kind in ("cloudInitNoCloud", "cloudInitConfigDrive") if volume.get(kind) is not None), ""
    )
    if not kind:
        return
    source, at = mapping(volume[kind]), f"{path}.{kind}"
    counts: list[int] = []
    for data, reference, several in (
        ("userData", "secretRef", "userdatasource"),
        ("networkData", "networkDataSecretRef", "networkdata source"),
    ):
        text, encoded = str(source.get(data) or ""), str(source.get(f"{data}Base64") or "")
        count = bool(mapping(source.get(reference)).get("name")) + bool(encoded) + bool(text)
        size = len(text.encode()) if text else len(encoded.rstrip("=")) * 3 // 4
        if count > 1:
            yield Cause(INVALID, f"{at} must have only one {several} set.", at)
        if size > _CLOUD_INIT_BYTES:
            name = "UserDataSecretRef" if data == "userData" else "NetworkDataSecretRef"
            words = f"{at} {data.lower()} exceeds {_CLOUD_INIT_BYTES} byte limit. Should use {name} for larger data."
            yield Cause(INVALID, words, at)
        counts.append(count)
    if not any(counts):
        text = f"{at} must have at least one userdatasource or one networkdatasource set."
        yield Cause(INVALID, text, at)


def _gated(
    volume: Mapping[str, Any], path: str, configuration: Mapping[str, Any], version: columns.Column
) -> Iterator[Cause]:
    closed = columns.Gates(version, configuration).closed
    if volume.get("downwardMetrics") is not None and closed("DownwardMetrics"):
        text = "downwardMetrics disks are not allowed: DownwardMetrics feature gate is not enabled."
        yield Cause(INVALID, text, path)
    if volume.get("hostDisk") is None:
        return
    disk, at = mapping(volume["hostDisk"]), f"{path}.hostDisk"
    if closed("HostDisk"):
        yield Cause(INVALID, "HostDisk feature gate is not enabled", path)
    if not disk.get("path"):
        yield Cause(NOT_FOUND, f"{at}.path is required for hostDisk volume", f"{at}.path")
    kind = disk.get("type") or ""
    if kind not in {"Disk", "DiskOrCreate"}:
        text = f"{at}.type has invalid value '{kind}', allowed are 'Disk' or 'DiskOrCreate'"
        yield Cause(INVALID, text, f"{at}.type")
    capacity = disk.get("capacity")
    if kind == "Disk" and capacity is not None and not Quantity.of(capacity).is_zero():
        text = f"{at}.capacity is allowed to pass only with {at}.type equal to 'DiskOrCreate'"
        yield Cause(INVALID, text, f"{at}.capacity")


def container_disk_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Paths of containerDisks."""
    for index, volume in enumerate(items(vmi_spec, "volumes")):
        if path := get(volume, "containerDisk", "path"):
            yield from path_causes(str(path), f"{field}.volumes[{index}].containerDisk")


def path_causes(path: str, at: str) -> Iterator[Cause]:
    """A path in an image: absolute, no relative parts, not the root (`ValidatePath`)."""
    if path == "/":
        yield Cause(INVALID, f"{at} must not point to root", at)
    elif posixpath.normpath(f"/{path}").replace("//", "/") != path.removesuffix("/"):
        text = f"{at} must be an absolute path to a file without relative components"
        yield Cause(INVALID, text, at)


def utility_volume_causes(
    vmi_spec: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """Utility volumes are for hotplug only (since v1.8)."""
    if vmi_spec.get("utilityVolumes") is not None and version.since("v1.8"):
        text = "cannot create VMI with utility volumes in spec, utility volumes can only be added via hotplug"
        yield Cause(INVALID, text, f"{field}.utilityVolumes")


def unmatched_volumes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """Volumes that are neither disk nor filesystem; containerPaths may be filesystems only."""
    disks, filesystems = (
        {str(item.get("name", "")) for item in items(vmi_spec, "domain", "devices", kind)}
        for kind in ("disks", "filesystems")
    )
    for index, volume in enumerate(items(vmi_spec, "volumes")):
        name = str(volume.get("name", ""))
        path = f"{field}.domain.volumes[{index}]"
        if volume.get("memoryDump") is None and name not in disks | filesystems:
            yield Cause(INVALID, f"{path}.name '{name}' not found.", f"{path}.name")
        if volume.get("containerPath") is None or not version.since("v1.8"):
            continue
        words = f"ContainerPath volume '{name}'"
        if name in disks:
            yield Cause(INVALID, f"{words} must be mapped to a filesystem, not a disk", path)
        if name not in filesystems:
            text = f"{words} must have a matching filesystem defined in spec.domain.devices.filesystems"
            yield Cause(INVALID, text, path)
        inside = str(mapping(volume["containerPath"]).get("path") or "")
        for prefix in _RESERVED_PATHS:
            if inside.startswith(prefix):
                text = f"{words} uses reserved path prefix '{prefix}'"
                yield Cause(INVALID, text, f"{path}.containerPath.path")
                break

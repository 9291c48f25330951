"""What KubeVirt's create validator refuses of probes, firmware, gated devices and architectures, with its words.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vmi-create-admitter.go,
pkg/virt-api/webhooks/{amd64,arm64,s390x}.go (main). Not here: affinity, topology spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.admission_disks import path_causes
from harness.rules.admission_security import launch_security_causes, smm
from harness.rules.causes import INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.names import label_errors, subdomain_errors
from harness.rules.vmi import get, items, mapping

_IO_POLICIES: Final = ("shared", "auto", "supplementalPool")
_EVICTION_STRATEGIES: Final = ("LiveMigrate", "LiveMigrateIfPossible", "None", "External")
_VIDEO: Final = {
    "amd64": ("vga", "cirrus", "virtio", "ramfb", "bochs"),
    "arm64": ("virtio", "ramfb"),
    "s390x": ("virtio",),
    "ppc64le": ("virtio", "bochs", "vga", "cirrus"),
}
_CONFIG_VOLUMES: Final = ("configMap", "secret", "downwardAPI", "serviceAccount")
_PANIC_MODELS: Final = ("hyperv", "isa", "pvpanic")
_PROBES: Final = ("httpGet", "tcpSocket", "exec", "guestAgentPing")


def host_name_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`hostname` and `subdomain`."""
    for name, kind, errors in (
        ("hostname", "LABEL", label_errors),
        ("subdomain", "SUBDOMAIN", subdomain_errors),
    ):
        value = vmi_spec.get(name)
        if value and (wrong := errors(str(value))):
            path = f"{field}.{name}"
            text = f"{path} does not conform to the kubernetes DNS_{kind} rules : {', '.join(wrong)}"
            yield Cause(INVALID, text, path)


def start_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`startStrategy`."""
    strategy, path = vmi_spec.get("startStrategy"), f"{field}.startStrategy"
    if strategy is None:
        return
    if strategy != "Paused":
        yield Cause(INVALID, f"{path} is set with an unrecognized option: {strategy}", path)
    elif vmi_spec.get("livenessProbe") is not None:
        text = (
            f"either {path} or {field}.livenessProbe should be provided."
            "Pausing VMI with LivenessProbe is not supported"
        )
        yield Cause(INVALID, text, path)


def input_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Input devices: tablets on virtio or usb."""
    for index, item in enumerate(items(vmi_spec, "domain", "devices", "inputs")):
        path = f"{field}.domain.devices.inputs[{index}]"
        if (item.get("bus") or "") not in {"", "virtio", "usb"}:
            yield Cause(INVALID, "Input device can have only virtio or usb bus.", f"{path}.bus")
        if item.get("type") != "tablet":
            yield Cause(INVALID, "Input device can have only tablet type.", f"{path}.type")


def io_thread_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """`ioThreadsPolicy` and the pool's size."""
    policy = get(vmi_spec, "domain", "ioThreadsPolicy")
    if policy is None:
        return
    if policy not in _IO_POLICIES:
        yield Cause(INVALID, f"Invalid IOThreadsPolicy ({policy})", f"{field}.domain.ioThreadsPolicy")
    count = get(vmi_spec, "domain", "ioThreads", "supplementalPoolThreadCount")
    if policy == "supplementalPool" and (count is None or int(count) < 1):
        text = "the number of iothreads needs to be set and positive for the dedicated policy"
        yield Cause(INVALID, text, f"{field}.domain.ioThreads.count")


def probe_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Probes: one handler each; network handlers want a pod network."""
    pod = any(network.get("pod") is not None for network in items(vmi_spec, "networks"))
    probes = {
        name: mapping(vmi_spec[name])
        for name in ("readinessProbe", "livenessProbe")
        if vmi_spec.get(name) is not None
    }
    for name, probe in probes.items():
        path = f"{field}.{name}"
        handlers = sum(probe.get(handler) is not None for handler in _PROBES)
        if handlers > 1:
            yield Cause(INVALID, f"{path} must have exactly one probe type set", path)
        if handlers < 1:
            text = (
                f"either {path}.tcpSocket, {path}.exec or {path}.httpGet must be set if a {path} is specified"
            )
            yield Cause(REQUIRED, text, path)
    if pod:
        return
    for name, probe in probes.items():
        for handler in ("httpGet", "tcpSocket"):
            if probe.get(handler) is not None:
                path = f"{field}.{name}.{handler}"
                yield Cause(INVALID, f"{path} is only allowed if the Pod Network is attached", path)


def firmware_causes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """Boot loaders, kernel boot, and SecureBoot without SMM."""
    at = f"{field}.domain.firmware"
    firmware = mapping(get(vmi_spec, "domain", "firmware"))
    loader = mapping(firmware.get("bootloader"))
    if loader.get("efi") is not None and loader.get("bios") is not None:
        text = f"{at}.bootloader has both EFI and BIOS configured, but they are mutually exclusive."
        yield Cause(INVALID, text, f"{at}.bootloader")
    if firmware.get("kernelBoot") is not None:
        yield from _kernel_boot(mapping(firmware["kernelBoot"]), f"{at}.kernelBoot")
    secure = loader.get("efi") is not None and mapping(loader["efi"]).get("secureBoot") is not False
    tdx = version.tdx_device and get(vmi_spec, "domain", "launchSecurity", "tdx") is not None
    if secure and not smm(vmi_spec) and not tdx:
        path = f"{field}.domain"
        text = f"{path} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
        yield Cause(INVALID, text, path)


def _kernel_boot(boot: Mapping[str, Any], at: str) -> Iterator[Cause]:
    if boot.get("container") is None:
        if boot.get("kernelArgs"):
            text = "kernel arguments cannot be provided without an external kernel"
            yield Cause(INVALID, text, f"{at}.kernelArgs")
        return
    container, path = mapping(boot["container"]), f"{at}.container"
    if not container.get("image"):
        yield Cause(REQUIRED, f"{path} must be defined with an image", f"{path}.image")
    if not container.get("initrdPath") and not container.get("kernelPath"):
        text = f"{path} must be defined with at least one of the following: kernelPath, initrdPath"
        yield Cause(REQUIRED, text, path)
    for name in ("kernelPath", "initrdPath"):
        if container.get(name):
            yield from path_causes(str(container[name]), f"{path}.{name}")


def migration_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], field: str
) -> Iterator[Cause]:
    """`evictionStrategy`."""
    strategy = vmi_spec.get("evictionStrategy") or configuration.get("evictionStrategy")
    if strategy is not None and strategy not in _EVICTION_STRATEGIES:
        path = f"{field}.evictionStrategy"
        yield Cause(INVALID, f"{path} is set with an unrecognized option: {strategy}", path)


def gated_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """What needs a feature gate or a fitting architecture, in the validator's order."""
    gates = columns.Gates(version, configuration)
    closed = gates.closed
    devices = mapping(get(vmi_spec, "domain", "devices"))
    at = f"{field}.domain.devices"
    if devices.get("hostDevices") is not None and closed("HostDevices"):
        text = "Host Devices feature gate is not enabled in kubevirt-config"
        yield Cause(INVALID, text, f"{field}.HostDevices")
    yield from _sound(devices, field)
    yield from launch_security_causes(vmi_spec, configuration, version, field)
    if devices.get("autoattachVSOCK") and closed("VSOCK"):
        text = "VSOCK feature gate is not enabled in kubevirt-config"
        yield Cause(INVALID, text, f"{at}.autoattachVSOCK")
    reserved = any(get(disk, "lun", "reservation") for disk in items(vmi_spec, "domain", "devices", "disks"))
    if reserved and not version.since("v1.9") and closed("PersistentReservation"):
        text = "PersistentReservation feature gate is not enabled in kubevirt-config"
        yield Cause(INVALID, text, f"{at}.disks.luns.reservation")
    if devices.get("downwardMetrics") is not None and closed("DownwardMetrics"):
        text = "downwardMetrics virtio serial is not allowed: DownwardMetrics feature gate is not enabled"
        yield Cause(INVALID, text, f"{at}.downwardMetrics")
    yield from _filesystems(vmi_spec, gates, field)
    architecture = str(vmi_spec.get("architecture") or "")
    yield from _graphics(devices, field, architecture, gates)
    if get(vmi_spec, "domain", "rebootPolicy") is not None and closed("RebootPolicy", beta=True):
        text = "RebootPolicy is specified but the RebootPolicy feature gate is not enabled"
        yield Cause(INVALID, text, f"{field}.domain.rebootPolicy")


def _graphics(
    devices: Mapping[str, Any], field: str, architecture: str, gates: columns.Gates
) -> Iterator[Cause]:
    """Video and panic devices; both behind gates up to v1.8."""
    gated = not gates.column.since("v1.9")
    if devices.get("video") is not None:
        if gated and gates.closed("VideoConfig"):
            text = "Video configuration is specified but the VideoConfig feature gate is not enabled"
            yield Cause(INVALID, text, f"{field}.video")
        elif devices.get("autoattachGraphicsDevice") is False:
            text = "Video configuration is not allowed when autoattachGraphicsDevice is set to false"
            yield Cause(INVALID, text, f"{field}.video")
    at = f"{field}.domain.devices.panicDevices"
    panics = devices.get("panicDevices") or ()
    if gated and panics and gates.closed("PanicDevices"):
        yield Cause(INVALID, "Panic Devices feature gate is not enabled in kubevirt-config", at)
        return
    if panics and architecture in {"s390x", "ppc64le"}:
        yield Cause(INVALID, f"custom panic devices are not supported on {architecture} architecture", at)
    for index, device in enumerate(panics):
        model = mapping(device).get("model")
        if model is not None and model not in _PANIC_MODELS:
            yield Cause(INVALID, f"invalid PanicDeviceModel({model})", f"{at}[{index}].model")


def _filesystems(vmi_spec: Mapping[str, Any], gates: columns.Gates, field: str) -> Iterator[Cause]:
    """Virtiofs of claims wants a gate; up to v1.7 that of config volumes too, and one older gate opens both."""
    volumes = {str(volume.get("name", "")): volume for volume in items(vmi_spec, "volumes")}
    older = gates.column.older_checks
    old_gate = older and not gates.closed("ExperimentalVirtiofsSupport")
    for filesystem in items(vmi_spec, "domain", "devices", "filesystems"):
        volume = volumes.get(str(filesystem.get("name", "")))
        if volume is None or old_gate:
            continue
        stored = any(volume.get(kind) is not None for kind in ("persistentVolumeClaim", "dataVolume"))
        config = any(volume.get(kind) is not None for kind in _CONFIG_VOLUMES)
        at = f"{field}.domain.devices.filesystems"
        words = "virtiofs is not allowed: virtiofs feature gate is not enabled for"
        if config and older and gates.closed("EnableVirtioFsConfigVolumes"):
            yield Cause(INVALID, f"{words} config volumes", at)
        elif stored and gates.closed("EnableVirtioFsStorageVolumes"):
            yield Cause(INVALID, f"{words} PVC", at)


def other_architecture_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """Up to v1.7 another architecture than virt-api's own (amd64 is assumed) wants a gate."""
    if not version.older_checks or vmi_spec.get("architecture") in (None, "", "amd64"):
        return
    gate = "MultiArchitecture"
    if not columns.gate(gate, column=version, configuration=configuration, beta=False):
        path = f"{field}.architecture"
        yield Cause(
            REQUIRED, f"{gate} feature gate is not enabled in kubevirt-config, invalid entry {path}", path
        )


def _sound(devices: Mapping[str, Any], field: str) -> Iterator[Cause]:
    if devices.get("sound") is None:
        return
    sound = mapping(devices["sound"])
    if (sound.get("model") or "") not in {"", "ich9", "ac97"}:
        text = "Sound device type is not supported. Options: 'ich9' or 'ac97'"
        yield Cause(INVALID, text, f"{field}.Sound")
    if not sound.get("name"):
        yield Cause(INVALID, "Sound device requires a name field.", f"{field}.Sound")


def architecture_causes(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    """What an architecture lacks; VMIs only."""
    architecture = str(vmi_spec.get("architecture") or "")
    if architecture not in _VIDEO or (architecture == "ppc64le" and version.since("v1.7")):
        text = f"unsupported architecture: {architecture}"
        yield Cause(INVALID, text, f"{field}.architecture")
        return
    devices, at = mapping(get(vmi_spec, "domain", "devices")), f"{field}.domain.devices"
    if architecture == "arm64":
        yield from _arm64(vmi_spec, version, field)
    elif devices.get("watchdog") is not None and architecture != "ppc64le":
        name, right, wrong = (
            ("I6300ESB", "i6300esb", "diag288")
            if architecture == "amd64"
            else ("Diag288", "diag288", "i6300esb")
        )
        watchdog = mapping(devices["watchdog"])
        if watchdog.get(right) is None or watchdog.get(wrong) is not None:
            text = f"{architecture} only supports {name} watchdog device"
            yield Cause(NOT_SUPPORTED, text, f"{at}.watchdog")
    if devices.get("video") is not None:
        kind = mapping(devices["video"]).get("type") or ""
        if kind not in _VIDEO[architecture]:
            text = f"video model '{kind}' is not supported on {architecture} architecture"
            yield Cause(NOT_SUPPORTED, text, f"{at}.video.type")


def _arm64(vmi_spec: Mapping[str, Any], version: columns.Column, field: str) -> Iterator[Cause]:
    at = f"{field}.domain"
    if get(vmi_spec, "domain", "firmware", "bootloader", "bios") is not None:
        text = "Arm64 does not support bios boot, please change to uefi boot"
        yield Cause(NOT_SUPPORTED, text, f"{at}.firmware.bootloader.bios")
    efi = get(vmi_spec, "domain", "firmware", "bootloader", "efi")
    if efi is not None and mapping(efi).get("secureBoot") is not False and not version.arm64_secure_boot:
        text = "UEFI secure boot is currently not supported on aarch64 Arch"
        yield Cause(NOT_SUPPORTED, text, f"{at}.firmware.bootloader.efi.secureboot")
    if (get(vmi_spec, "domain", "cpu", "model") or "host-passthrough") != "host-passthrough":
        text = "currently, host-passthrough is the only model supported on Arm64"
        yield Cause(NOT_SUPPORTED, text, f"{at}.cpu.model")
    for index, disk in enumerate(items(vmi_spec, "domain", "devices", "disks")):
        for kind in ("disk", "cdrom", "lun"):
            if (mapping(disk.get(kind)).get("bus") or "virtio") not in {"virtio", "scsi"}:
                text = "Arm64 not support this disk bus type, please use virtio or scsi"
                yield Cause(NOT_SUPPORTED, text, f"{at}.devices.disks[{index}].{kind}.bus")
    for device, text in (
        ("watchdog", "Arm64 not support Watchdog device"),
        ("sound", "Arm64 not support sound device"),
    ):
        if get(vmi_spec, "domain", "devices", device) is not None:
            yield Cause(NOT_SUPPORTED, text, f"{at}.devices.{device}")

"""What a preference makes of a VM's VMI, and what it requires.

Source: KubeVirt pkg/instancetype/preference/{apply,requirements,validation,webhooks}/*.go (main). Not applied here: clock,
Hyper-V, and the preferred buses, caches and models of disks, interfaces, inputs, sound and panic devices; none of them
bears on memory.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules.causes import INVALID, NOT_FOUND, Cause
from harness.rules.quantities import ZERO, Quantity
from harness.rules.vmi import get, guest, items, mapping

KINDS: Final = ("VirtualMachineClusterPreference", "VirtualMachinePreference")
_TOPOLOGIES: Final = ("sockets", "cores", "threads", "spread", "any")
_ACROSS: Final = ("SocketsCores", "CoresThreads", "SocketsCoresThreads")
_THREADS_PER_CORE: Final = 2
_ATTACH: Final = ("GraphicsDevice", "MemBalloon", "PodInterface", "SerialConsole", "InputDevice")
_FEATURES: Final = ("apic", "kvm", "pvspinlock", "smm")


def preferred_topology(preference: Mapping[str, Any] | None) -> str:
    """`preferredCPUTopology` by its present name; sockets unless asked otherwise (`preferCores` is the old `cores`)."""
    asked = str(get(preference or {}, "cpu", "preferredCPUTopology") or "sockets")
    old = asked.removeprefix("prefer").lower() if asked.startswith("prefer") else asked
    return old if old in _TOPOLOGIES else asked


def _spread(preference: Mapping[str, Any]) -> tuple[int, str]:
    """Ratio, and across what."""
    ratio = int(preference.get("preferSpreadSocketToCoreRatio") or 2)
    options = mapping(get(preference, "cpu", "spreadOptions"))
    if options.get("ratio") is not None:
        ratio = int(options["ratio"])
    return ratio, str(options.get("across") or "SocketsCores")


def topology(vcpus: int, preference: Mapping[str, Any] | None) -> dict[str, int]:
    """Sockets, cores and threads of an instance type's vCPUs (`applyGuestCPUTopology`)."""
    out = {"cores": 1, "sockets": 1, "threads": 1}
    chosen = preferred_topology(preference)
    if vcpus == 1:
        return out
    if chosen in {"cores", "threads"}:
        out[chosen] = vcpus
    elif chosen in {"sockets", "any"}:
        out["sockets"] = vcpus
    elif chosen == "spread":
        ratio, across = _spread(preference or {})
        if across == "SocketsCores":
            out |= {"cores": ratio, "sockets": vcpus // ratio}
        elif across == "CoresThreads":
            out |= {"threads": ratio, "cores": vcpus // ratio}
        elif across == "SocketsCoresThreads":
            out |= {
                "threads": _THREADS_PER_CORE,
                "cores": ratio,
                "sockets": vcpus // _THREADS_PER_CORE // ratio,
            }
    return out


def preference_causes(preference: Mapping[str, Any]) -> Iterator[Cause]:
    """What the preference's own webhook refuses. `preference`: its spec."""
    asked = get(preference, "cpu", "preferredCPUTopology")
    if asked is None:
        return
    chosen = preferred_topology(preference)
    if chosen not in _TOPOLOGIES:
        yield Cause(INVALID, f"unknown preferredCPUTopology {asked}", "spec.cpu.preferredCPUTopology")
    if chosen != "spread":
        return
    ratio, across = _spread(preference)
    if across not in _ACROSS:
        yield Cause(INVALID, f"across {across} is not supported", "spec.cpu.spreadOptions.across")
    elif across == "CoresThreads" and ratio != _THREADS_PER_CORE:
        text = "only a ratio of 2 (1 core 2 threads) is allowed when spreading vCPUs over cores and threads"
        yield Cause(INVALID, text, "spec.cpu.spreadOptions.ratio")


def spread_causes(
    instancetype: Mapping[str, Any] | None, preference: Mapping[str, Any] | None
) -> list[Cause]:
    """An instance type's vCPUs that can't be spread as preferred: refused before all else (`CheckSpreadCPUTopology`)."""
    if instancetype is None or preference is None or preferred_topology(preference) != "spread":
        return []
    vcpus = int(get(instancetype, "cpu", "guest") or 0)
    ratio, across = _spread(preference)
    words = f"{vcpus} vCPUs provided by the instance type are not divisible by the"
    name = "Spec.PreferSpreadSocketToCoreRatio or Spec.CPU.PreferSpreadOptions.Ratio of"
    text = ""
    if across == "SocketsCores" and vcpus % ratio:
        text = f"{words} {name} {ratio} provided by the preference"
    elif across == "CoresThreads" and vcpus % ratio:
        text = f"{words} number of threads per core {ratio}"
    elif across == "SocketsCoresThreads" and (
        vcpus % _THREADS_PER_CORE or vcpus // _THREADS_PER_CORE % ratio
    ):
        text = f"{words} number of threads per core {_THREADS_PER_CORE} and {name} {ratio}"
    return [Cause(INVALID, text, "instancetype.spec.cpu.guest")] if text else []


def apply_preference(template: dict[str, Any], preference: Mapping[str, Any]) -> None:
    """Write into a template what it leaves open; `template` has a spec with a domain and is changed."""
    vmi_spec = template["spec"]
    domain = vmi_spec["domain"]
    _features_of_cpu(domain, preference)
    if (wanted := mapping(preference.get("devices"))) or preference.get("devices") is not None:
        domain["devices"] = _devices(dict(mapping(domain.get("devices"))), wanted)
    if preference.get("features") is not None:
        domain["features"] = _features(domain, mapping(preference["features"]))
    if preference.get("firmware") is not None:
        domain["firmware"] = _firmware(domain, mapping(preference["firmware"]))
    machine = get(preference, "machine", "preferredMachineType")
    if machine and not get(domain, "machine", "type"):
        domain["machine"] = {**mapping(domain.get("machine")), "type": machine}
    for preferred, name in (
        ("preferredSubdomain", "subdomain"),
        ("preferredTerminationGracePeriodSeconds", "terminationGracePeriodSeconds"),
        ("preferredArchitecture", "architecture"),
    ):
        if preference.get(preferred) is not None and vmi_spec.get(name) in (None, ""):
            vmi_spec[name] = preference[preferred]
    if added := mapping(preference.get("annotations")):
        metadata = dict(mapping(template.get("metadata")))
        metadata["annotations"] = {**added, **mapping(metadata.get("annotations"))}
        template["metadata"] = metadata
    if preference.get("preferredLaunchSecurity") is not None and domain.get("launchSecurity") is None:
        domain["launchSecurity"] = copy.deepcopy(preference["preferredLaunchSecurity"])


def _features_of_cpu(domain: dict[str, Any], preference: Mapping[str, Any]) -> None:
    preferred = tuple(items(preference, "cpu", "preferredCPUFeatures"))
    if not preferred:
        return
    cpu = dict(mapping(domain.get("cpu")))
    present = tuple(items(cpu, "features"))
    named = {feature.get("name") for feature in present}
    cpu["features"] = [*present, *(feature for feature in preferred if feature.get("name") not in named)]
    domain["cpu"] = cpu


def _devices(devices: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [
        ("preferredUseVirtioTransitional", "useVirtioTransitional"),
        ("preferredBlockMultiQueue", "blockMultiQueue"),
        ("preferredNetworkInterfaceMultiQueue", "networkInterfaceMultiqueue"),
        ("preferredRng", "rng"),
        ("preferredTPM", "tpm"),
        *((f"preferredAutoattach{name}", f"autoattach{name}") for name in _ATTACH),
    ]
    for preferred, name in pairs:
        if wanted.get(preferred) is not None and devices.get(name) is None:
            devices[name] = copy.deepcopy(wanted[preferred])
    if wanted.get("preferredDisableHotplug") is not None:
        devices["disableHotplug"] = wanted["preferredDisableHotplug"]
    if wanted.get("preferredVideoType") is not None and not get(devices, "video", "type"):
        devices["video"] = {**mapping(devices.get("video")), "type": wanted["preferredVideoType"]}
    return devices


def _features(domain: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    features = dict(mapping(domain.get("features")))
    if wanted.get("preferredAcpi") is not None:  # overwritten, as there
        features["acpi"] = copy.deepcopy(wanted["preferredAcpi"])
    for name in _FEATURES:
        preferred = wanted.get(f"preferred{name.capitalize()}")
        if preferred is not None and features.get(name) is None:
            features[name] = copy.deepcopy(preferred)
    return features


def _firmware(domain: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    firmware = dict(mapping(domain.get("firmware")))
    loader = dict(mapping(firmware.get("bootloader")))
    firmware["bootloader"] = loader
    chosen = loader.get("bios") is not None or loader.get("efi") is not None
    if wanted.get("preferredUseBios") and not chosen:
        loader["bios"], chosen = {}, True
    serial = wanted.get("preferredUseBiosSerial")
    if serial is not None and loader.get("bios") is not None:
        loader["bios"] = {"useSerial": serial, **mapping(loader["bios"])}
    if wanted.get("preferredEfi") is not None and not chosen:
        loader["efi"] = copy.deepcopy(wanted["preferredEfi"])
        return firmware
    if wanted.get("preferredUseEfi") and not chosen:
        loader["efi"] = {}
    secure = wanted.get("preferredUseSecureBoot")
    if secure is not None and loader.get("efi") is not None:
        loader["efi"] = {"secureBoot": secure, **mapping(loader["efi"])}
    return firmware


def requirement_causes(
    vmi_spec: Mapping[str, Any],
    *,
    instancetype: Mapping[str, Any] | None,
    preference: Mapping[str, Any] | None,
) -> list[Cause]:
    """What a preference asks for and the defaulted template or its instance type lacks; the first lack only (`Check`)."""
    wanted = mapping(get(preference or {}, "requirements"))
    for field, text in (
        _lacking_cpu(vmi_spec, instancetype, preference or {}, mapping(wanted.get("cpu"))),
        _lacking_memory(vmi_spec, instancetype, mapping(wanted.get("memory"))),
        _lacking_architecture(vmi_spec, wanted.get("architecture")),
    ):
        if text:
            return [Cause(NOT_FOUND, f"failure checking preference requirements: {text}", field)]
    return []


def _lacking_cpu(
    vmi_spec: Mapping[str, Any],
    instancetype: Mapping[str, Any] | None,
    preference: Mapping[str, Any],
    wanted: Mapping[str, Any],
) -> tuple[str, str]:
    count = int(wanted.get("guest") or 0)
    if not count:
        return "", ""
    if instancetype is not None:
        vcpus = int(get(instancetype, "cpu", "guest") or 0)
        text = (
            f"insufficient CPU resources of {vcpus} vCPU provided by instance type, "
            f"preference requires {count} vCPU"
        )
        return ("spec.instancetype", text) if vcpus < count else ("", "")
    cpu = mapping(get(vmi_spec, "domain", "cpu"))
    chosen = preferred_topology(preference)
    across = _spread(preference)[1]
    parts, how = {
        "any": (("cores", "sockets", "threads"), "cores, sockets and threads"),
        "spread": (
            {
                "SocketsCores": ("sockets", "cores"),
                "CoresThreads": ("cores", "threads"),
                "SocketsCoresThreads": ("sockets", "cores", "threads"),
            }.get(across, ()),
            across,
        ),
    }.get(chosen, ((chosen,), chosen))
    vcpus = 1 if parts else 0
    for part in parts:
        vcpus *= int(cpu.get(part) or 0)
    text = (
        f"insufficient CPU resources of {vcpus} vCPU provided by VirtualMachine, "
        f"preference requires {count} vCPU provided as {how}"
    )
    fields = ", ".join(f"spec.template.spec.domain.cpu.{part}" for part in parts)
    return (fields, text) if vcpus < count else ("", "")


def _lacking_memory(
    vmi_spec: Mapping[str, Any], instancetype: Mapping[str, Any] | None, wanted: Mapping[str, Any]
) -> tuple[str, str]:
    if wanted.get("guest") is None:
        return "", ""
    needed = Quantity.of(wanted["guest"])
    provided = guest(vmi_spec)
    if provided is None:
        provided = ZERO if instancetype is None else Quantity.of(get(instancetype, "memory", "guest") or "0")
    if provided.cmp(needed) >= 0:
        return "", ""
    by = "VirtualMachine" if instancetype is None else "instance type"
    text = f"insufficient Memory resources of {provided} provided by {by}, preference requires {needed}"
    return ("spec.template.spec.domain.memory" if instancetype is None else "spec.instancetype"), text


def _lacking_architecture(vmi_spec: Mapping[str, Any], wanted: Any) -> tuple[str, str]:
    found = str(vmi_spec.get("architecture") or "")
    if wanted is None or wanted == found:
        return "", ""
    text = f"preference requires architecture {wanted} but {found} is being requested"
    return "spec.template.spec.architecture", text

"""What QEMU a VMI means on our machine: the domain as virt-launcher would define it, as far as memory is concerned.

Source: KubeVirt pkg/virt-launcher/virtwrap/manager.go:1421-1430 (free page reporting), converter/compute/*.go,
converter/vcpu/vcpu.go:734 (nosharepages). The agent is booted in place of any disk; its own is kubelet/disks.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.kubelet.disks import disk_shape
from harness.embedded.machine.base import GuestShape
from harness.rules.errors import ManifestError
from harness.rules.quantities import parse_bytes
from harness.rules.vmi import attached_by_default, dedicated_cpu, get, hugepage_size, mapping, vcpus

NONCE = "density.dev/nonce"
DEAF = "density.dev/deaf"
SHUTDOWN = "density.dev/shutdown"
"""Milliseconds the agent takes to shut down."""


def guest_shape(vmi: Mapping[str, Any], configuration: Mapping[str, Any], *, pod_uid: str = "") -> GuestShape:
    """Return the shape of a defaulted VMI's guest. Raises RulesError for a size that is none."""
    spec, metadata = vmi["spec"], vmi["metadata"]
    annotations = mapping(metadata.get("annotations"))
    memory = parse_bytes(get(spec, "domain", "memory", "guest"))
    if memory <= 0:
        raise ManifestError(f"spec.domain.memory.guest: QEMU can't run with {memory} bytes")
    return GuestShape(
        name=f"{metadata['namespace']}_{metadata['name']}",
        memory=memory,
        vcpus=max(1, vcpus(mapping(get(spec, "domain", "cpu")))),
        graphics=attached_by_default(spec, "autoattachGraphicsDevice"),
        free_page_reporting=free_page_reporting(spec, annotations, configuration),
        mem_merge=mem_merge(spec),
        balloon=attached_by_default(spec, "autoattachMemBalloon"),
        disk=disk_shape(vmi, pod_uid=pod_uid),
        nonce=str(annotations.get(NONCE, "")),
        deaf=str(annotations.get(DEAF, "")).lower() in {"1", "true"},
        kernel_args=f"density.shutdown={slow}"
        if (slow := str(annotations.get(SHUTDOWN, ""))).isdigit()
        else "",
    )


def free_page_reporting(
    spec: Mapping[str, Any], annotations: Mapping[str, Any], configuration: Mapping[str, Any]
) -> bool:
    """On unless switched off in the CR or by annotation, without a balloon, or for a high-performance VMI."""
    if get(configuration, "virtualMachineOptions", "disableFreePageReporting") is not None:
        return False
    if annotations.get("kubevirt.io/free-page-reporting-disabled") == "true":
        return False
    performance = (
        dedicated_cpu(spec)
        or get(spec, "domain", "cpu", "realtime") is not None
        or hugepage_size(spec) is not None
    )
    return attached_by_default(spec, "autoattachMemBalloon") and not performance


def mem_merge(spec: Mapping[str, Any]) -> bool:
    """Whether QEMU's guest memory is mergeable: not with shared backing (hugepages, virtiofs), not for realtime with NUMA."""
    realtime = get(spec, "domain", "cpu", "realtime") is not None
    shared = hugepage_size(spec) is not None or bool(get(spec, "domain", "devices", "filesystems"))
    return not shared and not (realtime and get(spec, "domain", "cpu", "numa") is not None)

"""The one disk our guests have: the virtio disk whose serial number the agent looks for.

Source: KubeVirt pkg/emptydisk, pkg/host-disk, pkg/ephemeral-disk (main): what backs emptyDisk, containerDisk and ephemeral
goes with the pod; host disks and claims stay. Whatever is in an image is left out: the agent is booted in place of any disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from harness.embedded.machine.base import DiskShape
from harness.rules.errors import ManifestError
from harness.rules.quantities import parse_bytes
from harness.rules.vmi import get, items, mapping
from harness.units import MIB, Bytes

SERIAL = "density"
"""workloads/agent/disk.h: a disk with another serial number is somebody's data."""
DEFAULT_SIZE = Bytes(64 * MIB)
"""Where the volume says no capacity: a claim's is the claim's, a container disk's the image's."""
EPHEMERAL = ("emptyDisk", "containerDisk", "ephemeral")
LASTING = ("hostDisk", "persistentVolumeClaim", "dataVolume")

_Cache = Literal["auto", "none", "writethrough", "writeback"]
_CACHES = ("none", "writethrough", "writeback")


def disk_shape(vmi: Mapping[str, Any], *, pod_uid: str) -> DiskShape | None:
    """Return the disk of a VMI that the agent may write to; None without one. Raises ManifestError.

    An ephemeral one is the pod's; a lasting one of the same claim or path is the same file for every VMI of the cluster.
    """
    disk = next(
        (
            disk
            for disk in items(vmi["spec"], "domain", "devices", "disks")
            if disk.get("serial") == SERIAL and get(disk, "disk", "bus") == "virtio"
        ),
        None,
    )
    if disk is None:
        return None
    name = str(disk.get("name", ""))
    volume = next((volume for volume in items(vmi["spec"], "volumes") if volume.get("name") == name), None)
    cache = str(disk.get("cache") or "auto")
    for kind in (*EPHEMERAL, *LASTING):
        if volume is not None and volume.get(kind) is not None:
            source = mapping(volume[kind])
            capacity = source.get("capacity")
            return DiskShape(
                path=Path(_file(vmi, kind, source, pod_uid=pod_uid, name=name)),
                size=DEFAULT_SIZE if capacity is None else parse_bytes(capacity),
                serial=SERIAL,
                cache=cast("_Cache", cache) if cache in _CACHES else "auto",
                ephemeral=kind in EPHEMERAL,
            )
    raise ManifestError(
        f"spec.volumes: disk {name!r} with the serial number {SERIAL} needs one of {', '.join((*EPHEMERAL, *LASTING))}"
    )


def _file(vmi: Mapping[str, Any], kind: str, source: Mapping[str, Any], *, pod_uid: str, name: str) -> str:
    if kind in EPHEMERAL:
        return f"{pod_uid}-{name}.raw"
    what = source.get("path") or source.get("claimName") or source.get("name") or name
    safe = str(what).strip("/").replace("_", "__").replace("/", "_")
    return f"{kind}-{vmi['metadata']['namespace']}-{safe}.raw"

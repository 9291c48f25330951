"""The guest as a container image: an OCI image layout in a tar archive, written by us, the same bytes every time.

KubeVirt's kernelBoot copies two files out of a container image; nothing runs from it, so it has one layer with these
two and no root file system. Loaded into nodes with `kind load image-archive` (containerd's importer), pushed with
`skopeo copy oci-archive:…`. Sources: OCI image-spec v1.1 (image-layout.md, manifest.md, config.md, layer.md).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads.image import cache
from workloads.image.build import GuestImage

REPOSITORY = "density-agent"
KERNEL_PATH = "/boot/vmlinuz"
INITRD_PATH = "/boot/initramfs.cpio"
"""As suites/manifests/agent.yaml names them."""
CREATED = "1970-01-01T00:00:00Z"
"""Optional in the specification, but some tools follow it where it points (umoci 0.4 stat)."""
QEMU_USER = 107
"""KubeVirt's user `qemu`, which reads the files (docs: container disks)."""

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An OCI archive and what its image is called in a pod's spec."""

    path: Path
    image: str
    """`density-agent:<hash>`: the tag is of the content, so a loaded image is never a stale one."""


def write(guest: GuestImage, cache_dir: Path | None = None) -> Archive:
    """Return the archive of a guest image, made if it is not in the cache yet. Raises ImageError."""
    kernel, initramfs = guest.kernel.read_bytes(), guest.initramfs.read_bytes()
    tag = cache.digest([kernel, initramfs, KERNEL_PATH, INITRD_PATH])
    directory = cache_dir if cache_dir is not None else cache.default_directory()
    path = cache.make_file(
        directory / "oci" / f"{REPOSITORY}-{tag}.tar",
        lambda: archive(kernel=kernel, initramfs=initramfs, tag=tag, release=guest.release),
    )
    return Archive(path=path, image=f"{REPOSITORY}:{tag}")


def archive(*, kernel: bytes, initramfs: bytes, tag: str, release: str) -> bytes:
    """Return the archive's bytes."""
    layer = _tar(
        [
            _directory("boot"),
            _file(INITRD_PATH.lstrip("/"), initramfs),
            _file(KERNEL_PATH.lstrip("/"), kernel),
        ]
    )
    config = _json(
        {
            "created": CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"density.dev/kernel": release}},
            # the layer is not compressed: its digest is its diff id
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": CREATED, "created_by": "kubevirt-density"}],
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    index = _json(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [
                {
                    **_descriptor(_MANIFEST, manifest),
                    "platform": {"architecture": "amd64", "os": "linux"},
                    # containerd names what it imports by the first, other tools by the second
                    "annotations": {
                        "io.containerd.image.name": f"docker.io/library/{REPOSITORY}:{tag}",
                        "org.opencontainers.image.ref.name": tag,
                    },
                }
            ],
        }
    )
    blobs = sorted((_digest(data).partition(":")[2], data) for data in (layer, config, manifest))
    return _tar(
        [
            _file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}), user=0),
            _file("index.json", index, user=0),
            _directory("blobs"),
            _directory("blobs/sha256"),
            *(_file(f"blobs/sha256/{name}", data, user=0) for name, data in blobs),
        ]
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _file(path: str, data: bytes, *, user: int = QEMU_USER) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.uid, info.gid = len(data), 0o444, user, user
    return info, data


def _directory(path: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info, b""


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    # TarInfo's times are 0 and its names '' unless set: the same entries give the same bytes
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()

"""The guest as an OCI archive: the bytes, the layout by the book, and what other people's tools make of it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from workloads.image import GuestImage
from workloads.image.oci import archive, write

KERNEL, INITRAMFS = b"kernel" * 1000, b"initramfs" * 500
DATA = archive(kernel=KERNEL, initramfs=INITRAMFS, tag="t1", release="6.1.0")


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name: (tar.extractfile(member) or io.BytesIO()).read() if member.isfile() else b""
            for member in tar
        }


def test_the_same_guest_gives_the_same_bytes() -> None:
    assert (
        hashlib.sha256(DATA).hexdigest() == "bd827318aa56c586cb611bb51a0721180b684b24a06a02d69dd86d82c545dac9"
    )
    assert archive(kernel=KERNEL, initramfs=INITRAMFS, tag="t1", release="6.1.0") == DATA


def test_every_blob_is_what_its_descriptor_says() -> None:
    files = members(DATA)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/density-agent:t1"
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}

    def blob(descriptor: dict[str, Any]) -> bytes:
        algorithm, _, value = descriptor["digest"].partition(":")
        data = files[f"blobs/{algorithm}/{value}"]
        assert hashlib.sha256(data).hexdigest() == value
        assert len(data) == descriptor["size"]
        return data

    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert members(blob(layer)) == {"boot": b"", "boot/initramfs.cpio": INITRAMFS, "boot/vmlinuz": KERNEL}
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as tar:
        # readable for KubeVirt's user qemu
        assert {(m.uid, m.gid, m.mode) for m in tar if m.isfile()} == {(107, 107, 0o444)}


def test_the_tag_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(KERNEL)
    (tmp_path / "i").write_bytes(INITRAMFS)
    guest = GuestImage(kernel=tmp_path / "k", initramfs=tmp_path / "i", release="6.1.0")
    first = write(guest, tmp_path / "cache")
    assert write(guest, tmp_path / "cache") == first
    assert first.path.name == first.image.replace(":", "-") + ".tar"
    (tmp_path / "i").write_bytes(b"another")
    assert write(guest, tmp_path / "cache").image != first.image


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "agent.tar"
    path.write_bytes(DATA)
    return path


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return found


def test_skopeo_reads_it(written: Path) -> None:
    done = subprocess.run(
        [tool("skopeo"), "inspect", f"oci-archive:{written}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["Architecture"], said["Os"], len(said["Layers"])) == ("amd64", "linux", 1)
    assert said["Labels"] == {"density.dev/kernel": "6.1.0"}


def test_umoci_tells_its_history(written: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    with tarfile.open(written) as tar:
        tar.extractall(layout, filter="data")
    done = subprocess.run(
        [tool("umoci"), "stat", "--json", "--image", f"{layout}:t1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:500]
    assert [entry["created_by"] for entry in json.loads(done.stdout)["history"]] == ["kubevirt-density"]


def test_umoci_unpacks_it(written: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    with tarfile.open(written) as tar:
        tar.extractall(layout, filter="data")
    done = subprocess.run(
        [tool("umoci"), "unpack", "--rootless", "--image", f"{layout}:t1", str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    boot = tmp_path / "bundle/rootfs/boot"
    assert (boot / "vmlinuz").read_bytes() == KERNEL
    assert (boot / "initramfs.cpio").read_bytes() == INITRAMFS

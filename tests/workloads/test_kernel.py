"""Kernels without network: recorded apt output, small apt programs of our own on PATH, and boot headers by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from workloads.image import kernel
from workloads.image.apt import dated_package
from workloads.image.errors import KernelError

DEBIAN_12 = """linux-image-cloud-amd64
  Depends: linux-image-6.1.0-56-cloud-amd64
"""
DEBIAN_13 = """linux-image-cloud-amd64
  Depends: linux-image-6.12.117+deb13-cloud-amd64
"""


def bzimage(release: str = "6.1.0-56-cloud-amd64") -> bytes:
    """The part of a boot header that is read: `HdrS` at 0x202, pointer to the version string at 0x20e."""
    head = bytearray(0x400)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x300 - 0x200).to_bytes(2, "little")
    text = f"{release} (debian-kernel@lists.debian.org) #1 SMP".encode() + b"\0"
    head[0x300 : 0x300 + len(text)] = text
    return bytes(head)


@pytest.mark.parametrize(
    ("output", "package"),
    [
        (DEBIAN_12, "linux-image-6.1.0-56-cloud-amd64"),
        (DEBIAN_13, "linux-image-6.12.117+deb13-cloud-amd64"),
        ("x\n |Depends: linux-image-6.1.0-1-cloud-amd64\n  Depends: y\n", "linux-image-6.1.0-1-cloud-amd64"),
    ],
)
def test_the_dated_package_is_found(output: str, package: str) -> None:
    assert dated_package(output) == package


@pytest.mark.parametrize("output", ["", "linux-image-cloud-amd64\n", "x\n  Depends: linux-image-generic\n"])
def test_no_dated_package_is_an_error(output: str) -> None:
    with pytest.raises(KernelError, match="--guest-kernel PATH"):
        dated_package(output)


def test_the_release_is_read_from_the_boot_header(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    image.write_bytes(bzimage("6.12.117+deb13-cloud-amd64"))
    assert kernel.read_release(image) == "6.12.117+deb13-cloud-amd64"


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(0x400), bzimage("no release at all")])
def test_what_is_no_bzimage_is_refused(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "vmlinux"
    image.write_bytes(content)
    with pytest.raises(KernelError, match=r"vmlinux .*; --guest-kernel takes a vmlinuz"):
        kernel.read_release(image)


def test_a_kernel_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="nothing: No such file or directory; check --guest-kernel"):
        kernel.given(tmp_path / "nothing")


@pytest.mark.parametrize("lib", ["lib", "usr/lib"])
def test_a_given_kernel_finds_the_modules_beside_it(tmp_path: Path, lib: str) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz").write_bytes(bzimage("9.9-test"))
    assert kernel.given(tmp_path / "boot/vmlinuz").modules is None
    (tmp_path / lib / "modules/9.9-test").mkdir(parents=True)
    assert kernel.given(tmp_path / "boot/vmlinuz") == kernel.Kernel(
        image=tmp_path / "boot/vmlinuz", release="9.9-test", modules=tmp_path / lib / "modules/9.9-test"
    )


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """apt and dpkg-deb of a small Debian 12: the package is a bare kernel."""
    place = tmp_path / "bin"
    place.mkdir()
    (tmp_path / "vmlinuz").write_bytes(bzimage())
    script(place / "apt-cache", f"echo 'apt-cache' \"$@\" >> {tmp_path}/log; printf '%s' '{DEBIAN_12}'")
    script(
        place / "apt-get",
        f'echo apt-get "$@" >> {tmp_path}/log; for last; do :; done; '
        'case " $* " in *" download "*) touch "${last}_1_amd64.deb";; esac',
    )
    script(
        place / "dpkg-deb",
        f'mkdir -p "$3/boot" "$3/usr/share/doc" && cp {tmp_path}/vmlinuz "$3/boot/vmlinuz-6.1.0-56-cloud-amd64"',
    )
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


@pytest.mark.usefixtures("programs")
def test_the_package_is_fetched_once_and_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = kernel.distribution(cache)
    place = cache / "kernels/linux-image-6.1.0-56-cloud-amd64"
    assert found.image == place / "boot/vmlinuz-6.1.0-56-cloud-amd64"
    assert not (place / "usr/share").exists()
    log = (tmp_path / "log").read_text()
    assert log.endswith("download linux-image-6.1.0-56-cloud-amd64\n")
    assert "update" not in log
    assert kernel.distribution(cache) == found
    assert (tmp_path / "log").read_text() == log, "a second call must not ask apt"
    assert [path.name for path in (cache / "kernels").iterdir() if not path.name.endswith(".lock")] == [
        place.name
    ]


def test_without_package_lists_private_ones_are_fetched(tmp_path: Path, programs: Path) -> None:
    cache = tmp_path / "cache"
    script(
        programs / "apt-cache",
        f"case \"$*\" in *Dir::State::Lists*) printf '%s' '{DEBIAN_12}';; *) echo 'E: No packages found' >&2; exit 100;; esac",
    )
    assert kernel.distribution(cache).release == "6.1.0-56-cloud-amd64"
    update, download = (tmp_path / "log").read_text().splitlines()
    assert update.endswith(f"-o Dir::State::Lists={cache}/apt/lists -o Dir::Cache={cache}/apt/cache update")
    assert f"-o Dir::State::Lists={cache}/apt/lists " in download


def test_no_network_is_one_line_that_says_what_to_do(tmp_path: Path, programs: Path) -> None:
    script(programs / "apt-get", "echo 'E: Failed to fetch: Could not resolve host' >&2; exit 100")
    with pytest.raises(KernelError) as caught:
        kernel.distribution(tmp_path / "cache")
    assert str(caught.value) == (
        "no guest kernel could be fetched (apt-get: E: Failed to fetch: Could not resolve host): "
        "check the network, or give a kernel with --guest-kernel PATH"
    )
    assert not [path for path in (tmp_path / "cache/kernels").iterdir() if not path.name.endswith(".lock")]


def test_a_full_disk_is_not_blamed_on_the_network(tmp_path: Path, programs: Path) -> None:
    script(
        programs / "dpkg-deb", "echo 'tar: ./boot/vmlinuz: Cannot write: No space left on device' >&2; exit 2"
    )
    with pytest.raises(KernelError, match=r"kernels: no space left: free 150 MB or set XDG_CACHE_HOME$"):
        kernel.distribution(tmp_path / "cache")


def test_no_apt_is_one_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelError, match=r"^apt-get not found.*--guest-kernel PATH$"):
        kernel.distribution(tmp_path / "cache")


def test_the_newest_kept_kernel_is_taken(tmp_path: Path) -> None:
    for age, release in ((100, "6.1-old"), (0, "6.12-new")):
        boot = tmp_path / "kernels" / f"linux-image-{release}" / "boot"
        boot.mkdir(parents=True)
        (boot / f"vmlinuz-{release}").write_bytes(bzimage(release))
        os.utime(boot, (time.time() - age, time.time() - age))
    assert kernel.distribution(tmp_path).release == "6.12-new"

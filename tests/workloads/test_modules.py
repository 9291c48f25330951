from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from workloads.image.errors import KernelError
from workloads.image.modules import collect, depends, module_name


def module(name: str, *needs: str) -> bytes:
    """As much of a .ko as is read: its .modinfo strings."""
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=" + name.encode() + b"\0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Debian 12's: everything virtio is a module. Debian 13's compression and dashes are mixed in."""
    kernel = tmp_path / "kernel"
    files = {
        "drivers/virtio/virtio_ring.ko": module("virtio_ring"),
        "drivers/virtio/virtio.ko": module("virtio", "virtio_ring"),
        "drivers/virtio/virtio_pci_modern_dev.ko": module("virtio_pci_modern_dev"),
        "drivers/virtio/virtio_pci_legacy_dev.ko": module("virtio_pci_legacy_dev"),
        "drivers/virtio/virtio_pci.ko": module(
            "virtio_pci", "virtio-ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev"
        ),
        "drivers/virtio/virtio_balloon.ko.xz": lzma.compress(
            module("virtio_balloon", "virtio", "virtio_ring")
        ),
        "drivers/block/virtio_blk.ko": module("virtio_blk", "virtio", "virtio_ring"),
        "drivers/acpi/button.ko.gz": gzip.compress(module("button")),
        "drivers/char/hw_random/virtio-rng.ko": module("virtio_rng", "virtio", "rng-core"),
    }
    for path, data in files.items():
        (kernel / path).parent.mkdir(parents=True, exist_ok=True)
        (kernel / path).write_bytes(data)
    (tmp_path / "modules.builtin").write_text(
        "kernel/drivers/char/hw_random/rng-core.ko\nkernel/lib/crc32.ko\n"
    )
    return tmp_path


def test_modules_come_after_what_they_depend_on(tree: Path) -> None:
    found = collect(tree)
    assert list(found.files) == [
        "virtio_ring",
        "virtio",
        "virtio_pci_legacy_dev",
        "virtio_pci_modern_dev",
        "virtio_pci",
        "virtio_balloon",
        "virtio_blk",
        "button",
    ]
    assert found.missing == ("evdev",)
    assert found.files["virtio_balloon"] == module("virtio_balloon", "virtio", "virtio_ring")


def test_what_is_built_in_is_neither_loaded_nor_missing(tree: Path) -> None:
    found = collect(tree, ["virtio_rng", "crc32"])
    assert list(found.files) == ["virtio_ring", "virtio", "virtio_rng"]
    assert found.missing == ()


def test_a_missing_dependency_is_reported(tree: Path) -> None:
    (tree / "kernel/drivers/virtio/virtio_ring.ko").unlink()
    assert collect(tree, ["virtio"]).missing == ("virtio_ring",)


def test_a_circle_ends(tree: Path) -> None:
    (tree / "kernel/a.ko").write_bytes(module("a", "b"))
    (tree / "kernel/b.ko").write_bytes(module("b", "a"))
    assert set(collect(tree, ["a"]).files) == {"a", "b"}


@pytest.mark.parametrize("where", [None, "nowhere"])
def test_without_a_tree_all_are_missing(tmp_path: Path, where: str | None) -> None:
    found = collect(None if where is None else tmp_path / where, ["button", "evdev"])
    assert (dict(found.files), found.missing) == ({}, ("button", "evdev"))


def test_a_broken_module_is_one_clear_line(tree: Path) -> None:
    (tree / "kernel/evdev.ko.xz").write_bytes(b"not xz")
    with pytest.raises(
        KernelError, match=r"evdev\.ko\.xz can't be unpacked: .*; unpack the kernel package again"
    ):
        collect(tree)


def test_zstd_is_refused_with_the_command_that_helps(tree: Path) -> None:
    (tree / "kernel/evdev.ko.zst").write_bytes(b"x")
    with pytest.raises(KernelError, match=r"run `unzstd .*evdev\.ko\.zst`"):
        collect(tree)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("kernel/drivers/char/virtio-rng.ko.xz", "virtio_rng"),
        ("button.ko", "button"),
        ("a.ko.d/evdev.ko.gz", "evdev"),
    ],
)
def test_module_names(path: str, name: str) -> None:
    assert module_name(path) == name


def test_no_depends_field_means_no_dependencies() -> None:
    assert depends(b"\x7fELF\0license=GPL\0") == ()
    assert depends(module("x")) == ()

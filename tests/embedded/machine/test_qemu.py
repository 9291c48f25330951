from __future__ import annotations

from pathlib import Path

import pytest

from harness.embedded.machine.base import DiskShape, GuestImage, GuestShape
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import disk, qemu
from harness.units import Bytes

IMAGE = GuestImage(kernel=Path("/k/vmlinuz"), initramfs=Path("/k/initramfs.cpio"), release="6.1.0")
SOCKETS = qemu.Sockets.under(Path("/tmp/g1"))


def line(shape: GuestShape, accelerator: qemu.Accelerator = "tcg") -> list[str]:
    return qemu.command(
        program=Path("/usr/bin/qemu-system-x86_64"),
        shape=shape,
        image=IMAGE,
        sockets=SOCKETS,
        accelerator=accelerator,
    )


def following(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_the_recipe() -> None:
    arguments = line(GuestShape(name="g", memory=Bytes(268435456), graphics=False, nonce="c0ffee", deaf=True))
    assert arguments == [
        *("/usr/bin/qemu-system-x86_64", "-nodefaults", "-no-user-config", "-name", "guest=g"),
        *("-machine", "q35,mem-merge=on", "-accel", "tcg,thread=multi,tb-size=32", "-cpu", "qemu64"),
        *("-smp", "1", "-m", "size=268435456B", "-vga", "none", "-display", "none", "-no-reboot"),
        *("-chardev", "socket,id=ser,path=/tmp/g1/ser", "-serial", "chardev:ser"),
        *("-qmp", "unix:/tmp/g1/qmp,server=on,wait=off"),
        *("-device", "virtio-balloon-pci,free-page-reporting=on"),
        *("-kernel", "/k/vmlinuz", "-initrd", "/k/initramfs.cpio", "-append"),
        (
            "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check 8250.nr_uarts=1 "
            "cryptomgr.notests audit=0 density.nonce=c0ffee density.deaf=1"
        ),
    ]


def test_a_graphics_device_comes_with_a_vnc_server_on_a_socket() -> None:
    arguments = line(GuestShape(name="g", memory=Bytes(1 << 28)))
    assert "VGA,addr=0x2,vgamem_mb=16" in arguments
    assert following(arguments, "-vnc") == "unix:/tmp/g1/vnc"
    assert "-vnc" not in line(GuestShape(name="g", memory=Bytes(1 << 28), graphics=False))


def test_ksm_and_free_page_reporting_can_be_opted_out_of() -> None:
    shape = GuestShape(name="g", memory=Bytes(1 << 28), mem_merge=False, free_page_reporting=False)
    assert following(line(shape), "-machine") == "q35,mem-merge=off"
    assert "virtio-balloon-pci,free-page-reporting=off" in line(shape)


def test_without_a_balloon_there_is_no_device_for_it() -> None:
    assert not any(
        "balloon" in word for word in line(GuestShape(name="g", memory=Bytes(1 << 28), balloon=False))
    )


@pytest.mark.parametrize(
    ("mode", "direct", "write_cache"), [("none", "on", "on"), ("writethrough", "off", "off")]
)
def test_a_disk_is_raw_virtio_with_libvirts_cache_mode(
    mode: disk.CacheMode, direct: str, write_cache: str
) -> None:
    shape = GuestShape(
        name="g", memory=Bytes(1 << 28), disk=DiskShape(path=Path("/d/a,b.raw"), size=Bytes(1 << 20))
    )
    arguments = qemu.command(
        program=Path("/q"), shape=shape, image=IMAGE, sockets=SOCKETS, accelerator="tcg", cache=mode
    )
    assert (
        f"driver=file,filename=/d/a,,b.raw,node-name=file0,cache.direct={direct},cache.no-flush=off"
        in arguments
    )
    assert f"virtio-blk-pci,addr=0x4,drive=disk0,serial=density,write-cache={write_cache}" in arguments
    assert "VGA,addr=0x2,vgamem_mb=16" in arguments


def test_kvm_has_no_translation_cache() -> None:
    assert following(line(GuestShape(name="g", memory=Bytes(1 << 28)), "kvm"), "-accel") == "kvm"


def test_a_comma_in_a_name_is_no_new_option() -> None:
    assert following(line(GuestShape(name="a,b=c", memory=Bytes(1 << 28))), "-name") == "guest=a,,b=c"


def test_no_qemu_on_path_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"not on PATH: run `apt-get install .*qemu-system-x86`"):
        qemu.find()


def test_a_qemu_that_does_not_run_is_reported(tmp_path: Path) -> None:
    broken = tmp_path / "qemu-system-x86_64"
    broken.write_text("not a program")
    broken.chmod(0o755)
    with pytest.raises(MachineError, match=r"does not run: .* reinstall it"):
        qemu.version(broken)


def test_a_missing_kernel_is_reported_before_anything_starts(tmp_path: Path) -> None:
    image = GuestImage(kernel=tmp_path / "vmlinuz", initramfs=tmp_path / "initramfs", release="")
    with pytest.raises(MachineError, match=r"guest kernel .*vmlinuz can't be read: .*--guest-kernel"):
        qemu.check_image(image)

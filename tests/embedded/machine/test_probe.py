from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.linux import accel, probe, procfs

IMAGE = GuestImage(kernel=Path("/k/vmlinuz"), initramfs=Path("/k/initramfs.cpio"), release="6.1.0")


def test_the_survey_is_fast_and_each_no_says_why_and_what_mends_it() -> None:
    start = time.monotonic()
    found = probe.survey()
    assert time.monotonic() - start < 5  # 0.2 s on an idle machine
    assert [item.name for item in found] == [
        *("qemu", "guest-kernel", "cc", "root", "memory", "disk", "cgroup-write", "cgroup-v2"),
        *("kvm", "ksm", "swap", "node-memory", "oom-adj-negative", "kmsg"),
    ]
    for item in found:
        if item.value == "no":
            assert item.why
            assert item.mend
            assert item.text == item.why
        else:
            assert item.text == "yes"


def test_without_programs_the_survey_names_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {item.name: item for item in probe.survey()}
    assert found["qemu"].why == "qemu-system-x86_64 is not on PATH"
    assert found["qemu"].mend == "apt-get install -y --no-install-recommends qemu-system-x86"
    assert found["cc"].value == "no"
    assert "--guest-kernel" in found["guest-kernel"].mend


def fake_kvm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.write_text("")
    monkeypatch.setattr(accel, "_KVM", device)
    monkeypatch.setattr(accel, "_ANSWERS", {})


def qemu_that(tmp_path: Path, body: str) -> Path:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def test_kvm_is_used_only_if_a_guest_gets_to_its_init(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_kvm(monkeypatch, tmp_path)
    program = qemu_that(tmp_path, "echo 'Run /init as init process'; exec sleep 60")
    assert accel.why_no_kvm(program, IMAGE, cache=tmp_path / "cache") == ""


def test_a_guest_that_spins_is_given_up_and_its_answer_kept_for_this_boot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_kvm(monkeypatch, tmp_path)
    monkeypatch.setattr(accel, "DEADLINE", 0.2)
    program = qemu_that(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    why = accel.why_no_kvm(program, IMAGE, cache=tmp_path / "cache")
    assert why == "a probe guest did not start its kernel within 0 s"
    assert procfs.identity(int((tmp_path / "pid").read_text())) is None
    kept = tmp_path / "cache/kvm.json"
    assert json.loads(kept.read_text())["boot"] == procfs.boot_id()

    (tmp_path / "pid").unlink()
    monkeypatch.setattr(accel, "_ANSWERS", {})
    assert accel.why_no_kvm(program, IMAGE, cache=tmp_path / "cache") == why
    assert not (tmp_path / "pid").exists()

    kept.write_text(kept.read_text().replace(procfs.boot_id(), "last-boot"))
    monkeypatch.setattr(accel, "_ANSWERS", {})
    assert accel.why_no_kvm(program, None, cache=tmp_path / "cache").startswith("not probed yet")


def test_a_qemu_that_aborts_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_kvm(monkeypatch, tmp_path)
    program = qemu_that(tmp_path, "echo 'error: failed to set MSR 0x10a' >&2; exit 1")
    assert (
        accel.why_no_kvm(program, IMAGE, cache=tmp_path / "cache")
        == "a probe guest ended at once: error: failed to set MSR 0x10a"
    )


def test_no_device_needs_no_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accel, "_KVM", tmp_path / "none")
    assert accel.why_no_kvm(tmp_path / "qemu", IMAGE, cache=tmp_path).startswith("no /dev/kvm")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any device")
def test_a_device_of_somebody_else_needs_no_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_kvm(monkeypatch, tmp_path)
    (tmp_path / "kvm").chmod(0)
    assert "not readable and writable" in accel.why_no_kvm(tmp_path / "qemu", IMAGE, cache=tmp_path)

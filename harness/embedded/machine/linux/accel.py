"""Whether KVM can be used: only if a probe guest's kernel really comes up under it within a deadline, else TCG.

/dev/kvm being there proves nothing, nor does a firmware that runs: under some hypervisors a KVM guest takes seconds
for its firmware and then spins without a word from its kernel. The answer is kept for this boot of the machine in
`$XDG_CACHE_HOME/kubevirt-density/kvm.json`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path

from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.linux import procfs, qemu

DEADLINE = 5.0
_KVM = Path("/dev/kvm")
_ANSWERS: dict[tuple[str, str], str] = {}


def why_no_kvm(program: Path, image: GuestImage | None, *, cache: Path | None = None) -> str:
    """'' when KVM works, else why not. Takes up to DEADLINE once per boot; without an image it boots nothing."""
    if not _KVM.exists():
        return "no /dev/kvm: this machine has no virtualisation extensions, or they are not passed to it"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"/dev/kvm is not readable and writable for uid {os.geteuid()}"
    key = (procfs.boot_id(), str(program))
    if key not in _ANSWERS:
        path = (cache or _cache_directory()) / "kvm.json"
        known = _read(path, key)
        if known is None:
            if image is None:
                return "not probed yet: the first run does, or `density doctor --deep`"
            known = _probe(program, image)
            _write(path, key, known)
        _ANSWERS[key] = known
    return _ANSWERS[key]


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "kubevirt-density"


def _read(path: Path, key: tuple[str, str]) -> str | None:
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if isinstance(kept, dict) and kept.get("boot") == key[0] and kept.get("qemu") == key[1]:
        return str(kept.get("why", "")) if isinstance(kept.get("why"), str) else None
    return None


def _write(path: Path, key: tuple[str, str], why: str) -> None:
    with contextlib.suppress(OSError):  # a cache that can't be written costs 5 s next time
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"boot": key[0], "qemu": key[1], "why": why}), encoding="utf-8")


def _probe(program: Path, image: GuestImage) -> str:
    # not quiet: the kernel's last line before init is what we wait for
    append = qemu.KERNEL_ARGS.replace(" quiet ", " ")
    arguments = [
        *(
            str(program),
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "q35",
            "-accel",
            "kvm",
            "-cpu",
            "qemu64",
        ),
        *("-m", "128", "-display", "none", "-vga", "none", "-no-reboot"),
        *("-chardev", "stdio,id=out", "-serial", "chardev:out"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", append),
    ]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=qemu.Confinement(parent=os.getpid(), cgroup=None).hook(report=2),  # noqa: PLW1509
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"a probe guest could not be started: {error}"
    with process:
        try:
            return _watch(process)
        finally:
            process.kill()


def _watch(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    end = time.monotonic() + DEADLINE
    seen = b""
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([process.stdout], [], [], left)
        if not ready:
            break
        chunk = os.read(process.stdout.fileno(), 4096)
        if not chunk:
            process.kill()
            said = process.stderr.read().decode("utf-8", errors="replace").strip().splitlines()
            return f"a probe guest ended at once: {said[0] if said else 'QEMU said nothing'}"
        seen += chunk
        if b" as init process" in seen:
            return ""
    heard = "did not finish booting its kernel" if b"Linux version" in seen else "did not start its kernel"
    return f"a probe guest {heard} within {DEADLINE:.0f} s"

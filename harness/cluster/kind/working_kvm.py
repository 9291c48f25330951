"""Whether guests in the nodes can use KVM: the device must be there, and a guest must come up under it.

Some machines offer a /dev/kvm under which no guest ever gets to its first instruction. Where the engine is this
machine and has QEMU, that is tried once per boot; elsewhere the device is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from harness.embedded.machine.base import GuestImage as Bootable
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import accel, qemu
from workloads.image import GuestImage


async def why_no_kvm(facts: Mapping[str, str], *, local: bool, image: GuestImage) -> str:
    """'' when guests can use KVM, else why not."""
    if facts.get("kvm") != "yes":
        return "no usable /dev/kvm in the nodes: guests are emulated (TCG)"
    if not local:
        return ""
    try:
        program = qemu.find()
    except MachineError:
        return ""
    bootable = Bootable(kernel=image.kernel, initramfs=image.initramfs, release=image.release)
    return await asyncio.to_thread(accel.why_no_kvm, program, bootable)

"""Cluster `local`: an embedded control plane and kubelet, real guests under this machine's kernel.

Evidence `kernel`. Each node is a memory cgroup of the asked size; without writable cgroups accounting falls back to
sums of PSS, and what needs the kernel's limit is not observable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from harness.cluster.base import Evidence, Undo
from harness.cluster.embedded import EmbeddedSource
from harness.cluster.errors import ClusterError
from harness.embedded.machine.base import GuestImage, Machine
from harness.embedded.machine.linux.machine import Accel, LinuxMachine
from harness.units import Bytes
from workloads.image import ImageError, build_async

MEMINFO = Path("/proc/meminfo")


class LocalCluster(EmbeddedSource):
    """One embedded cluster on this machine. `undo` is told of every change before it is made."""

    kind: Literal["local", "kind", "kubeconfig", "model"] = "local"
    evidence: Evidence = "kernel"

    def __init__(
        self,
        *,
        undo: Undo,
        run: str,
        column: str | None = None,
        seed: int = 1,
        accel: Accel = "auto",
        guest_kernel: Path | None = None,
    ) -> None:
        super().__init__(column=column, seed=seed)
        self._undo = undo
        self._run = run
        self._accel: Accel = accel
        self._guest_kernel = guest_kernel

    async def open_machine(self) -> Machine:
        """Build (or find) the guest image and return the machine. Raises ClusterError with what mends it."""
        try:
            image = await build_async(guest_kernel=self._guest_kernel)
        except ImageError as error:
            raise ClusterError(str(error)) from error
        machine = LinuxMachine(
            GuestImage(
                kernel=image.kernel, initramfs=image.initramfs, release=image.release, agent=image.agent
            ),
            undo=self._undo,
            run_id=self._run,
            accel=self._accel,
        )
        # LinuxMachine has the protocol's shape, but its methods name their own narrower classes.
        return cast("Machine", machine)

    def size(self) -> Bytes:
        """This machine's memory."""
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return Bytes(int(line.split()[1]) * 1024)
        raise ClusterError(f"{MEMINFO} has no MemTotal")

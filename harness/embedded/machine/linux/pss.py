"""Accounting without cgroups: a subject uses the sum of its guests' PSS. For users who can't write a memory cgroup.

Limits are not enforced here; PSS counts QEMU's file pages too (about 20 MiB a guest more than a cgroup shows).
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.embedded.machine.base import Memory
from harness.embedded.machine.linux import procfs
from harness.units import Bytes


def sum_of(pids: Iterable[int], *, limit: Bytes | None = None) -> Memory:
    """Read all processes now; one that is gone counts nothing. File pages mapped count as active: no inactive_file."""
    usage = rss = swap = 0
    for pid in pids:
        now = procfs.process_memory(pid)
        if now is not None:
            usage += now.pss
            rss += now.rss
            swap += now.swap_pss
    return Memory(
        usage=Bytes(usage),
        working_set=Bytes(usage),
        rss=Bytes(rss),
        swap=Bytes(swap),
        limit=limit,
        accounting="pss",
    )

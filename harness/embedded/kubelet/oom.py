"""What an OOM kill takes with it, and what a node says of one.

Source: kuberuntime_container_linux.go:322-330 (memory.oom.group on container cgroups, cgroup v2 only, unless
singleProcessOOMKill), oom/oom_watcher_linux.go:73-95 (SystemOOM for kills that no memory cgroup's limit caused).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from harness.embedded.machine.base import Accounting, OomKill


class Toll(enum.Enum):
    """Who dies with the victim."""

    PROCESS = "QEMU alone"
    CONTAINER = "every process of the compute container"


def kills_groups(accounting: Accounting, configuration: Mapping[str, Any]) -> bool:
    """Whether this node's kernel kills whole containers: cgroup v2 and not `singleProcessOOMKill: true`."""
    return accounting == "v2" and not configuration.get("singleProcessOOMKill")


def toll(*, group_kill: bool) -> Toll:
    """Who dies with QEMU."""
    return Toll.CONTAINER if group_kill else Toll.PROCESS


def has_event(kill: OomKill) -> bool:
    """Whether the node has a SystemOOM event of it: only if no memory cgroup's limit caused it, by design."""
    return kill.domain == "global"

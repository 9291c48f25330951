"""oom_score_adj of a container, and which task the kernel would kill.

Source: Kubernetes pkg/kubelet/qos/policy.go `GetContainerOOMScoreAdjust` (1.36); kernel mm/oom_kill.c `oom_badness`
after 5.9 [KERN: from third-party copies, no kernel tree read]. Unit: bytes; scores in pages of 4096 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.rules.pods import NODE_CRITICAL_CLASS, amount, find, is_critical, is_sidecar
from harness.rules.quantities import Quantity
from harness.rules.vmi import get, items
from harness.units import Bytes

GUARANTEED: Final = -997
BEST_EFFORT: Final = 1000
UNKILLABLE: Final = -1000
PAGE: Final = 4096


def oom_score_adj(pod_spec: Mapping[str, Any], container: str, *, capacity: Bytes, qos: str) -> int:
    """Score adjustment of a container of a pod spec.

    `capacity`: the node's MemTotal in bytes (not allocatable), `qos`: its class. Raises KeyError for an unknown container.
    A Burstable container gets 1000 - 1000 x request / capacity (integer division), within 3 and 999; a sidecar no
    more than the smallest regular container's request gives.
    """
    found = find(pod_spec, container)
    node_critical = pod_spec.get("priorityClassName") == NODE_CRITICAL_CLASS and is_critical(pod_spec)
    if node_critical or qos == "Guaranteed":
        return GUARANTEED
    if qos == "BestEffort":
        return BEST_EFFORT
    remaining = _pod_level_share(pod_spec)
    request = int(amount(found, "requests", "memory").value())
    adjustment = 1000 - 1000 * (request + remaining) // capacity
    regular = [int(amount(item, "requests", "memory").value()) for item in items(pod_spec, "containers")]
    if is_sidecar(found) and regular:
        adjustment = min(adjustment, 1000 - 1000 * (min(regular) + remaining) // capacity)
    if adjustment < 1000 + GUARANTEED:
        return 1000 + GUARANTEED
    return BEST_EFFORT - 1 if adjustment == BEST_EFFORT else adjustment


def _pod_level_share(pod_spec: Mapping[str, Any]) -> int:
    """Share of a pod-level request that no container asked for (qos/helpers.go)."""
    pod_level = get(pod_spec, "resources", "requests", "memory")
    if pod_level is None:
        return 0
    containers = [*items(pod_spec, "containers"), *items(pod_spec, "initContainers")]
    asked = sum(int(amount(item, "requests", "memory").value()) for item in containers)
    return (int(Quantity.of(pod_level).value()) - asked) // max(1, len(containers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A process as the OOM killer sees it. `cgroup`: path, for memory cgroup OOMs and group kills."""

    pid: int
    name: str
    rss: Bytes
    """anon + file + shmem. KSM pages count once for each process that maps them [KERN]."""
    oom_score_adj: int
    swap: Bytes = Bytes(0)
    page_tables: Bytes = Bytes(0)
    cgroup: str = "/"


def score(task: Task, *, total: Bytes) -> int | None:
    """Badness in pages: use + oom_score_adj x (total pages / 1000), integer division first; None for a task never killed [KERN].

    `total`: MemTotal + SwapTotal for a global OOM; memory.max (+ min(swap.max, SwapTotal)) for a memory cgroup's.
    """
    if task.oom_score_adj == UNKILLABLE:
        return None
    used = task.rss // PAGE + task.swap // PAGE + task.page_tables // PAGE
    return used + task.oom_score_adj * (total // PAGE // 1000)


def inside(cgroup: str, domain: str) -> bool:
    """Whether a cgroup path lies in the subtree of another."""
    return domain in {"/", cgroup} or cgroup.startswith(domain.rstrip("/") + "/")


def victim(tasks: Iterable[Task], *, total: Bytes, domain: str = "/") -> Task | None:
    """Pick the task the kernel kills for an OOM in the memory cgroup `domain` ("/": a global one) [KERN]. First wins a tie."""
    best: tuple[int, Task] | None = None
    for task in tasks:
        points = score(task, total=total) if inside(task.cgroup, domain) else None
        if points is not None and (best is None or points > best[0]):
            best = (points, task)
    return best[1] if best else None


def killed(
    tasks: Iterable[Task], *, total: Bytes, domain: str = "/", group_cgroups: Iterable[str] = ()
) -> tuple[Task, ...]:
    """All tasks an OOM kills: the victim, and with it its whole container where `memory.oom.group` is 1 [KERN].

    `group_cgroups`: cgroups with oom.group set; the highest one around the victim inside the domain dies together.
    The kubelet sets it on containers on cgroup v2 unless singleProcessOOMKill; never on v1.
    """
    listed = tuple(tasks)
    first = victim(listed, total=total, domain=domain)
    if first is None:
        return ()
    groups = [group for group in group_cgroups if inside(first.cgroup, group) and inside(group, domain)]
    if not groups:
        return (first,)
    highest = min(groups, key=len)
    return tuple(task for task in listed if inside(task.cgroup, highest) and task.oom_score_adj != UNKILLABLE)

"""What can be compared by the expectation `ratio`: names, in what unit, and where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MEASURES: Final[Mapping[str, str]] = {
    "request": "memory requests of the compute container, bytes",
    "request-before-overhead": "the same without KubeVirt's overhead, bytes",
    "limit": "memory limit of the compute container, bytes",
    "pod-request": "memory requests of all containers that run together, bytes",
    "overhead": "the VMI's status.memory.memoryOverhead, bytes",
    "usage": "usage of the pod's cgroup, bytes",
    "working-set": "working set of the pod's cgroup, bytes",
    "rss": "resident memory of QEMU, bytes",
    "pss": "proportional share of QEMU, bytes",
    "memtotal": "the guest's own MemTotal, bytes",
    "held": "what the guest holds, bytes",
    "startup": "from creation to the guest's hello, seconds",
    "p50": "median touch latency, the median of the window's seconds, seconds",
    "p99": "99th percentile of touch latency, the worst of the window's seconds, seconds",
    "evictions": "evictions of the fleet in the window, a count over all members",
    "survivors": "members alive at the end of the window, a count",
}
"""What `ratio` compares, and how it is measured."""

BYTES: Final = frozenset(name for name, what in MEASURES.items() if what.endswith("bytes"))
"""Those in bytes: bounds of a saving may be quantities."""
SECONDS: Final = frozenset(name for name, what in MEASURES.items() if what.endswith("seconds"))
"""Those in seconds: bounds of a saving are durations."""

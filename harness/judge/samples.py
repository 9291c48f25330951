"""Memory samples as the judge reads them: cgroups by our probe, nodes by stats/summary."""

from __future__ import annotations

from dataclasses import dataclass

from harness.judge.interval import Interval
from harness.judge.kmsg import pod_uid
from harness.judge.tracks import Mark
from harness.records import served
from harness.records.model import Sample
from harness.records.served import count

_NO_LIMIT = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of a page, which recorders round as floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySample(Mark):
    """Memory of a cgroup: bytes. `when` is the time it speaks of."""

    when: Interval
    usage: int
    working_set: int
    rss: int | None
    available: int | None = None
    """Only where the source says so itself (stats/summary)."""
    source: str = "cgroup"
    swap: int | None = None
    swap_limit: int | None = None


def cgroup_sample(number: int, record: Sample) -> MemorySample | None:
    """Read a cgroup sample; one that tells a working set alone has at least that in use."""
    data = record.data
    working = served.working_set(data)
    if working is None:
        return None
    usage = count(data.get("usage"))
    return MemorySample(
        t=record.t,
        line=number,
        when=Interval(record.t, record.t),
        usage=working if usage is None else usage,
        working_set=working,
        rss=count(data.get("rss")),
        swap=count(data.get("swap")),
        swap_limit=count(data.get("swapLimit")),
    )


def limit(record: Sample) -> int | None:
    """Return the limit of a sampled cgroup, or None where it has none."""
    found = count(record.data.get("limit"))
    return found if found is not None and 0 < found < _NO_LIMIT else None


def stats_sample(number: int, record: Sample, when: Interval) -> MemorySample | None:
    """Read the node row of stats/summary, which speaks of `when`."""
    memory = served.dig(record.data, "node", "memory") or {}
    available = count(served.dig(memory, "availableBytes"))
    if available is None:
        return None
    return MemorySample(
        t=record.t,
        line=number,
        when=when,
        usage=count(served.dig(memory, "usageBytes")) or 0,
        working_set=count(served.dig(memory, "workingSetBytes")) or 0,
        rss=None,
        available=available,
        source="stats/summary",
    )


def subject_pod(subject: str) -> str:
    """Return the pod UID of a cgroup sample's subject (`pod/<uid>` or a pod's cgroup path), or ''."""
    if subject.startswith("pod/"):
        return subject.removeprefix("pod/")
    return pod_uid(subject.rstrip("/").rpartition("/")[2])

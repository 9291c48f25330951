"""What a cluster still serves of a VM, turned into records, so that `why` reads it like a run.

One list of objects is no history: an object stands for the moment of the list, an event for the moment it speaks of. Seconds
count from the oldest thing that is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.records import served
from harness.records.model import SCHEMA_VERSION, End, Provenance, Record, Sample, Watch
from harness.units import Seconds

EMBEDDED = "+density.embedded"
_ORIGIN = 1.0
"""Seconds before the oldest thing that is served: what happens at t = 0 would count as before the run."""


@dataclass(slots=True, kw_only=True)
class Served:
    """Everything one look at a cluster brings. What could not be read has a line in `missing`."""

    objects: list[Mapping[str, Any]] = field(default_factory=list)
    """Nodes, VMIs, VMs, pods."""
    events: list[Mapping[str, Any]] = field(default_factory=list)
    stats: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    configz: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    version: str = ""
    missing: list[str] = field(default_factory=list)


def records(looked: Served, *, now: float) -> tuple[Provenance, list[tuple[int, Record]]]:
    """Return provenance and records of a look at `now` (epoch seconds)."""
    zero = min([now, *_births(looked)]) - _ORIGIN
    made: list[Record] = []
    for event in looked.events:
        when = served.event_time(event)
        t = min(when.end if when is not None else now, now) - zero
        made.append(Watch(t=Seconds(t), at=_stamp(zero + t), type="ADDED", object=dict(event)))
    made.sort(key=lambda record: record.t)
    at, last = _stamp(now), Seconds(now - zero)
    for node, config in looked.configz.items():
        data = {"kubeletconfig": dict(config)}
        made.append(Sample(t=last, at=at, source="configz", node=node, data=data))
    for node, summary in looked.stats.items():
        made.append(Sample(t=last, at=at, source="stats/summary", node=node, data=dict(summary)))
    made += [Watch(t=last, at=at, type="ADDED", object=dict(obj)) for obj in looked.objects]
    counts: dict[str, int] = {}
    for record in made:
        tag = str(record.__struct_config__.tag)
        counts[tag] = counts.get(tag, 0) + 1
    made.append(End(t=last, at=at, counts=counts))
    provenance = Provenance(
        schema=SCHEMA_VERSION,
        run="as served",
        scenario={},
        cluster="kubeconfig",
        evidence="kernel" if looked.version.endswith(EMBEDDED) else "real",
        started=_stamp(zero),
        versions={"kubernetes": looked.version},
    )
    return provenance, list(enumerate(made, start=1))


def _births(looked: Served) -> Sequence[float]:
    found = [served.event_time(event) for event in looked.events]
    found += [
        served.maybe_instant(served.dig(obj, "metadata", "creationTimestamp"))
        for obj in looked.objects
        if obj.get("kind") in {"VirtualMachineInstance", "Pod"}
    ]
    return [instant.seconds for instant in found if instant is not None]


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")

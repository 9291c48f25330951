"""Run directories written by hand: many VMIs, or hostile ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.judge.judge import to_bytes
from harness.judge.model import Finding, Findings
from harness.records import model
from harness.records.rundir import RunDirectory
from harness.units import MIB, Seconds

STARTED = "2026-01-01T00:00:00Z"
NS = "density"


def write(
    root: Path, records: Iterable[model.Record], *, findings: Iterable[Finding] = (), **fields: object
) -> Path:
    """Write a judged run directory."""
    values: dict[str, object] = {
        "schema": 1,
        "run": "20260101T000000Z-made-local-abc123",
        "scenario": {},
        "cluster": "local",
        "evidence": "kernel",
        "started": STARTED,
        "outcome": "complete",
        "nodes": {"target": {"name": "target", "memory": 1024 * MIB}},
        "kubelet": {"target": {"evictionHard": {"memory.available": "100Mi"}}},
    }
    run = RunDirectory.create(root, model.Provenance(**(values | fields)))  # type: ignore[arg-type]
    with run.writer() as writer:
        for record in records:
            writer.append(record)
    run.write_findings(
        to_bytes(Findings(schema=1, run=run.id, complete=True, valid=True, findings=list(findings)))
    )
    return run.path


def watch(t: float, kind: str, name: str, **fields: object) -> model.Watch:
    """An object as served. `fields` are merged into it."""
    meta = {"namespace": NS, "name": name, "uid": f"{kind}-{name}"}
    return model.Watch(
        t=Seconds(t), at=STARTED, type="MODIFIED", object={"kind": kind, "metadata": meta, **fields}
    )


def vmi(t: float, name: str, phase: str) -> model.Watch:
    """A VMI of 128Mi on node `target`."""
    return watch(
        t,
        "VirtualMachineInstance",
        name,
        spec={"domain": {"memory": {"guest": "128Mi"}}},
        status={"phase": phase, "nodeName": "target", "activePods": {f"Pod-{name}": "target"}},
    )


def guest(t: float, name: str, line: str) -> model.Guest:
    """A console line."""
    return model.Guest(t=Seconds(t), at=STARTED, vmi=f"{NS}/{name}", line=line)


def cgroup(t: float, subject: str, mib: float, **data: object) -> model.Sample:
    """A cgroup sample of node `target`."""
    size = int(mib * MIB)
    values = {"usage": size, "workingSet": size, "rss": size, **data}
    return model.Sample(
        t=Seconds(t), at=STARTED, source="cgroup", node="target", subject=subject, data=values
    )


def evicted(t: float, name: str) -> model.Watch:
    """The Evicted event of a VMI's pod."""
    return watch(
        t,
        "Event",
        f"{name}.ev",
        reason="Evicted",
        message="The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. ",
        involvedObject={
            "kind": "Pod",
            "namespace": NS,
            "name": f"virt-launcher-{name}-abcde",
            "uid": f"Pod-{name}",
        },
        lastTimestamp="2026-01-01T00:00:20Z",
    )


def fleet(count: int, *, taken: int = 3, seconds: int = 3) -> Iterator[model.Record]:
    """A run of many VMIs on one node, of which a few are evicted after 20 s."""
    names = [f"vm-{i:05}" for i in range(count)]
    for i, name in enumerate(names):
        t = i * 5.0 / count
        yield model.Action(t=Seconds(t), at=STARTED, what="create", target=f"{NS}/{name}")
        yield vmi(t, name, "Pending")
        if i % 1000 != 999:  # one in a thousand never runs
            yield vmi(t + 1, name, "Running")
    for second in range(seconds):
        for i, name in enumerate(names):
            t = 8 + second * 3 + i / count
            line = f"@ stat up=1 held={(second + 1) * MIB} resident=1 memtotal=1 memavailable=1 p50=900 p99={4000 + i} max=9000 stalls=0"
            yield guest(t, name, line)
            yield cgroup(t, f"pod/Pod-{name}", 100 + second, vmi=f"{NS}/{name}")
        yield cgroup(8 + second * 3 + 1, "/", 300 + 300 * second)
    for name in names[:taken]:
        yield evicted(20.5, name)
        yield vmi(22, name, "Failed")
    yield model.Action(t=Seconds(30), at=STARTED, what="window-end")

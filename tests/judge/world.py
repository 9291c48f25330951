"""Small runs made of records, in the words of the objects a cluster serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.judge.judge import judge
from harness.judge.model import Finding, Findings
from harness.records.model import (
    Action,
    End,
    Guest,
    Kernel,
    Note,
    Provenance,
    Record,
    Sample,
    Watch,
)
from harness.spec.expectations import Check, Expectation
from harness.spec.model import Claim, FleetSpec, Scenario, Source, Stated, Today
from harness.units import Seconds

MI = 1 << 20
START = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC).timestamp()
EVICTED = (
    "The node was low on resource: memory. Threshold quantity: 300Mi, available: 195052Ki. "
    "Container compute was using 746292Ki, request is 64Mi, has larger consumption of memory. "
)


def stamp(t: float) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is served."""
    return datetime.fromtimestamp(int(START + t), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def uid(name: str) -> str:
    """A UID in the form of one, told by a name."""
    return f"{name.encode().hex():0>32}"[-32:-24] + "-0000-4000-8000-" + f"{name.encode().hex():0>12}"[-12:]


@dataclass
class World:
    """Records in order of arrival; `t` is the clock."""

    t: float = 0.0
    records: list[Record] = field(default_factory=list)
    vmis: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def at(self, t: float) -> World:
        self.t = t
        return self

    def put(self, record: Record) -> World:
        self.records.append(record)
        return self

    def _common(self) -> dict[str, Any]:
        at = datetime.fromtimestamp(START + self.t, UTC).isoformat()
        return {"t": Seconds(self.t), "at": at}

    def watch(self, obj: Mapping[str, Any], type_: Any = "MODIFIED") -> World:
        return self.put(Watch(**self._common(), type=type_, object=dict(obj)))

    def node(self, name: str = "node", memory: str = "1Gi") -> World:
        return self.watch(
            {"kind": "Node", "metadata": {"name": name}, "status": {"capacity": {"memory": memory}}}, "ADDED"
        )

    def node_says(
        self,
        name: str = "node",
        *,
        allocatable: str = "800Mi",
        pressure: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> World:
        """A node with all that is asked of nodes."""
        status = "True" if pressure else "False"
        condition = {"type": "MemoryPressure", "status": status, "lastTransitionTime": stamp(self.t)}
        return self.watch(
            {
                "kind": "Node",
                "metadata": {"name": name, "annotations": dict(annotations or {})},
                "status": {
                    "capacity": {"memory": "1Gi"},
                    "allocatable": {"memory": allocatable},
                    "conditions": [condition],
                },
            }
        )

    def host(self, source: Any, **data: Any) -> World:
        """A sample of the whole machine."""
        return self.put(Sample(**self._common(), source=source, subject="host", data=data))

    def config(self, config: Mapping[str, Any], node: str = "node") -> World:
        """What a kubelet's /configz served."""
        return self.put(
            Sample(**self._common(), source="configz", node=node, data={"kubeletconfig": dict(config)})
        )

    def answer(self, request: str, target: str, code: int, message: str = "", *warnings: str) -> World:
        """What the API answered."""
        return self.action(
            "answer", target, request=request, code=code, message=message, warnings=list(warnings)
        )

    def vmi(
        self,
        name: str,
        *,
        node: str = "node",
        request: str = "64Mi",
        generation: str = "",
        phase: str = "Running",
    ) -> World:
        """A VMI Running with its pod."""
        mine = uid(f"v{generation}{name}")
        self.vmis[name] = {
            "kind": "VirtualMachineInstance",
            "metadata": {"name": name, "namespace": "d", "uid": mine},
            "status": {"phase": phase, "nodeName": node, "qosClass": "Burstable"},
        }
        self.pods[name] = {
            "kind": "Pod",
            "metadata": {
                "name": f"virt-launcher-{name}-abcde",
                "namespace": "d",
                "uid": uid(f"p{generation}{name}"),
                "ownerReferences": [{"kind": "VirtualMachineInstance", "name": name, "uid": mine}],
            },
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 60,
                "containers": [{"name": "compute", "resources": {"requests": {"memory": request}}}],
            },
            "status": {"phase": "Running", "qosClass": "Burstable"},
        }
        return self.watch(self.vmis[name], "ADDED").watch(self.pods[name], "ADDED")

    def plain_pod(self, name: str, *, node: str = "node") -> World:
        self.pods[name] = {
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "d", "uid": uid(f"p{name}")},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {}}]},
            "status": {"phase": "Running", "qosClass": "BestEffort"},
        }
        return self.watch(self.pods[name], "ADDED")

    def phase(self, name: str, phase: str) -> World:
        obj = self.vmis[name]
        self.vmis[name] = {**obj, "status": {**obj["status"], "phase": phase}}
        return self.watch(self.vmis[name])

    def pod(self, name: str, **status: Any) -> World:
        obj = self.pods[name]
        self.pods[name] = {**obj, "status": {**obj["status"], **status}}
        return self.watch(self.pods[name])

    def event(
        self, reason: str, *, of: dict[str, Any], message: str = "", own: float | None = None, count: int = 1
    ) -> World:
        own = self.t if own is None else own
        metadata = of["metadata"]
        return self.watch(
            {
                "kind": "Event",
                "metadata": {
                    "name": f"e{len(self.records)}",
                    "namespace": "d",
                    "uid": f"e{len(self.records)}",
                },
                "involvedObject": {
                    "kind": of["kind"],
                    "name": metadata["name"],
                    "namespace": "d",
                    "uid": metadata["uid"],
                },
                "reason": reason,
                "message": message,
                "lastTimestamp": stamp(own),
                "count": count,
                "source": {"host": "node"},
            },
            "ADDED",
        )

    def evict(self, name: str, *, message: str = EVICTED, own: float | None = None) -> World:
        """The Evicted event of the kubelet's decision."""
        return self.event("Evicted", of=self.pods[name], message=message, own=own)

    def killed(self, name: str, *, code: int = 137, phase: str = "Failed", condition: bool = True) -> World:
        """The pod is over, as the kubelet reports it."""
        conditions = [
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByKubelet",
                "message": EVICTED,
                "lastTransitionTime": stamp(self.t),
            }
        ]
        container = self.pods[name]["spec"]["containers"][0]["name"]
        return self.pod(
            name,
            phase=phase,
            conditions=conditions if condition else [],
            containerStatuses=[
                {
                    "name": container,
                    "state": {
                        "terminated": {"exitCode": code, "reason": "Error", "finishedAt": stamp(self.t)}
                    },
                }
            ],
        )

    def said(self, name: str, line: str) -> World:
        return self.put(Guest(**self._common(), vmi=f"d/{name}", line=line))

    def cgroup(self, used: int, subject: str = "/", node: str = "node", **data: Any) -> World:
        """Working set in MiB."""
        return self.put(
            Sample(
                **self._common(),
                source="cgroup",
                node=node,
                subject=subject,
                data={"usage": used * MI, "workingSet": used * MI, "rss": used * MI, **data},
            )
        )

    def pod_cgroup(self, name: str, used: int) -> World:
        return self.cgroup(used, subject=f"pod/{self.pods[name]['metadata']['uid']}")

    def process(self, name: str, **data: Any) -> World:
        """QEMU's process, as the probe sees it."""
        return self.put(
            Sample(**self._common(), source="process", node="node", subject=f"d/{name}", data=data)
        )

    def oom(self, name: str, scope: str = "container", **more: Any) -> World:
        return self.put(Kernel(**self._common(), source="kmsg", scope=scope, vmi=f"d/{name}", **more))

    def action(self, what: str, target: str = "", **args: Any) -> World:
        return self.put(Action(**self._common(), what=what, target=target, args=args))

    def note(self, what: str, **data: Any) -> World:
        return self.put(Note(**self._common(), what=what, data=data))

    def numbered(self, *, ended: bool = True) -> list[tuple[int, Record]]:
        records = list(self.records)
        if ended:
            counts: dict[str, int] = {}
            for record in records:
                tag = str(record.__struct_config__.tag)
                counts[tag] = counts.get(tag, 0) + 1
            records.append(End(**self._common(), counts=counts))
        return list(enumerate(records, start=1))


PROVENANCE = Provenance(
    schema=1,
    run="20261128T120000Z-test-local-000000",
    scenario={},
    cluster="local",
    evidence="kernel",
    started="2026-11-28T12:00:00.000000+00:00",
    versions={"kubevirtColumn": "main"},
)


def scenario(
    *fleets: str,
    promises: tuple[Check, ...] = (),
    requires: tuple[Check, ...] = (),
    needs: tuple[str, ...] = (),
    stated: Stated | None = None,
) -> Scenario:
    """A scenario with one fleet a name."""
    return Scenario(
        name="test",
        title="test",
        source=Source(path="test.yaml", text=""),
        nodes=(),
        kubevirt={},
        kubevirt_version=None,
        fleet=tuple(FleetSpec(name=name, manifest={}, match=(name,)) for name in fleets),
        workload=(),
        promises=promises,
        requires=requires,
        control=None,
        needs=needs,
        stated=stated,
    )


def require(kind: str, expectation: Expectation, number: int = 0) -> Check:
    return Check(id=f"requires/{number}", kind=kind, expectation=expectation)


def promise(kind: str, expectation: Expectation, claim: str = "C-1", number: int = 0) -> Check:
    return Check(id=f"promises/{number}", kind=kind, expectation=expectation, claim=claim)


def claim(
    *today: Today, name: str = "C-1", decided_by: Any = "kubelet", untestable: str | None = None
) -> Claim:
    return Claim(
        id=name,
        quote="",
        promise="",
        promise_kind=None,
        promise_args={},
        today=today,
        decided_by=decided_by,
        untestable=untestable,
    )


def findings(
    world: World,
    *fleets: str,
    checks: tuple[Check, ...],
    claims: Mapping[str, Claim] | None = None,
    ended: bool = True,
    control: Findings | None = None,
    provenance: Provenance = PROVENANCE,
    **more: Any,
) -> Findings:
    """Judge checks on a world."""
    made = scenario(
        *fleets,
        promises=tuple(c for c in checks if c.claim),
        requires=tuple(c for c in checks if not c.claim),
        **more,
    )
    return judge(provenance, world.numbered(ended=ended), made, claims or {}, control)


def finding(
    world: World, *fleets: str, kind: str, expectation: Expectation, ended: bool = True, **more: Any
) -> Finding:
    """Judge one requirement on a world."""
    return findings(world, *fleets, checks=(require(kind, expectation),), ended=ended, **more).findings[0]
